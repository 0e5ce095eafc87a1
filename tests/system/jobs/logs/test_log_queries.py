"""logs.API: whose lines, which of them, forwards and backwards in pages; raw lines; tasks in flight."""

import grpc
import pytest
from google.protobuf.json_format import MessageToDict

from datamill.wire import logs_pb2 as logs
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import taskapi_pb2 as tasks
from datamill.wire.logs_pb2_grpc import APIStub
from tests.support.patience import eventually
from tests.system.jobs.hands import Bench, job
from tests.system.jobs.logs.test_logs import D1, D2, export
from tests.system.pfs.driver import refused


def ask(bench: Bench, request: logs.GetLogsRequest) -> tuple[list[logs.LogMessage], logs.PagingHint | None]:
    lines, hint = list[logs.LogMessage](), None
    for answer in APIStub(bench.jobs_channel).GetLogs(request, timeout=120):
        if answer.HasField("log"):
            lines.append(answer.log)
        else:
            assert hint is None, "there is one hint"
            hint = answer.paging_hint
    return lines, hint


def texts(bench: Bench, user: logs.UserLogQuery, **filter: object) -> list[str]:
    request = logs.GetLogsRequest(query=logs.LogQuery(user=user), filter=logs.LogFilter(**filter))  # type: ignore[arg-type]
    return [line.pps_log_message.message for line in ask(bench, request)[0]]


def admin(bench: Bench, **query: object) -> list[logs.LogMessage]:
    return ask(bench, logs.GetLogsRequest(query=logs.LogQuery(admin=logs.AdminLogQuery(**query))))[0]  # type: ignore[arg-type]


def spoken(bench: Bench) -> str:
    """A job with lines; its id."""
    id = bench.create()
    assert bench.ended(id).state == pps.JOB_SUCCESS
    export(bench, id, D1, [("worker", "beginning"), ("stdout", "one %s"), ("stdout", "two")])
    export(bench, id, D2, [("stderr", "three"), ("worker", "errored running user code")])
    return id


def of(bench: Bench) -> logs.PipelineLogQuery:
    return logs.PipelineLogQuery(project="default", pipeline=bench.name)


WORKERS = ["beginning", "one %s", "two", "three", "errored running user code"]


def test_users_ask_by_pipeline_job_and_datum(bench: Bench) -> None:
    id = spoken(bench)
    query = logs.UserLogQuery
    every = texts(bench, query(pipeline=of(bench)))
    assert [text for text in every if text in WORKERS] == WORKERS
    assert "job is STARTING" in every, "the driver's lines are in it, too"
    assert texts(bench, query(job=id), user_logs_only=True) == ["one %s", "two", "three"]
    assert texts(bench, query(datum=D2), user_logs_only=True)[-1:] == ["three"]
    job_datum = logs.JobDatumLogQuery(job=id.upper(), datum=D1)
    assert texts(bench, query(job_datum=job_datum)) == WORKERS[:3]
    assert texts(bench, query(pipeline_job=logs.PipelineJobLogQuery(pipeline=of(bench), job=id))) == every
    pipeline_datum = logs.PipelineDatumLogQuery(pipeline=of(bench), datum=D2)
    assert texts(bench, query(pipeline_datum=pipeline_datum)) == WORKERS[3:]
    assert texts(bench, query(pipeline_datum=pipeline_datum), level=logs.LOG_LEVEL_ERROR) == WORKERS[4:]
    assert set(WORKERS) <= set(texts(bench, query(project="default")))
    regex = logs.RegexLogFilter(pattern="^t", negate=True)
    assert texts(bench, query(job=id), user_logs_only=True, regex=regex) == ["one %s"]
    assert texts(bench, query(project="nobody's")) == []
    assert ask(bench, logs.GetLogsRequest()) == ([], None)


def test_a_line_comes_in_every_form(bench: Bench) -> None:
    id = spoken(bench)
    user = logs.UserLogQuery(job_datum=logs.JobDatumLogQuery(job=id, datum=D1))
    line = ask(bench, logs.GetLogsRequest(query=logs.LogQuery(user=user)))[0][1]
    found = MessageToDict(line.object)
    assert (found["message"], found["jobId"], found["user"]) == ("one %s", id, True)
    assert (found["#pipelineName"], found["#pod"]) == (bench.name, "w1")
    assert b'"message":"one %s"' in line.verbatim.line
    assert line.verbatim.timestamp == line.native_timestamp == line.pps_log_message.ts
    assert line.pps_log_message.data[0].path == "/11"


def test_pages_lead_on_and_back(bench: Bench) -> None:
    id = bench.create()
    wanted = [f"line {number}" for number in range(10)]
    for start in (0, 5):
        export(bench, id, D1, [("stdout", line) for line in wanted[start : start + 5]])
    user = logs.UserLogQuery(job=id)
    filter = logs.LogFilter(limit=3, user_logs_only=True)
    request = logs.GetLogsRequest(query=logs.LogQuery(user=user), filter=filter, want_paging_hint=True)
    pages = list[list[str]]()
    older = logs.GetLogsRequest()
    while True:
        lines, hint = ask(bench, request)
        assert hint is not None
        if not lines:
            break
        pages.append([line.pps_log_message.message for line in lines])
        request, older = hint.newer, hint.older
    assert [line for page in pages for line in page] == wanted, "a line may share its time with others"
    back, hint = ask(bench, older)
    assert [line.pps_log_message.message for line in back] == wanted[6:9][::-1] == pages[-2][::-1]
    assert hint is not None
    assert [line.pps_log_message.message for line in ask(bench, hint.older)[0]] == wanted[3:6][::-1]
    assert [line.pps_log_message.message for line in ask(bench, hint.newer)[0]] == pages[-1]


def test_following(bench: Bench) -> None:
    id = spoken(bench)
    user = logs.UserLogQuery(job=id)
    request = logs.GetLogsRequest(query=logs.LogQuery(user=user), filter=logs.LogFilter(user_logs_only=True), tail=True)
    call = APIStub(bench.jobs_channel).GetLogs(request, timeout=120)
    assert [next(call).log.pps_log_message.message for _ in range(3)] == ["one %s", "two", "three"]
    export(bench, id, D1, [("stdout", "new")])
    assert next(call).log.pps_log_message.message == "new", "as soon as it is there"
    export(bench, id, D1, [("stdout", "newer")])
    assert next(call).log.pps_log_message.message == "newer"
    call.cancel()


def test_administrators_ask_by_part_worker_and_selector(bench: Bench) -> None:
    id = spoken(bench)
    selector = f'{{pipelineName="{bench.name}"}} |= "three" != "two"'
    assert [line.pps_log_message.message for line in admin(bench, logql=selector)] == ["three"]
    raw = list(bench.jobs.QueryLoki(pps.LokiRequest(query=selector), timeout=120))
    assert len(raw) == 1
    assert '"message":"three"' in raw[0].message
    assert list(bench.jobs.GetKubeEvents(pps.LokiRequest(), timeout=120)) == []
    master = [line.pps_log_message.message for line in admin(bench, master=of(bench))]
    assert "job is STARTING" in master
    assert not set(WORKERS) & set(master)
    assert admin(bench, storage=of(bench)) == []
    assert len(admin(bench, user=logs.UserLogQuery(job=id))) >= len(WORKERS)
    assert {line.pps_log_message.worker_id for line in admin(bench, pod="w1")} == {"w1"}
    assert admin(bench, pod_container=logs.PodContainer(pod="w1", container="storage")) == []
    assert eventually(lambda: admin(bench, app="pachd"))
    (line, *_) = eventually(lambda: admin(bench, app="jobs"))
    assert not line.HasField("pps_log_message")
    assert MessageToDict(line.object)["service"] == "jobs"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (logs.LogQuery(user=logs.UserLogQuery(project="")), "Project UserLogQuery request requires a Project argument"),
        (
            logs.LogQuery(user=logs.UserLogQuery(pipeline=logs.PipelineLogQuery(project="a"))),
            "Pipeline UserLogQuery request requires a Pipeline argument",
        ),
        (
            logs.LogQuery(user=logs.UserLogQuery(pipeline_job=logs.PipelineJobLogQuery(job="a"))),
            "PipelineJob UserLogQuery request requires a Pipeline argument",
        ),
        (
            logs.LogQuery(user=logs.UserLogQuery(job_datum=logs.JobDatumLogQuery(job="a"))),
            "JobDatum UserLogQuery request requires a Datum argument",
        ),
        (
            logs.LogQuery(admin=logs.AdminLogQuery(master=logs.PipelineLogQuery(pipeline="a"))),
            "Master AdminLogQuery request requires a Project argument",
        ),
        (
            logs.LogQuery(admin=logs.AdminLogQuery(logql='{app=~"("}')),
            "cannot read the regular expression: missing ): (",
        ),
        (logs.LogQuery(admin=logs.AdminLogQuery(app="")), "App AdminLogQuery request requires a App argument"),
        (logs.LogQuery(admin=logs.AdminLogQuery(logql="{")), "cannot read the query: at character 2"),
    ],
)
def test_what_is_missing_is_said(bench: Bench, query: logs.LogQuery, words: str) -> None:
    with refused(grpc.StatusCode.INVALID_ARGUMENT, words):
        ask(bench, logs.GetLogsRequest(query=query))


def test_a_query_of_no_known_type_is_not_built(bench: Bench) -> None:
    with refused(grpc.StatusCode.UNIMPLEMENTED, "unknown type of UserLogQuery"):
        ask(bench, logs.GetLogsRequest(query=logs.LogQuery(user=logs.UserLogQuery())))


def test_sets_of_a_running_job_are_tasks(bench: Bench) -> None:
    bench.create(datumSetSpec={"number": 1})
    id = bench.commit({"/a": b"x", "/b": b"y"})
    namespace = f"processing/pipeline-default%2F{bench.name}%4000000001"

    def listed(**group: str) -> list[tasks.TaskInfo]:
        return list(bench.jobs.ListTask(tasks.ListTaskRequest(group=tasks.Group(**group)), timeout=120))

    held = bench.hands().lease()
    assert held is not None
    found = listed(namespace=namespace, group=id)
    assert sorted(one.state for one in found) == [tasks.RUNNING, tasks.CLAIMED]
    assert {one.group.namespace for one in found} == {namespace}
    assert len({one.id for one in found}) == 2
    assert {one.id for one in found} <= {one.id for one in listed()}
    assert {one.id for one in found} <= {one.id for one in listed(namespace="processing")}
    assert listed(namespace="preprocessing", group=id) == []
    with refused(grpc.StatusCode.UNKNOWN, "must provide a task namespace to list a group"):
        listed(group=id)
    bench.jobs.StopJob(pps.StopJobRequest(job=job(bench.name, id)), timeout=120)
    eventually(lambda: listed(namespace=namespace) == [])
