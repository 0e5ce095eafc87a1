"""Requests of logs.API as what is to be read, and back: queries, ranges of time, hints for the pages beside a page."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from google.protobuf.timestamp_pb2 import Timestamp

from datamill.wire import logs_pb2 as logs
from services.jobs.domain.errors import BadRequest, NotBuilt
from services.jobs.domain.logs.queries import LogQuery
from services.jobs.domain.logs.records import SERVICES, Level
from services.jobs.domain.logs.selectors import Clause, parse
from services.jobs.operations.history import choosing, paging
from services.jobs.operations.history.choosing import Choice
from services.jobs.operations.history.paging import Range
from services.jobs.servicers import from_wire

NANOSECOND = 1_000_000_000
LEVELS = {int(level): level for level in Level}
NOTHING: Choice = lambda record: False  # noqa: E731
PARTS = ("pfs", "pps", "jobs")


@dataclass(frozen=True, slots=True)
class Asked:
    """queries: read one after another, lines of pipelines and of services apart."""

    queries: tuple[LogQuery, ...]
    choice: Choice
    range: Range


def asked(request: logs.GetLogsRequest) -> Asked | None:
    """None: nothing is asked for. Raises BadRequest, NotBuilt."""
    query, filter = request.query, request.filter
    kind = query.WhichOneof("query_type")
    if kind is None:
        return None
    queries: tuple[LogQuery, ...]
    if kind == "user":
        queries, choice = (_user(query.user),), choosing.every()
        least = Level.INFO
    else:
        queries, choice = _admin(query.admin)
        least = Level.INFO if query.admin.HasField("user") else Level.DEBUG
    chosen = [choice, choosing.by_level(LEVELS.get(int(filter.level), least))]
    if filter.HasField("regex") and filter.regex.pattern:
        chosen.append(choosing.by_text(filter.regex.pattern, negated=filter.regex.negate))
    wanted = _range(filter)
    since, until = sorted((wanted.start, wanted.stop))
    user = True if filter.user_logs_only else None
    queries = tuple(
        replace(one, since=max(since, 0), until=until, user=user) for one in queries if not (user and one.services)
    )
    return Asked(queries, choosing.every(*chosen), wanted)


def _need(value: str, kind: str, field: str, asker: str = "UserLogQuery") -> str:
    if not value:
        raise BadRequest(f"{kind} {asker} request requires a {field} argument")
    return value


def _pipeline(
    query: logs.PipelineLogQuery, kind: str, asker: str = "UserLogQuery", *, present: bool = True
) -> tuple[str, str]:
    if not present:
        raise BadRequest(f"{kind} {asker} request requires a Pipeline argument")
    return _need(query.project, kind, "Project", asker), _need(query.pipeline, kind, "Pipeline", asker)


def _user(query: logs.UserLogQuery) -> LogQuery:
    kind = query.WhichOneof("user_type")
    if kind is None:
        raise NotBuilt("unknown type of UserLogQuery")
    return _USER[kind](query)


def _of_pipeline(query: logs.UserLogQuery) -> LogQuery:
    project, name = _pipeline(query.pipeline, "Pipeline")
    return LogQuery(project=project, pipeline=name)


def _of_pipeline_job(query: logs.UserLogQuery) -> LogQuery:
    one = query.pipeline_job
    project, name = _pipeline(one.pipeline, "PipelineJob", present=one.HasField("pipeline"))
    return LogQuery(project=project, pipeline=name, job=from_wire.id(_need(one.job, "PipelineJob", "Job")))


def _of_job_datum(query: logs.UserLogQuery) -> LogQuery:
    one = query.job_datum
    job, datum = _need(one.job, "JobDatum", "Job"), _need(one.datum, "JobDatum", "Datum")
    return LogQuery(job=from_wire.id(job), datum=from_wire.id(datum))


def _of_pipeline_datum(query: logs.UserLogQuery) -> LogQuery:
    one = query.pipeline_datum
    project, name = _pipeline(one.pipeline, "PipelineDatum", present=one.HasField("pipeline"))
    return LogQuery(project=project, pipeline=name, datum=from_wire.id(_need(one.datum, "PipelineDatum", "Datum")))


_USER: dict[str, Callable[[logs.UserLogQuery], LogQuery]] = {
    "project": lambda query: LogQuery(project=_need(query.project, "Project", "Project")),
    "pipeline": _of_pipeline,
    "datum": lambda query: LogQuery(datum=from_wire.id(_need(query.datum, "Datum", "Datum"))),
    "job": lambda query: LogQuery(job=from_wire.id(_need(query.job, "Job", "Job"))),
    "pipeline_job": _of_pipeline_job,
    "job_datum": _of_job_datum,
    "pipeline_datum": _of_pipeline_datum,
}
EVERYTHING = (LogQuery(), LogQuery(services=True))


def _admin(query: logs.AdminLogQuery) -> tuple[tuple[LogQuery, ...], Choice]:
    match query.WhichOneof("admin_type"):
        case "logql":
            return EVERYTHING, choosing.by_tests(parse(_need(query.logql, "Logql", "Logql", "AdminLogQuery")))
        case "pod":
            return EVERYTHING, _labelled(pod=_need(query.pod, "Pod", "Pod", "AdminLogQuery"))
        case "pod_container":
            pod = _need(query.pod_container.pod, "PodContainer", "Pod", "AdminLogQuery")
            container = _need(query.pod_container.container, "PodContainer", "Container", "AdminLogQuery")
            return EVERYTHING, _labelled(pod=pod, container=container)
        case "app":
            app = _need(query.app, "App", "App", "AdminLogQuery")
            if app in PARTS:
                return (LogQuery(pipeline=app, services=True),), choosing.every()
            return ((LogQuery(services=app == SERVICES),), _labelled(app=app))
        case "master":
            project, name = _pipeline(query.master, "Master", "AdminLogQuery")
            return (LogQuery(project=project, pipeline=name, master=True),), choosing.every()
        case "storage":
            _pipeline(query.storage, "Storage", "AdminLogQuery")
            return (), NOTHING  # no process beside a pipeline's workers keeps files for them
        case "user":
            return (_user(query.user),), choosing.every()
        case _:
            raise NotBuilt("unknown type of AdminLogQuery")


def _labelled(**labels: str) -> Choice:
    return choosing.by_tests([Clause(name, negated=False, pattern=False, text=text) for name, text in labels.items()])


def _range(filter: logs.LogFilter) -> Range:
    times = filter.time_range
    start = _nanoseconds(getattr(times, "from")) if times.HasField("from") else 0
    stop = _nanoseconds(times.until) if times.HasField("until") else paging.END
    return Range(start, stop, min(times.offset, 1 << 20), min(filter.limit, 1 << 20))


def _nanoseconds(time: Timestamp) -> int:
    if not 0 <= time.nanos < NANOSECOND:
        raise BadRequest(f"not a time: {time.seconds} seconds and {time.nanos} nanoseconds")
    return max(-1, min(time.seconds * NANOSECOND + time.nanos, paging.END))


def hint(request: logs.GetLogsRequest, wanted: Range, shown_after: Range, shown_before: Range) -> logs.PagingHint:
    """Requests for the pages beside one."""
    newer, older = (shown_before, shown_after) if wanted.backwards else (shown_after, shown_before)
    return logs.PagingHint(older=_asking(request, older), newer=_asking(request, newer))


def _asking(request: logs.GetLogsRequest, wanted: Range) -> logs.GetLogsRequest:
    made = logs.GetLogsRequest()
    made.CopyFrom(request)
    made.filter.time_range.Clear()
    times = made.filter.time_range
    _set(getattr(times, "from"), wanted.start)
    if wanted.stop != paging.END:
        _set(times.until, wanted.stop)
    times.offset = wanted.offset
    return made


def _set(time: Timestamp, nanoseconds: int) -> None:
    time.SetInParent()
    time.seconds, time.nanos = divmod(max(nanoseconds, 0), NANOSECOND)
