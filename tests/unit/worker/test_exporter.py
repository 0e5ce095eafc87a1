"""What is sent to Jobs, whatever it says."""

import threading

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from services.worker.peers.calls import Peers
from services.worker.telemetry.exporter import Exporter
from services.worker.telemetry.spans import LogContext, Span, now, parent_from

PARENT = parent_from(f"00-{'a' * 32}-{'b' * 16}-01")


class Hearing(Peers):
    """Jobs, which takes everything."""

    def __init__(self) -> None:
        super().__init__(pfs="127.0.0.1:1", jobs="127.0.0.1:1", token="")
        self.heard = list[str]()

    def ask(self, method: object, request: ExportTraceServiceRequest, *, timeout: float = 0) -> object:  # type: ignore[override]
        for span in request.resource_spans[0].scope_spans[0].spans:
            self.heard += [event.attributes[0].value.string_value for event in span.events]
            self.heard += [span.status.message] if span.status.message else []
        return None


def test_words_that_are_no_text_are_said_as_far_as_they_are() -> None:
    peers = Hearing()
    exporter = Exporter(peers, {})
    exporter.say(LogContext(PARENT, {}), "cannot read 'a\udcff'")
    exporter.span(Span("set", PARENT.child(), PARENT.span, now(), now(), {}, "cannot read 'b\udcff'"))
    assert exporter.flush(120)
    assert peers.heard == ["cannot read 'a\\udcff'", "cannot read 'b\\udcff'"]
    exporter.close(1)
    peers.close()


def test_what_cannot_be_sent_takes_nothing_else_with_it() -> None:
    peers = Hearing()
    exporter = Exporter(peers, {})
    exporter.lines(LogContext(PARENT, {}), "stdout", ["\udcff"])
    exporter.flush(120)
    exporter.say(LogContext(PARENT, {}), "well")
    assert exporter.flush(120)
    assert peers.heard == ["well"]
    exporter.close(1)
    peers.close()
    assert "telemetry" not in {thread.name for thread in threading.enumerate()}
