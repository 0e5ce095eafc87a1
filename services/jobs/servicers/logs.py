"""GetLogs of pps_v2.API. Elsewhere: the stream (operations/logs.py); where lines come from (traces.py)."""

from collections import deque
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from datamill.wire import pps_v2_pb2 as pps
from services.jobs.domain.errors import NotBuilt, PipelineNotFound, Wrong
from services.jobs.domain.jobs import JobKey
from services.jobs.domain.log_lines import LogBatch, subject_of
from services.jobs.servicers import from_wire, to_wire
from services.jobs.servicers.jobs import Parts
from services.kit.errors import NotFound
from services.kit.rpc.server import Context
from services.kit.time.times import span_of

DAY, NO_TIME = timedelta(hours=24), timedelta(0)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SKEW = timedelta(hours=1)
NEEDS_OWNER = "must specify the Job or Pipeline that the datum is from to get logs for it"


class LogRpcs:
    """Logs."""

    _p: Parts

    async def GetLogs(self, request: pps.GetLogsRequest, context: Context) -> AsyncIterator[pps.LogMessage]:
        subject, since = await self._scope(request)
        wanted = _Wanted(request)
        last: deque[pps.LogMessage] | None = deque(maxlen=request.tail) if request.tail > 0 else None
        async for batch in self._p.tools.logs.read(subject, since=since, follow=request.follow):
            if batch is None:
                for message in last or ():
                    yield message
                last = None
            elif wanted.takes(batch):
                for message in to_wire.log_messages(batch):
                    if message.ts.ToDatetime(since.tzinfo) < since:
                        continue
                    if last is None:
                        yield message
                    else:
                        last.append(message)

    async def _scope(self, request: pps.GetLogsRequest) -> tuple[str, datetime]:
        """Which subjects, and since when. Raises Wrong, NotFound."""
        now = self._p.tools.clock.now()
        has_job = request.HasField("job") and bool(request.job.id)
        if not has_job and not request.pipeline.name:
            if request.datum.id or request.data_filters:
                raise Wrong(NEEDS_OWNER)
            raise NotBuilt("logs of the services themselves are not served yet; they are in the instance's log files")
        since = now - min(max(span_of(request.since), NO_TIME) or DAY, now - EPOCH)
        datum = from_wire.id(request.datum.id)
        if not has_job:
            project, name = from_wire.pipeline(request.pipeline)
            await self._check_pipeline(project, name)
            return subject_of(project, name, "", datum), since
        if not request.job.pipeline.name:
            raise Wrong("pipeline must be specified for the given job")
        key = from_wire.job(request.job)
        if request.pipeline.name and from_wire.pipeline(request.pipeline) != (key.project, key.pipeline):
            raise Wrong("job is from the wrong pipeline")
        return subject_of(key.project, key.pipeline, key.id, datum), await self._job_since(key, request, since)

    async def _job_since(self, key: JobKey, request: pps.GetLogsRequest, since: datetime) -> datetime:
        job = await self._p.creator.ensure(key)
        if job is None:
            raise NotFound(f'could not get job information for "{key.id}"')
        return since if span_of(request.since) else job.created - SKEW

    async def _check_pipeline(self, project: str, name: str) -> None:
        try:
            await self._p.pps.pipeline(project, name)
        except PipelineNotFound as error:
            raise NotFound(f"could not get pipeline information for {name}: {error}") from error


class _Wanted:
    """The filters of a request."""

    def __init__(self, request: pps.GetLogsRequest) -> None:
        self._master = request.master
        self._filters = list(request.data_filters)

    def takes(self, batch: LogBatch) -> bool:
        return batch.master == self._master and batch.matches(self._filters)
