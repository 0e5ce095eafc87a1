"""When a job has ended its log goes into objects, so that it outlives the stream's limits.

A job is sealed a while after its end, for workers that were cut off tell their last lines late; what comes later still
is read from the stream as long as that keeps it. Objects come first, rows after, both under the ledger's rules (ADR 9).
"""

import asyncio
import logging
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
from services.jobs.storage.seals import Part, Seals
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
            for job in due:
                await self._seal(job)
                await self.db.run(take_lease, DUTY, holder, ttl=LEASE, now=self.clock.now())
        finally:
            await self.db.run(drop_lease, DUTY, holder)
        return len(due)

    async def _seal(self, job: Job) -> None:
        key = job.key
        stream = await self.logs.identity()
        parts, writer, last = list[Part](), LogWriter(), 0
        query = LogQuery(project=key.project, pipeline=key.pipeline, job=key.id)
        async for message in self.logs.read(query.subject):
            if message is None:
                break
            await asyncio.to_thread(writer.add, message)
            last = message.number
            if writer.is_full:
                parts += await asyncio.to_thread(self._stored, writer, stream)
                writer = LogWriter()
        parts += await asyncio.to_thread(self._stored, writer, stream)
        try:
            await self.db.run(publish, job, parts or [Part("", stream, last)], now=self.clock.now())
        except ObjectGivenUp:
            log.warning("the log of job %s took too long to be stored; it is stored again", key)

    def _stored(self, writer: LogWriter, stream: str) -> list[Part]:
        written = writer.finish()
        if written is None:
            return []
        name = self.indexes.fresh().hex()
        self.indexes.objects.put(key_of(LOGS, name), written.data)
        return [Part(name, stream, written.last_number, written.first, written.last, written.index_at, written.lines)]

    async def expire(self) -> None:
        """Let go of lines that were kept for long enough."""
        if self.keep:
            await self.db.run(expire, self.clock.now() - self.keep, now=self.clock.now())


def publish(tx: Session, job: Job, parts: list[Part], *, now: datetime) -> bool:
    """From now on these objects are the job's log. False: it has one already. Raises ObjectGivenUp."""
    if not Seals(tx).seal(job.number, parts):
        return False
    Ledger(tx).publish(LOGS, [part.object for part in parts if part.object], job.key, now)
    return True


def expire(tx: Session, before: datetime, *, now: datetime) -> None:
    Ledger(tx).condemn(Seals(tx).expire(int(before.timestamp() * 1e9)), now)
