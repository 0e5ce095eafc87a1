"""What operators look at: ListTask, QueryLoki, GetKubeEvents. Elsewhere: the language (domain/logs/selectors.py)."""

from collections.abc import AsyncIterator
from dataclasses import replace

from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import taskapi_pb2 as wire
from services.jobs.domain.errors import Wrong
from services.jobs.domain.logs.selectors import parse
from services.jobs.domain.tasks import Task
from services.jobs.operations import tasks
from services.jobs.operations.history import choosing
from services.jobs.operations.history.reading import LogReader
from services.jobs.servicers import from_wire
from services.jobs.servicers.jobs import Parts
from services.jobs.servicers.logs.getting import nanoseconds, since_of
from services.jobs.servicers.logs.queries import EVERYTHING
from services.jobs.servicers.logs.service import records
from services.kit.rpc.server import Context


class LookingRpcs:
    """Tasks and raw lines."""

    _p: Parts

    async def ListTask(self, request: wire.ListTaskRequest, context: Context) -> AsyncIterator[wire.TaskInfo]:
        namespace, group = request.group.namespace, from_wire.id(request.group.group)
        if group and not namespace:
            raise Wrong("must provide a task namespace to list a group")
        tools = self._p.tools
        for job in await tools.db.read(tasks.jobs_at_work, group):
            for task in tasks.planning(job, namespace):
                yield _info(task)
            after = -1
            while page := await tools.db.read(tasks.sets, job, namespace, after, tools.clock.now()):
                for _, task in page:
                    yield _info(task)
                after = page[-1][0]

    async def QueryLoki(self, request: pps.LokiRequest, context: Context) -> AsyncIterator[pps.LokiLogMessage]:
        choice = choosing.by_tests(parse(request.query))
        tools = self._p.tools
        since = nanoseconds(since_of(request.since, tools.clock.now()))
        reader = LogReader(tools.db, tools.logs, tools.indexes.objects)
        async for record in records(reader, [replace(query, since=since) for query in EVERYTHING], choice):
            if record is not None:
                yield pps.LokiLogMessage(message=record.raw)

    async def GetKubeEvents(self, request: pps.LokiRequest, context: Context) -> AsyncIterator[pps.LokiLogMessage]:
        """The runtimes of this instance have no such events."""
        nothing: tuple[pps.LokiLogMessage, ...] = ()
        for message in nothing:
            yield message


def _info(task: Task) -> wire.TaskInfo:
    return wire.TaskInfo(
        id=task.id,
        group=wire.Group(namespace=task.namespace, group=task.group),
        state=wire.State.ValueType(task.state),
        input_type=task.input_type,
        input_data=task.input_data,
    )
