"""While jobs run, what they have said goes into objects before the stream lets go of it.

The stream holds the lines of all jobs and drops the oldest when it is full, or when they are old. So as soon as it has
taken in a part of what it holds, it is gone through, a stretch at a time, and each job gets an object with its lines of
the stretch. Jobs that are short never meet this. A stretch may be repeated: what a job's rows cover is left out.
Elsewhere: the rest of a job's lines, when it has ended (sealing.py); who reads (reading.py).
"""

import asyncio
import logging
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta

from services.jobs.domain.errors import ObjectGivenUp
from services.jobs.domain.jobs import JobKey
from services.jobs.domain.logs.lines import scope_from, subject_of
from services.jobs.operations.history.sealing import DUTY, LEASE, publish, stored
from services.jobs.operations.logs import Filled, Logs
from services.jobs.storage.log_objects import LogWriter
from services.jobs.storage.objects import Indexes
from services.jobs.storage.seals import End, Seals
from services.kit.storage.database import Database
from services.kit.storage.leases import drop_lease, take_lease
from services.kit.time.clock import Clock

log = logging.getLogger(__name__)
PART_OF_STREAM = 8  # it is gone through when an eighth of what it may hold has come
STRETCH_BYTES = 64 << 20


@dataclass
class _Gathered:
    """Lines of jobs, each after those that its rows cover. ends: None for what is no job's."""

    writers: dict[JobKey, LogWriter] = field(default_factory=dict)
    ends: dict[JobKey, End | None] = field(default_factory=dict)
    last: int = 0


@dataclass(frozen=True)
class Stretches:
    """keep_bytes, keep: the limits of the stream."""

    db: Database
    logs: Logs
    indexes: Indexes
    clock: Clock
    keep_bytes: int
    keep: timedelta

    async def seal_due(self, holder: str) -> bool:
        """Go through a stretch if it is time; whether it was. One process at a time does. Raises Unavailable."""
        filled = await self.logs.filled()
        passed = await self.db.read(lambda tx: Seals(tx).passed(filled.stream))
        number, at = passed or (0, filled.since)
        late = self.clock.now() - at > self.keep / PART_OF_STREAM and filled.last > number
        if filled.bytes_after(number) * PART_OF_STREAM < self.keep_bytes and not late:
            return False
        if not await self.db.run(take_lease, DUTY, holder, ttl=LEASE, now=self.clock.now()):
            return False
        try:
            await self._go_through(filled, number)
        finally:
            await self.db.run(drop_lease, DUTY, holder)
        return True

    async def _go_through(self, filled: Filled, after: int) -> None:
        found = await self._gathered(filled.stream, after)
        for key, writer in found.writers.items():
            end = found.ends[key]
            assert end is not None, "only lines of jobs are gathered"
            parts = await asyncio.to_thread(stored, self.indexes, writer, filled.stream)
            try:
                await self.db.run(publish, end, parts, whole=False, now=self.clock.now())
            except ObjectGivenUp:
                log.warning("a part of the log of job %s took too long to be stored; it is stored again", key)
                return
        await self.db.run(lambda tx: Seals(tx).note_passed(filled.stream, found.last, self.clock.now()))

    async def _gathered(self, stream: str, after: int) -> _Gathered:
        found, size = _Gathered(last=after), 0
        async with aclosing(self.logs.read(subject_of(), after=after)) as messages:
            async for message in messages:
                if message is None or size >= STRETCH_BYTES:
                    break
                found.last, size = message.number, size + len(message.payload)
                scope = scope_from(message.subject)
                key = JobKey(scope.project, scope.pipeline, scope.job)
                end = await self._end(found.ends, key, stream)
                if end is not None and message.number > end.last:
                    writer = found.writers.setdefault(key, LogWriter())
                    await asyncio.to_thread(writer.add, message)
        return found

    async def _end(self, known: dict[JobKey, End | None], key: JobKey, stream: str) -> End | None:
        if not key.id or not key.project:
            return None
        if key not in known:
            known[key] = await self.db.read(lambda tx: Seals(tx).end(key, stream))
        return known[key]
