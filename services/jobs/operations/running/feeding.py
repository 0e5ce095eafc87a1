"""Feeding the queue with the sets of a job: always some, never all of a large job, and those again that it has lost.

Elsewhere: the queue (operations/work/queue.py); who has a set (operations/work/leasing.py).
"""

import logging
from dataclasses import dataclass

from services.jobs.operations.work.queue import Line, Queue
from services.jobs.storage.sets import SetStore
from services.kit.storage.database import Database
from services.kit.time.clock import Clock

log = logging.getLogger(__name__)
QUEUED_AT_ONCE = 10_000
"""So many sets are put into the queue; more follow when half of them are gone."""
LOST_AFTER = 2
"""Looks in a row that find fewer messages than sets before these are queued again."""


@dataclass
class Feeding:
    """Of one job. It knows what it has queued itself, and begins anew after a restart."""

    db: Database
    queue: Queue
    clock: Clock
    line: Line
    job: int
    _fed: int = -1
    """The last set that was queued."""
    _more: bool = True
    """Whether there may be others behind it."""
    _short: int = 0

    async def begin(self, sets: int) -> None:
        """Queue the first sets of a job that has so many, none of which anybody has had."""
        self._fed = min(sets, QUEUED_AT_ONCE) - 1
        self._more = sets > QUEUED_AT_ONCE
        if sets:
            await self.queue.put(self.line, self.job, range(self._fed + 1))

    async def take_up(self) -> None:
        """Queue sets anew: a process died; what it had taken, but not handed on, would be away for long."""
        await self.queue.forget_job(self.line, self.job)
        await self._feed()

    async def go_on(self) -> None:
        """There are more sets than there were."""
        await self._feed()

    async def look(self) -> None:
        """To be called now and then: the queue needs more, or has lost some."""
        waiting = await self.queue.waiting(self.line, self.job)  # first: a set is done before its message is
        unfinished = await self.db.read(lambda tx: SetStore(tx).open_up_to(self.job, self._fed))
        self._short = 0 if waiting >= unfinished else self._short + 1
        if self._short == LOST_AFTER:
            self._short = 0
            again, _ = await self._open(after=-1, up_to=self._fed, most=2 * QUEUED_AT_ONCE)
            log.warning("the queue lost sets of job %d: %d are queued again", self.job, len(again))
            await self.queue.put(self.line, self.job, again)
        elif self._more and not self._short and waiting < QUEUED_AT_ONCE // 2:
            await self._feed()

    async def _feed(self) -> None:
        some, last = await self._open(after=self._fed, most=QUEUED_AT_ONCE)
        self._more = last is not None
        if last is not None:
            await self.queue.put(self.line, self.job, some)
            self._fed = last

    async def _open(self, *, after: int, most: int, up_to: int | None = None) -> tuple[list[int], int | None]:
        """The next OPEN sets that nobody holds, and the last one that was looked at, if any."""
        now = self.clock.now()
        return await self.db.read(lambda tx: SetStore(tx).open_after(self.job, after, up_to, most, now))
