"""Lines sent by OTLP come back from GetLogs: filtered, followed, each once."""

import secrets
import time
from collections.abc import Sequence

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue

from datamill.wire import pps_v2_pb2 as pps
from services.kit.rpc.server import SERVICE_TOKEN_HEADER
from tests.system.jobs.hands import Bench, job, pipeline

D1, D2 = "11" * 32, "22" * 32


def text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def texts(key: str, values: Sequence[str]) -> KeyValue:
    listed = ArrayValue(values=[AnyValue(string_value=value) for value in values])
    return KeyValue(key=key, value=AnyValue(array_value=listed))


def export(bench: Bench, id: str, datum: str, lines: Sequence[tuple[str, str]], span: bytes = b"") -> None:
    """Send lines as a worker does. lines: (stream, text)."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.extend(
        [
            text("datamill.project", "default"),
            text("datamill.pipeline", bench.name),
            text("datamill.worker", "w1"),
        ]
    )
    now = time.time_ns()
    made = resource.scope_spans.add().spans.add(
        trace_id=bytes.fromhex(id), span_id=span or secrets.token_bytes(8), name="log", start_time_unix_nano=now
    )
    made.attributes.append(text("datamill.job", id))
    if datum:
        made.attributes.append(text("datamill.datum", datum))
        made.attributes.append(texts("datamill.data.paths", [f"/{datum[:2]}"]))
        made.attributes.append(texts("datamill.data.hashes", [datum]))
    for stream, line in lines:
        event = made.events.add(name="line", time_unix_nano=now)
        event.attributes.extend([text("message", line), text("stream", stream)])
    stub = TraceServiceStub(bench.jobs_channel)  # type: ignore[no-untyped-call]
    stub.Export(request, metadata=((SERVICE_TOKEN_HEADER, bench.token),), timeout=120)


def read(bench: Bench, **more: object) -> list[str]:
    request = pps.GetLogsRequest(**more)  # type: ignore[arg-type]  # named by tests
    return [line.message for line in bench.jobs.GetLogs(request, timeout=120)]


def test_lines_come_back_by_job_datum_and_input(bench: Bench) -> None:
    id = bench.create()
    export(bench, id, D1, [("worker", "begins"), ("stdout", "one %s {}"), ("stderr", "two"), ("worker", "ends")])
    export(bench, id, D2, [("stdout", "three")])
    export(bench, id, "", [("worker", "between")])
    mine = job(bench.name, id)
    assert read(bench, job=mine) == ["begins", "one %s {}", "two", "ends", "three", "between"]
    assert read(bench, job=mine, datum=pps.Datum(id=D1)) == ["begins", "one %s {}", "two", "ends"]
    assert read(bench, pipeline=pipeline(bench.name), datum=pps.Datum(id=D2)) == ["three"]
    by_path, by_hash = (read(bench, job=mine, data_filters=[one]) for one in ("/22", D2))
    assert by_path == by_hash == ["three"]
    assert read(bench, job=mine, data_filters=["/22", "/11"]) == []
    assert read(bench, job=mine, tail=2) == ["three", "between"]
    assert read(bench, job=job(bench.name, "master"), tail=1) == ["between"], "a branch names its newest job"
    lines = list(bench.jobs.GetLogs(pps.GetLogsRequest(job=mine, datum=pps.Datum(id=D1))))
    assert [line.user for line in lines] == [False, True, True, False]
    assert {(line.worker_id, line.job_id, line.datum_id, line.data[0].path) for line in lines} == {
        ("w1", id, D1, "/11")
    }
    master = read(bench, job=mine, master=True)
    assert "job is STARTING" in master
    assert "one %s {}" not in master


def test_ten_thousand_lines_all_come_back_in_order(bench: Bench) -> None:
    id = bench.create()
    for start in range(0, 10_000, 1000):
        export(bench, id, D1, [("stdout", f"line {n}") for n in range(start, start + 1000)])
    assert read(bench, job=job(bench.name, id)) == [f"line {n}" for n in range(10_000)]


def test_lines_sent_twice_are_kept_once(bench: Bench) -> None:
    id, span = bench.create(), secrets.token_bytes(8)
    mine = job(bench.name, id)
    now = time.time_ns
    fixed = now()
    time.time_ns = lambda: fixed  # the same request again has the same times
    try:
        for _ in range(2):
            export(bench, id, D1, [("stdout", "once")], span)
    finally:
        time.time_ns = now
    assert read(bench, job=mine) == ["once"]


def test_a_line_bigger_than_a_message_is_kept_whole(bench: Bench) -> None:
    id, long = bench.create(), "é" * 700_000
    export(bench, id, D1, [("stdout", long), ("stdout", "after")])
    assert "".join(read(bench, job=job(bench.name, id))) == long + "after"


def test_following_shows_each_line_as_it_comes(bench: Bench) -> None:
    id = bench.create()
    export(bench, id, D1, [("stdout", "before")])
    call = bench.jobs.GetLogs(pps.GetLogsRequest(job=job(bench.name, id), follow=True), timeout=120)
    assert next(call).message == "before"
    for n in range(5):
        export(bench, id, D1, [("stdout", f"new {n}")])
        assert next(call).message == f"new {n}", "seen before the next is sent"
    call.cancel()


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (pps.GetLogsRequest(datum=pps.Datum(id=D1)), "must specify the Job or Pipeline that the datum is from"),
        (pps.GetLogsRequest(pipeline=pipeline("nobody")), "could not get pipeline information for nobody"),
        (pps.GetLogsRequest(job=job("nobody", "f" * 32)), f'could not get job information for "{"f" * 32}"'),
        (pps.GetLogsRequest(job=pps.Job(id="f" * 32)), "pipeline must be specified for the given job"),
        (pps.GetLogsRequest(job=job("a", "f" * 32), pipeline=pipeline("b")), "job is from the wrong pipeline"),
    ],
)
def test_wrong_requests_are_refused(bench: Bench, request_: pps.GetLogsRequest, words: str) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        list(bench.jobs.GetLogs(request_, timeout=120))
    assert words in str(refused.value.details())
