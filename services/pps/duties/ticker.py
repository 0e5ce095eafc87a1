"""Ticks cron inputs when they are due, one commit for every tick, those that were missed included.

Any replica may do it, one at a time (a lease); after a kill another one goes on within a lease's time. What was
ticked already stands in the repos: these are read anew by whoever takes the lease, and before each series of ticks.
Elsewhere: when a cron ticks (domain/crons.py); what a tick is (peers/cron_repos.py).
"""

import asyncio
import logging
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import grpc

from services.kit.storage.database import Database
from services.kit.storage.leases import drop_lease, take_lease
from services.kit.time.clock import Clock
from services.pps.domain.crons import Cron, cron_of, ticks
from services.pps.domain.spec.inputs import crons
from services.pps.operations import reading
from services.pps.peers.cron_repos import CronRepos

log = logging.getLogger(__name__)
DUTY = "tick crons"
LEASE = timedelta(seconds=9)
LOOK_AGAIN = timedelta(seconds=1)
AT_ONCE = 20  # ticks of one cron that may be made up for before others have their turn


@dataclass
class Ticker:
    """One a process."""

    db: Database
    repos: CronRepos
    clock: Clock
    _holder: str = field(default_factory=lambda: secrets.token_hex(8))
    _due: dict[Cron, datetime | None] = field(default_factory=dict)
    """The next tick of each cron, as far as is known."""
    _renew: datetime | None = None
    """When the lease has to be renewed; None: it is somebody else's, or nobody's."""

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                await self._turn()
        finally:
            await asyncio.shield(self.db.run(drop_lease, DUTY, self._holder))

    async def _turn(self) -> None:
        pause = await self._look()
        await asyncio.sleep(pause.total_seconds())

    async def _look(self) -> timedelta:
        """Tick what is due. Returns when to look again."""
        try:
            pipelines = [one for one in await self.db.read(reading.everything) if ticks(one)]
            wanted = [cron_of(leaf) for one in pipelines for leaf in crons(one.version.spec.get("input") or {})]
            if not wanted or not await self._hold():
                return LOOK_AGAIN
            self._due = {cron: self._due[cron] for cron in wanted if cron in self._due}
            behind = [cron for cron in wanted if await self._tick(cron)]
        except Exception:
            log.exception("looking for ticks of crons failed; it is tried again")
            return LOOK_AGAIN
        return timedelta() if behind else LOOK_AGAIN

    async def _hold(self) -> bool:
        """Whether this process is the one that ticks, for long enough to do so."""
        now = self.clock.now()
        if self._renew is not None and now < self._renew:
            return True
        held = await self.db.run(take_lease, DUTY, self._holder, ttl=LEASE, now=now)
        if not held or self._renew is None or now > self._renew + LEASE / 2:
            self._due.clear()  # somebody else may have ticked meanwhile
        self._renew = now + LEASE / 3 if held else None
        return held

    async def _tick(self, cron: Cron) -> bool:
        """Do a cron's ticks that are due. True: there are more."""
        if cron in self._due and not self._is_due(cron):
            return False
        try:
            self._due[cron] = cron.next(await self.repos.last(cron))
            for _ in range(AT_ONCE):
                at = self._due[cron]
                if at is None or not self._is_due(cron):
                    return False
                if not await self._hold():
                    raise asyncio.InvalidStateError("another replica ticks by now")
                await self.repos.tick(cron, at)
                self._due[cron] = cron.next(at)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            self._due.pop(cron, None)
            log.info("cron repo %s/%s: %s; it is looked at again", cron.project, cron.repo, error)
            return False
        return True

    def _is_due(self, cron: Cron) -> bool:
        at = self._due[cron]
        return at is not None and at <= self.clock.now()
