"""Structured logs with trace ids, and a tracer that exports when a collector is configured.

One JSON object a line on stderr; the supervisor keeps it. No file contents and no secrets ever go in.
"""

import json
import logging
import secrets
import sys
from datetime import UTC, datetime
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context

Entered = Any  # a context manager that decorates, too: the API keeps its type to itself


class JsonLines(logging.Formatter):
    """One JSON object a record: at, level, service, logger, message, and trace and span ids when there is a span."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            entry |= {"trace_id": f"{span.trace_id:032x}", "span_id": f"{span.span_id:016x}"}
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def start_logging(service: str, *, level: str = "INFO") -> None:
    """Log to stderr from now on; may be called again with another level."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("nats").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)


class Ids(trace.Tracer, trace.TracerProvider):
    """Spans without a collector: nothing but their ids, which the log lines show. They pass a caller's trace on."""

    def get_tracer(self, *_: Any, **__: Any) -> trace.Tracer:
        return self

    def start_span(self, name: str, context: Context | None = None, *_: Any, **__: Any) -> trace.Span:
        above = trace.get_current_span(context).get_span_context()
        of = above.trace_id if above.is_valid else secrets.randbits(128)
        return trace.NonRecordingSpan(trace.SpanContext(of, secrets.randbits(64), False, trace_state=above.trace_state))

    def start_as_current_span(self, name: str, context: Context | None = None, *_: Any, **__: Any) -> Entered:
        return trace.use_span(self.start_span(name, context))


def start_telemetry(service: str, *, collector: str = "", level: str = "INFO") -> None:
    """Set up logging, and tracing too: spans go to `collector` ("host:port", OTLP over gRPC) when it is not empty."""
    start_logging(service, level=level)
    trace.set_tracer_provider(_exporting(service, collector) if collector else Ids())


def _exporting(service: str, collector: str) -> trace.TracerProvider:
    # The SDK costs 10 MiB and a twentieth of a start: only where there is a collector.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=collector, insecure=True)))
    return provider
