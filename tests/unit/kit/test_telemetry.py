"""Spans without a collector: ids for the log, and a caller's trace passed on."""

import json
import logging

from opentelemetry import propagate, trace

from services.kit.telemetry import Ids, JsonLines

CALLER = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}


def _logged() -> dict[str, str]:
    record = logging.LogRecord("name", logging.INFO, "file", 1, "said", None, None)
    found: dict[str, str] = json.loads(JsonLines("pfs").format(record))
    return found


def test_lines_of_a_call_carry_the_trace_of_its_caller_and_a_span_of_their_own() -> None:
    tracer = Ids().get_tracer("test")
    with tracer.start_as_current_span("call", context=propagate.extract(CALLER), kind=trace.SpanKind.SERVER):
        outer, sent = _logged(), dict[str, str]()
        propagate.inject(sent)
        with tracer.start_as_current_span("within"):
            inner = _logged()
    assert outer["trace_id"] == inner["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert len({outer["span_id"], inner["span_id"], "b7ad6b7169203331"}) == 3
    assert sent["traceparent"].split("-")[1:3] == [outer["trace_id"], outer["span_id"]]
    assert "trace_id" not in _logged()


def test_calls_without_a_trace_begin_one_each() -> None:
    tracer, seen = Ids(), set()
    for _ in range(2):
        with tracer.start_as_current_span("call", context=propagate.extract({})):
            seen.add(_logged()["trace_id"])
    assert len(seen) == 2
    assert all(len(each) == 32 for each in seen)
