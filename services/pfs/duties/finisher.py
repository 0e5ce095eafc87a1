"""Finishes commits that were closed: at once when this process closed them, on news, and by looking every few seconds.

A commit is done by whoever holds its lease; commits of one repo follow one another because each waits for its base.
Elsewhere: what finishing is (operations/finishing/finish.py).
"""

import asyncio
import logging
from contextlib import ExitStack
from datetime import timedelta

from services.kit.bus import Bus, Listener
from services.kit.errors import Problem
from services.kit.storage.database import Database
from services.kit.time.clock import Clock, fresh_id
from services.pfs.domain.commits import CommitNumber
from services.pfs.operations.collection.presence import Presence
from services.pfs.operations.files.stores import Stores
from services.pfs.operations.finishing.finish import Outcome, Work, claim, finish, publish, ready_work

log = logging.getLogger(__name__)
LEASE = timedelta(seconds=30)
LOOK_AGAIN = timedelta(seconds=5)
AT_ONCE = 4  # commits that are finished side by side


class Finisher:
    """The duty of one process. replica: its name; one that is the same after a restart finds its leases again."""

    def __init__(
        self, db: Database, bus: Bus, stores: Stores, clock: Clock, presence: Presence, *, replica: str
    ) -> None:
        self._db, self._bus, self._stores, self._clock = db, bus, stores, clock
        self._presence = presence
        self._holder = replica or fresh_id()
        self._busy: dict[CommitNumber, str] = {}  # with the commit's key
        self._room = asyncio.Semaphore(AT_ONCE)
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Finish commits until cancelled."""
        subjects = ("pfs.commit.finishing", "pfs.commit.finished", "pfs.commit.deleted")
        async with self._bus.listen(*subjects) as news, asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                while True:
                    news.drain()
                    with self._presence.call():  # what is read here is referred to by what comes of it
                        ready, others_wait = await self._ready()
                        for work in ready:
                            self.take(work)
                    await self._cause_to_look(news, others_wait)
            finally:
                self._tasks = None  # calls that are still running may close commits: a later process finishes them

    def take(self, work: Work) -> None:
        """Finish this commit without looking for it. Nothing is lost when it is not done: a later look finds it."""
        if self._tasks is not None and work.number not in self._busy:
            self._busy[work.number] = work.key
            call = ExitStack()
            call.enter_context(self._presence.call())  # from now on: whoever hands work over is a call that ends
            self._tasks.create_task(self._one(work, call))

    async def _cause_to_look(self, news: Listener, others_wait: bool) -> None:
        """Return when there may be something to do: a commit that ends matters only to those that wait for it.

        After LOOK_AGAIN in any case: what failed is tried again, also when news of others never ends.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + LOOK_AGAIN.total_seconds()
        while (left := until - loop.time()) > 0 and (one := await news.wait(timedelta(seconds=left))) is not None:
            if others_wait or (one.subject == "pfs.commit.finishing" and one.key not in self._busy.values()):
                return

    async def _ready(self) -> tuple[list[Work], bool]:
        try:
            return await self._db.read(ready_work, frozenset(self._busy))
        except Problem:
            log.exception("cannot look for commits to finish; trying again")
            return [], True

    async def _one(self, work: Work, call: ExitStack) -> None:
        """Finish one commit; whatever goes wrong, it is tried again at a later look."""
        try:
            async with self._room:
                if work.small:
                    outcome = await asyncio.to_thread(finish, self._stores, work)
                    await self._publish(work, outcome, None)
                elif await self._claim(work.number):
                    await self._publish(work, await self._held(work), self._holder)
        except Exception:
            log.exception("finishing commit %d failed; it is tried again", work.number)
        finally:
            call.close()
            del self._busy[work.number]

    async def _held(self, work: Work) -> Outcome:
        """Finish while renewing the lease."""
        async with asyncio.TaskGroup() as tasks:
            holding = tasks.create_task(self._hold(work.number))
            outcome = await asyncio.to_thread(finish, self._stores, work)
            holding.cancel()
        return outcome

    async def _hold(self, number: CommitNumber) -> None:
        while True:
            await asyncio.sleep(LEASE.total_seconds() / 3)
            await self._claim(number)

    async def _claim(self, number: CommitNumber) -> bool:
        return await self._db.run(claim, number, self._holder, ttl=LEASE, now=self._clock.now())

    async def _publish(self, work: Work, outcome: Outcome, holder: str | None) -> None:
        await self._db.run(publish, work.number, outcome, holder, id=fresh_id(), now=self._clock.now)
