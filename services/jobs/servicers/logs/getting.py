"""GetLogs of pps_v2.API. Elsewhere: reading lines (operations/history/reading.py); where they come from (traces.py)."""

from collections import deque
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration

from datamill.wire import pps_v2_pb2 as pps
from services.jobs.domain.errors import BadRequest, PipelineNotFound, Wrong
from services.jobs.domain.jobs import JobKey
from services.jobs.domain.logs.queries import LogQuery
from services.jobs.operations.history.reading import LogReader
from services.jobs.servicers import from_wire
from services.jobs.servicers.jobs import Parts
from services.jobs.servicers.logs.encoding import lines_of
from services.kit.errors import NotFound
from services.kit.rpc.server import Answers, Context, Encoded
from services.kit.time.times import span_of

DAY, NO_TIME = timedelta(hours=24), timedelta(0)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SKEW = timedelta(hours=1)
NEEDS_OWNER = "must specify the Job or Pipeline that the datum is from to get logs for it"


class LogRpcs:
    """Logs."""

    _p: Parts

    async def GetLogs(self, request: pps.GetLogsRequest, context: Context) -> Answers:
        """Messages are pps_v2.LogMessage."""
        query = await self._query(request)
        tools = self._p.tools
        reader = LogReader(tools.db, tools.logs, tools.indexes.objects)
        last: deque[bytes] | None = deque(maxlen=request.tail) if request.tail > 0 else None
        async with aclosing(reader.read(query, follow=request.follow)) as batches:
            async for batch in batches:
                if batch is None:
                    yield Encoded(last or ())
                    last = None
                elif last is None:
                    yield lines_of(batch)
                else:
                    last.extend(lines_of(batch))

    async def _query(self, request: pps.GetLogsRequest) -> LogQuery:
        """Which lines. Raises Wrong, NotFound."""
        now = self._p.tools.clock.now()
        since = since_of(request.since, now)
        has_job = request.HasField("job")
        if not has_job and not request.HasField("pipeline"):
            if request.datum.id or request.data_filters:
                raise Wrong(NEEDS_OWNER)
            return LogQuery(services=True, since=nanoseconds(since))
        if has_job:
            key, since = await self._job_asked(request, since)
            project, name, job = key.project, key.pipeline, key.id
        else:
            (project, name), job = from_wire.pipeline(request.pipeline), ""
            await self._check_pipeline(project, name)
        return LogQuery(
            project=project, pipeline=name, job=job, datum=from_wire.id(request.datum.id), since=nanoseconds(since),
            master=request.master, filters=tuple(request.data_filters),
        )  # fmt: skip

    async def _job_asked(self, request: pps.GetLogsRequest, since: datetime) -> tuple[JobKey, datetime]:
        if not request.job.pipeline.name:
            raise Wrong("pipeline must be specified for the given job")
        key = from_wire.job(request.job)
        if request.pipeline.name and from_wire.pipeline(request.pipeline) != (key.project, key.pipeline):
            raise Wrong("job is from the wrong pipeline")
        job = await self._p.creator.ensure(key)
        if job is None:
            raise NotFound(f'could not get job information for "{key.id}"')
        return job.key, since if span_of(request.since) else job.created - SKEW

    async def _check_pipeline(self, project: str, name: str) -> None:
        try:
            await self._p.pps.pipeline(project, name)
        except PipelineNotFound as error:
            raise NotFound(f"could not get pipeline information for {name}: {error}") from error


def since_of(span: Duration, now: datetime) -> datetime:
    """So long ago; a day when nothing is said. Raises Invalid."""
    asked = span_of(span)
    if asked < NO_TIME:
        raise BadRequest("since must not be negative: it says how long ago")
    return now - min(asked or DAY, now - EPOCH)


def nanoseconds(time: datetime) -> int:
    """Since 1970."""
    return (time - EPOCH) // timedelta(microseconds=1) * 1000
