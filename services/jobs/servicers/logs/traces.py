"""OTLP intake: spans named "log" become log lines, all others go on to the collector. README.md has the attributes."""

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceServicer, TraceServiceStub
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from services.jobs.domain.errors import BadRequest
from services.jobs.domain.logs.lines import LogBatch, LogScope
from services.jobs.operations.logs import Logs
from services.kit.rpc.server import Context, require_service

log = logging.getLogger(__name__)
LOG_SPAN, LINE = "log", "line"
USER_STREAMS = ("stdout", "stderr")
FORWARD_BOUND = 1000
LATEST = (1 << 63) - 1  # nanoseconds since 1970 that databases can hold
FORWARD_SECONDS = 10.0


class Forwarder:
    """Sends spans on, in order, dropping the oldest when the collector is away for long."""

    def __init__(self, collector: str) -> None:
        self._collector = collector
        self._waiting: deque[ExportTraceServiceRequest] = deque(maxlen=FORWARD_BOUND)
        self._anything = asyncio.Event()

    def take(self, request: ExportTraceServiceRequest) -> None:
        if self._collector and request.resource_spans:
            self._waiting.append(request)
            self._anything.set()

    async def run(self) -> None:
        """Forward until cancelled."""
        if not self._collector:
            return
        async with grpc.aio.insecure_channel(self._collector) as channel:
            stub = TraceServiceStub(channel)  # type: ignore[no-untyped-call]
            while True:
                await self._anything.wait()
                self._anything.clear()
                while self._waiting:
                    request = self._waiting.popleft()
                    try:
                        await stub.Export(request, timeout=FORWARD_SECONDS)
                    except grpc.aio.AioRpcError as error:
                        log.warning("spans could not be forwarded: %s", error.details())


class TraceIntake(TraceServiceServicer):
    """For workers only: every call needs the service token."""

    def __init__(self, logs: Logs, forwarder: Forwarder, *, token: str) -> None:
        self._logs = logs
        self._forwarder = forwarder
        self._token = token

    async def Export(self, request: ExportTraceServiceRequest, context: Context) -> ExportTraceServiceResponse:
        require_service(context, self._token)
        batches, rest = split(request)
        await self._logs.write(batches)
        self._forwarder.take(rest)
        return ExportTraceServiceResponse()


def split(request: ExportTraceServiceRequest) -> tuple[list[LogBatch], ExportTraceServiceRequest]:
    """The log lines, and a request without them."""
    batches, rest = list[LogBatch](), ExportTraceServiceRequest()
    for resource in request.resource_spans:
        common = dict(_read(resource.resource.attributes))
        for scope in resource.scope_spans:
            other = [span for span in scope.spans if span.name != LOG_SPAN]
            for span in scope.spans:
                if span.name == LOG_SPAN:
                    batches += _batches(span, common)
            if other:
                kept = rest.resource_spans.add(resource=resource.resource, schema_url=resource.schema_url)
                kept.scope_spans.add(scope=scope.scope, schema_url=scope.schema_url, spans=other)
    return batches, rest


def _batches(span: Span, common: Mapping[str, Any]) -> Iterator[LogBatch]:
    """A span's lines. User code's and the worker's own are told apart by batch, in the order they came."""
    facts = {**common, **dict(_read(span.attributes))}
    project, pipeline = facts.get("datamill.project", ""), facts.get("datamill.pipeline", "")
    if not project or not pipeline:
        raise BadRequest("a log span must say datamill.project and datamill.pipeline")
    scope = LogScope(project, pipeline, facts.get("datamill.job", ""), facts.get("datamill.datum", ""))
    paths, hashes = tuple(facts.get("datamill.data.paths", ())), tuple(facts.get("datamill.data.hashes", ()))
    if len(paths) != len(hashes):
        raise BadRequest("datamill.data.paths and datamill.data.hashes must have the same length")
    run: list[tuple[int, str]] = []
    user = False
    part = 0
    for event in (event for event in span.events if event.name == LINE):
        line = {pair.key: pair.value.string_value for pair in event.attributes}
        is_user = line.get("stream") in USER_STREAMS
        if run and is_user is not user:
            yield _batch(span, facts, scope, paths, hashes, user, run, part)
            run, part = [], part + 1
        user = is_user
        run.append((min(event.time_unix_nano, LATEST), line.get("message", "")))
    if run:
        yield _batch(span, facts, scope, paths, hashes, user, run, part)


def _batch(
    span: Span,
    facts: Mapping[str, Any],
    scope: LogScope,
    paths: tuple[str, ...],
    hashes: tuple[str, ...],
    user: bool,
    lines: list[tuple[int, str]],
    part: int,
) -> LogBatch:
    # The bytes of the lines go in too: a sender that regroups what it sends again must not lose any.
    named = hashlib.blake2b(span.trace_id + span.span_id + part.to_bytes(4, "big"), digest_size=16)
    for at, text in lines:
        named.update(at.to_bytes(8, "big") + text.encode("utf-8", "surrogatepass"))
    worker, master = str(facts.get("datamill.worker", "")), facts.get("datamill.master") is True
    return LogBatch(scope, worker, user, master, paths, hashes, tuple(lines), id=named.hexdigest())


def _read(attributes: Iterable[KeyValue]) -> Iterator[tuple[str, Any]]:
    for pair in attributes:
        kind = pair.value.WhichOneof("value")
        if kind == "array_value":
            yield pair.key, [one.string_value for one in pair.value.array_value.values]
        elif kind is not None:
            yield pair.key, getattr(pair.value, kind)
