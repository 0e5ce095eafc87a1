"""When a job has ended its log, or the rest of it, goes into objects, so that it outlives the stream's limits.

A job is sealed a while after its end, for workers that were cut off tell their last lines late; what comes later still
is read from the stream as long as that keeps it. Objects come first, rows after, both under the ledger's rules (ADR 9).
Elsewhere: what jobs say that run for long (stretches.py).
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from services.jobs.domain.errors import ObjectGivenUp
from services.jobs.domain.jobs import Job
from services.jobs.domain.logs.queries import LogQuery
from services.jobs.operations.logs import Logs
from services.jobs.storage.ledger import Ledger
from services.jobs.storage.log_objects import LogWriter
from services.jobs.storage.objects import LOGS, Indexes, key_of
from services.jobs.storage.seals import End, Part, Seals
from services.kit.storage.database import Database
from services.kit.storage.leases import drop_lease, take_lease
from services.kit.time.clock import Clock

log = logging.getLogger(__name__)
DUTY, LEASE = "sealing", timedelta(minutes=1)
A_FEW = 20


@dataclass(frozen=True)
class Sealing:
    """settled: how long after its end a job is sealed. keep: how long lines stay then; zero: as long as the job."""

    db: Database
    logs: Logs
    indexes: Indexes
    clock: Clock
    settled: timedelta
    keep: timedelta

    async def seal_due(self, holder: str) -> int:
        """Seal jobs that ended a while ago; how many. One process at a time does. Raises Unavailable."""
        due = await self.db.read(lambda tx: Seals(tx).due(self.clock.now() - self.settled, A_FEW))
        if not due or not await self.db.run(take_lease, DUTY, holder, ttl=LEASE, now=self.clock.now()):
            return 0
        try:
            stream, renewed = await self.logs.identity(), time.monotonic()
            for job in due:
                await self._seal(job, stream)
                if time.monotonic() - renewed > LEASE.total_seconds() / 3:
                    await self.db.run(take_lease, DUTY, holder, ttl=LEASE, now=self.clock.now())
                    renewed = time.monotonic()
        finally:
            await self.db.run(drop_lease, DUTY, holder)
        return len(due)

    async def _seal(self, job: Job, stream: str) -> None:
        key = job.key
        end = await self.db.read(lambda tx: Seals(tx).end(key, stream))
        if end is None:
            return
        parts, writer, last = list[Part](), LogWriter(), end.last
        query = LogQuery(project=key.project, pipeline=key.pipeline, job=key.id)
        async for message in self.logs.read(query.subject, after=end.last):
            if message is None:
                break
            await asyncio.to_thread(writer.add, message)
            last = message.number
            if writer.is_full:
                parts += await asyncio.to_thread(stored, self.indexes, writer, stream)
                writer = LogWriter()
        parts += await asyncio.to_thread(stored, self.indexes, writer, stream)
        if not parts and not end.parts:
            parts.append(Part("", stream, last))
        try:
            await self.db.run(publish, end, parts, whole=True, now=self.clock.now())
        except ObjectGivenUp:
            log.warning("the log of job %s took too long to be stored; it is stored again", key)

    async def expire(self) -> None:
        """Let go of lines that were kept for long enough."""
        if self.keep:
            await self.db.run(expire, self.clock.now() - self.keep, now=self.clock.now())


def stored(indexes: Indexes, writer: LogWriter, stream: str) -> list[Part]:
    """What was gathered as an object of the store; none when that is nothing. Blocks."""
    written = writer.finish()
    if written is None:
        return []
    name = indexes.fresh().hex()
    indexes.objects.put(key_of(LOGS, name), written.data)
    return [Part(name, stream, written.last_number, written.first, written.last, written.index_at, written.lines)]


def publish(tx: Session, end: End, parts: list[Part], *, whole: bool, now: datetime) -> bool:
    """From now on these objects are the job's log, after what it has. whole: it has ended, and this is the rest.

    False: somebody else was first, or the job is gone.  Raises ObjectGivenUp.
    """
    if not Seals(tx).seal(end, parts, whole=whole):
        return False
    Ledger(tx).publish(LOGS, [part.object for part in parts if part.object], end.job.key, now)
    return True


def expire(tx: Session, before: datetime, *, now: datetime) -> None:
    Ledger(tx).condemn(Seals(tx).expire(int(before.timestamp() * 1e9)), now)
