"""Lines of log, from objects and from the stream, each once: what the rows of seals cover is not read twice."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from services.jobs.domain.jobs import JobKey
from services.jobs.domain.logs.lines import LogBatch
from services.jobs.domain.logs.queries import LogQuery
from services.jobs.operations.logs import Logs
from services.jobs.storage.log_objects import Frame, read_frame, read_index
from services.jobs.storage.seals import Part, Seals
from services.kit.objects.port import Objects
from services.kit.storage.database import Database


@dataclass(frozen=True)
class LogReader:
    """Reads for one caller."""

    db: Database
    logs: Logs
    objects: Objects

    async def read(self, query: LogQuery, *, follow: bool = False) -> AsyncGenerator[LogBatch | None]:
        """What is wanted, job by job. None comes once, when all that was there has been sent: the end unless following.

        Raises Unavailable, Corrupt.
        """
        parts = [] if query.services else await self.db.read(lambda tx: Seals(tx).of(query))
        stream = await self.logs.identity() if parts else ""
        covered, sent = dict[JobKey, int](), set[tuple[JobKey, Part]]()
        while parts := [one for one in parts if one not in sent]:  # jobs that run may have got more meanwhile
            for key, part in parts:
                if part.stream == stream:
                    covered[key] = part.last
                async for batch in self._kept(part, query):
                    yield batch
            sent.update(parts)
            parts = await self.db.read(lambda tx: Seals(tx).of(query))
        after = next(iter(covered.values())) if query.job and query.pipeline and covered else 0
        async for message in self.logs.read(query.subject, since=query.since, after=after, follow=follow):
            if message is None:
                yield None
                continue
            batch = message.batch
            scope = batch.scope
            if message.number > covered.get(JobKey(scope.project, scope.pipeline, scope.job), 0):
                taken = query.taken(batch)
                if taken is not None:
                    yield taken

    async def _kept(self, part: Part, query: LogQuery) -> AsyncIterator[LogBatch]:
        if not part.object:
            return
        for frame in await asyncio.to_thread(read_index, self.objects, part.object, part.index_at):
            if frame.may_have(query):
                for batch in await asyncio.to_thread(self._frame, part, frame, query):
                    yield batch

    def _frame(self, part: Part, frame: Frame, query: LogQuery) -> list[LogBatch]:
        found = (query.taken(message.batch) for message in read_frame(self.objects, part.object, frame))
        return [batch for batch in found if batch is not None]
