"""Ticks cron inputs when they are due, one commit for every tick, those that were missed included.

Any replica may do it, one at a time (a lease); after a kill another one goes on within a lease's time. What was
ticked already stands in the repos, which are read anew before each series of ticks. When to look at a cron next is in
the database, so that a look costs what is due, however many pipelines there are; news tells of what changes that.
Elsewhere: when a cron ticks (domain/crons.py); what a tick is (peers/cron_repos.py); which are due (storage/crons.py).
"""

import asyncio
import logging
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import grpc
from sqlalchemy.orm import Session

from services.kit.bus import Bus
from services.kit.storage.database import Database
from services.kit.storage.leases import drop_lease, take_lease
from services.kit.time.clock import Clock
from services.pps.peers.cron_repos import CronRepos
from services.pps.storage.crons import CronStore, Due

log = logging.getLogger(__name__)
DUTY = "tick crons"
NEWS = "pps.pipeline.*"
LEASE = timedelta(seconds=9)
TRY_AGAIN = timedelta(seconds=1)
LOOK_AGAIN = timedelta(seconds=10)  # should news be lost
SIDE_BY_SIDE = 8  # crons
AT_ONCE = 20  # ticks of one cron that may be made up for before others have their turn


@dataclass
class Ticker:
    """One a process."""

    db: Database
    repos: CronRepos
    bus: Bus
    clock: Clock
    _holder: str = field(default_factory=lambda: secrets.token_hex(8))
    _renew: datetime | None = None
    """When the lease has to be renewed; None: it is somebody else's, or nobody's."""

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with self.bus.listen(NEWS) as news:
                while True:
                    pause = await self._look()
                    if pause:
                        await news.wait(pause)
                        news.drain()
        finally:
            await asyncio.shield(self.db.run(drop_lease, DUTY, self._holder))

    async def _look(self) -> timedelta:
        """Tick what is due. Returns for how long there is nothing to do."""
        try:
            found = await self.db.read(_first)
            now = self.clock.now()
            due = [one for one in found if one.at <= now]
            if not due:
                return min(LOOK_AGAIN, found[0].at - now) if found else LOOK_AGAIN
            if not await self._hold():
                return TRY_AGAIN
            async with asyncio.TaskGroup() as ticking:
                for one in due:
                    ticking.create_task(self._tick(one))
        except Exception:
            log.exception("looking for ticks of crons failed; it is tried again")
            return TRY_AGAIN
        return timedelta()

    async def _hold(self) -> bool:
        """Whether this process is the one that ticks, for long enough to do so."""
        now = self.clock.now()
        if self._renew is not None and now < self._renew:
            return True
        held = await self.db.run(take_lease, DUTY, self._holder, ttl=LEASE, now=now)
        self._renew = now + LEASE / 3 if held else None
        return held

    async def _tick(self, due: Due) -> None:
        """Do a cron's ticks that are due, and say when to look at it again."""
        try:
            again = await self._done(due)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            log.info("cron repo %s/%s: %s; it is looked at again", due.cron.project, due.cron.repo, error)
            again = self.clock.now() + TRY_AGAIN
        await self.db.run(_put_off, due, again)

    async def _done(self, due: Due) -> datetime | None:
        """When the next tick is, at once if there are more than go at once; None: never."""
        cron = due.cron
        at = cron.next(await self.repos.last(cron))
        for _ in range(AT_ONCE):
            if at is None or at > self.clock.now():
                break
            if not await self._hold():
                raise asyncio.InvalidStateError("another replica ticks by now")
            await self.repos.tick(cron, at)
            at = cron.next(at)
        return at


def _first(tx: Session) -> list[Due]:
    return CronStore(tx).first(SIDE_BY_SIDE)


def _put_off(tx: Session, due: Due, at: datetime | None) -> None:
    CronStore(tx).put_off(due, at)
