"""Finishes commits that were closed: at once on news of this process, and by looking every few seconds.

A commit is done by whoever holds its lease; commits of one repo follow one another because each waits for its base.
Elsewhere: what finishing is (operations/finish.py).
"""

import asyncio
import logging
from datetime import timedelta

from services.kit.bus import Bus
from services.kit.clock import Clock, fresh_id
from services.kit.database import Database
from services.kit.errors import Problem
from services.pfs.domain.commits import CommitNumber
from services.pfs.operations.finish import claim, finish, finishing_commits, publish
from services.pfs.operations.stores import Stores

log = logging.getLogger(__name__)
LEASE = timedelta(seconds=30)
LOOK_AGAIN = timedelta(seconds=3)
AT_ONCE = 4  # commits that are finished side by side


class Finisher:
    """The duty of one process."""

    def __init__(self, db: Database, bus: Bus, stores: Stores, clock: Clock) -> None:
        self._db, self._bus, self._stores, self._clock = db, bus, stores, clock
        self._holder = fresh_id()
        self._busy: set[CommitNumber] = set()
        self._room = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        """Finish commits until cancelled."""
        subjects = ("pfs.commit.finishing", "pfs.commit.finished", "pfs.commit.deleted")
        async with self._bus.listen(*subjects) as news, asyncio.TaskGroup() as tasks:
            while True:
                news.drain()
                try:
                    waiting = await self._db.read(finishing_commits)
                except Problem:
                    log.exception("cannot look for commits to finish; trying again")
                    waiting = []
                for number in waiting:
                    if number not in self._busy:
                        self._busy.add(number)
                        tasks.create_task(self._one(number))
                await news.wait(LOOK_AGAIN)

    async def _one(self, number: CommitNumber) -> None:
        """Finish one commit if it is its turn; whatever goes wrong, it is tried again at a later look."""
        try:
            async with self._room:
                work = await self._db.run(claim, number, self._holder, ttl=LEASE, now=self._clock.now())
                if work is None:
                    return
                async with asyncio.TaskGroup() as tasks:
                    holding = tasks.create_task(self._hold(number))
                    outcome = await asyncio.to_thread(finish, self._stores, work)
                    holding.cancel()
                now = self._clock.now()
                await self._db.run(publish, number, outcome, self._holder, id=fresh_id(), now=now)
        except Exception:
            log.exception("finishing commit %d failed; it is tried again", number)
        finally:
            self._busy.discard(number)

    async def _hold(self, number: CommitNumber) -> None:
        """Renew the lease while the work goes on."""
        while True:
            await asyncio.sleep(LEASE.total_seconds() / 3)
            await self._db.run(claim, number, self._holder, ttl=LEASE, now=self._clock.now())
