"""Structured logs with trace ids, and a tracer that exports when a collector is configured.

One JSON object a line on stderr; the supervisor keeps it. No file contents and no secrets ever go in.
"""

import json
import logging
import sys
from datetime import UTC, datetime

from opentelemetry import trace


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


def start_telemetry(service: str, *, collector: str = "", level: str = "INFO") -> None:
    """Set up logging, and tracing too: spans go to `collector` ("host:port", OTLP over gRPC) when it is not empty."""
    start_logging(service, level=level)
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - costs 10 MiB, only where tracing is set up
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, DEFAULT_ON  # noqa: PLC0415

    # Without a collector a span is only its ids, which the log lines show.
    sampler = DEFAULT_ON if collector else ALWAYS_OFF
    provider = TracerProvider(resource=Resource.create({"service.name": service}), sampler=sampler)
    if collector:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=collector, insecure=True)))
    trace.set_tracer_provider(provider)
