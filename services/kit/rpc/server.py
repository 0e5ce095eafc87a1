"""A gRPC server as every service runs it: problems become statuses here and nowhere else.

Also: health, reflection, 20 MiB messages, keepalive, one span a call, and a drain that lets running calls end.
Elsewhere: calling other services (channels.py).
"""

import asyncio
import hmac
import logging
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractContextManager, aclosing, asynccontextmanager, nullcontext
from datetime import timedelta
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ResourceInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode
from grpc.aio import ServicerContext
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from opentelemetry import propagate, trace

from services.kit import errors

log = logging.getLogger(__name__)
MAX_MESSAGE_BYTES = 20 << 20
SERVICE_TOKEN_HEADER = "datamill-service-token"
MOST_SAID_BYTES = 6000  # clients take 8 KiB of headers
MOST_DETAILED_BYTES = 7500
DETAILS_HEADER = "grpc-status-details-bin"  # google.rpc.Status: the status again, with details for programs
FINISHED_HEADER = "datamill-finished"  # in the trailers of FinishCommit: the commit is FINISHED, without an error
PROBLEM_HEADER = "datamill-error"  # in the trailers of a refusal that a service itself has made
Context = ServicerContext[Any, Any]
Registration = Callable[[grpc.aio.Server], None]
Around = Callable[[str], AbstractContextManager[object]]
"""Entered for each call, with its full method name, and left when the call has ended."""
T = TypeVar("T")
Answers = AsyncIterator[Any]
"""What a method with a stream of answers gives: messages, or `Encoded` ones, many at a time."""


class Encoded(list[bytes]):
    """Messages of the method's type that are bytes already, to be sent one after the other."""


STATUS: dict[type[Exception], StatusCode] = {
    errors.Problem: StatusCode.UNKNOWN,
    errors.Invalid: StatusCode.INVALID_ARGUMENT,
    errors.NotFound: StatusCode.NOT_FOUND,
    errors.AlreadyExists: StatusCode.ALREADY_EXISTS,
    errors.Refused: StatusCode.FAILED_PRECONDITION,
    errors.Unavailable: StatusCode.UNAVAILABLE,
    errors.Exhausted: StatusCode.RESOURCE_EXHAUSTED,
    errors.Unsupported: StatusCode.UNIMPLEMENTED,
    errors.Forbidden: StatusCode.PERMISSION_DENIED,
    errors.Contradiction: StatusCode.INTERNAL,
    errors.Corrupt: StatusCode.DATA_LOSS,
    errors.TooLong: StatusCode.DEADLINE_EXCEEDED,
}
OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.so_reuseport", 0),  # a port in use is a mistake to report, not one to share
)


class PortInUse(Exception):
    """Somebody else listens there already."""


@asynccontextmanager
async def answered(context: Context, method: str) -> AsyncIterator[None]:
    """Turn whatever the block raises into the call's status."""
    try:
        yield
    except grpc.aio.AbortError:
        raise
    except NotImplementedError:  # a generated method that nobody wrote yet
        await context.abort(StatusCode.UNIMPLEMENTED, f"{method} is not built yet")
    except errors.Problem as problem:
        code, said = next(STATUS[kind] for kind in type(problem).__mro__ if kind in STATUS), sendable(str(problem))
        trailers: list[tuple[str, str | bytes]] = [(PROBLEM_HEADER, type(problem).__name__)]
        details = _details(code, said, problem) if problem.resource is not None or problem.violations else b""
        if details and len(said) + len(details) * 4 // 3 <= MOST_DETAILED_BYTES:  # bytes travel in base64
            trailers.append((DETAILS_HEADER, details))
        await context.abort(code, said, tuple(trailers))
    except grpc.aio.AioRpcError as error:  # another service's answer to a call made for this one
        await context.abort(error.code(), sendable(error.details() or ""))
    except Exception:
        log.exception("%s failed", method)  # the cause goes to the log, never to the caller
        await context.abort(StatusCode.INTERNAL, "internal error")


def sendable(said: str) -> str:
    """A sentence without its middle when it is so long that clients would refuse the headers in which it travels."""
    sent = sum(1 if " " <= character <= "~" else 3 * len(character.encode()) for character in said)
    if sent <= MOST_SAID_BYTES:
        return said
    plain, part = said.encode("ascii", "replace").decode(), MOST_SAID_BYTES // 3
    return f"{plain[:part]} ... {plain[-part:]}"


def _details(code: StatusCode, text: str, problem: errors.Problem) -> bytes:
    status = Status(code=code.value[0], message=text)
    if (about := problem.resource) is not None:
        info = ResourceInfo(resource_type=about.type, resource_name=about.name, description=about.description)
        status.details.add().Pack(info)
    if problem.violations:
        bad = BadRequest()
        for one in problem.violations:
            bad.field_violations.add(field=one.field, description=one.description)
        status.details.add().Pack(bad)
    data: bytes = status.SerializeToString()
    return data


class Guarded(grpc.GenericRpcHandler):
    """All methods of a server, each guarded once, where an interceptor would guard it anew at every call.

    Streams are gone through inside the guard, so that their errors do not escape it.
    """

    def __init__(self, around: Around) -> None:
        self._around = around
        self._tracer = trace.get_tracer("datamill.server")
        self._bare: list[grpc.GenericRpcHandler] = []
        self._guarded: dict[str, Any] = {}

    def add(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Guard what these handle, too."""
        self._bare += handlers

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = str(handler_call_details.method)
        if (known := self._guarded.get(method)) is not None:
            return known
        for handler in self._bare:
            if (found := handler.service(handler_call_details)) is not None:
                return self._guarded.setdefault(method, self._guard(method, found))
        return None

    def _guard(self, method: str, handler: Any) -> Any:
        sides = (handler.request_streaming, handler.response_streaming)
        shape = "_".join("stream" if streaming else "unary" for streaming in sides)
        call = getattr(handler, shape)

        async def one(request: Any, context: Context) -> Any:
            with self._span(method, context), self._around(method):
                async with answered(context, method):
                    return await call(_readable(request), context)

        async def many(request: Any, context: Context) -> None:
            with self._span(method, context), self._around(method):
                async with answered(context, method):
                    replies = call(_readable(request), context)
                    if isinstance(replies, Coroutine):  # it writes by itself: gRPC's own methods do
                        await replies
                    else:
                        await _written(replies, context)

        return _replaced(handler, shape, many if handler.response_streaming else one)

    def _span(self, method: str, context: Context) -> Any:
        came_with = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        return self._tracer.start_as_current_span(
            method.lstrip("/"),
            context=propagate.extract(came_with),
            kind=trace.SpanKind.SERVER,
            attributes={"rpc.system": "grpc"},
            record_exception=False,
            set_status_on_exception=False,
        )


def _readable(request: Any) -> Any:
    """A request, unless its bytes were none: single ones are read outside the guard."""
    if isinstance(request, errors.Invalid):
        raise request
    return request


async def _written(replies: Any, context: Context) -> None:
    async with aclosing(replies) as open_replies:
        async for reply in open_replies:
            for message in reply if isinstance(reply, Encoded) else (reply,):
                await context.write(message)


def _replaced(handler: Any, shape: str, guarded: Any) -> Any:
    make, serialize = getattr(grpc, f"{shape}_rpc_method_handler"), handler.response_serializer

    def serialized(message: Any) -> bytes:
        return message if isinstance(message, bytes) else serialize(message)

    def deserialized(data: bytes) -> Any:
        try:
            return handler.request_deserializer(data)
        except DecodeError as error:
            unreadable = errors.Invalid(f"the request cannot be read: {error}")
            if handler.request_streaming:  # read inside the guard
                raise unreadable from error
            return unreadable

    return make(
        guarded,
        request_deserializer=handler.request_deserializer and deserialized,
        response_serializer=serialized if handler.response_streaming else serialize,
    )


def require_service(context: Context, token: str) -> None:
    """Let only datamill's own services pass. Raises Forbidden."""
    if not is_service(context, token):
        raise errors.Forbidden("this call is kept for datamill's own services")


def is_service(context: Context, token: str) -> bool:
    """Whether the caller showed the instance's service token; the gateway strips it from outside calls."""
    for key, value in context.invocation_metadata() or ():
        if key == SERVICE_TOKEN_HEADER:
            return bool(token) and hmac.compare_digest(str(value), token)
    return False


@asynccontextmanager
async def serving(
    register: Sequence[Registration], names: Sequence[str], *, at: str, drain: timedelta, around: Around = nullcontext
) -> AsyncIterator[str]:
    """Serve until the block ends, then let running calls go on for at most `drain`. Yields "host:port".

    register: functions such as `lambda server: add_APIServicer_to_server(api, server)`.
    names: full names of the services, for health and reflection.
    Raises PortInUse.
    """
    server = grpc.aio.server(options=list(OPTIONS))
    guarded = Guarded(around)
    server.add_generic_rpc_handlers((guarded,))
    setattr(server, "add_generic_rpc_handlers", guarded.add)  # noqa: B010
    # grpcio (1.85) waits on one task for every registered method again at each call; generic handlers cost one in all.
    setattr(server, "add_registered_method_handlers", lambda service, handlers: None)  # noqa: B010
    checks = health.aio.HealthServicer()
    for add in register:
        add(server)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    reflection.enable_server_reflection((*names, reflection.SERVICE_NAME, health.SERVICE_NAME), server)
    host = at.rsplit(":", 1)[0]
    try:
        port = server.add_insecure_port(at)
    except RuntimeError as error:
        raise PortInUse(f"cannot listen on {at}: is the port in use?") from error
    await server.start()
    for name in ("", *names):
        await checks.set(name, health_pb2.HealthCheckResponse.SERVING)
    log.info("serving on %s:%d", host, port)
    try:
        yield f"{host}:{port}"
    finally:
        await checks.enter_graceful_shutdown()
        await server.stop(drain.total_seconds())


async def told_to_stop() -> None:
    """Return once SIGTERM or SIGINT arrives."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    await told.wait()
