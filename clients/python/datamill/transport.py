"""The way to a server: one channel, a deadline on every unary call, and failures raised as `datamill.errors`.

Elsewhere: what is called (methods/), all of it on top of `Calls`.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self, TypeVar

import grpc

from datamill.errors import Invalid, Refused, Unavailable, translated
from datamill.wire import (
    content_v1_pb2_grpc,
    explain_v1_pb2_grpc,
    logs_pb2_grpc,
    metadata_pb2_grpc,
    pfs_v2_pb2_grpc,
    pps_v2_pb2_grpc,
    transaction_v2_pb2_grpc,
    versionpb_v2_pb2_grpc,
)

Request = TypeVar("Request")
Reply = TypeVar("Reply")
DEFAULT_ADDRESS = "grpc://localhost:30650"
MESSAGE_BYTES = 20 << 20
TRANSACTION_HEADER = "pach-transaction"
CONNECT_MS = 4_000
OPTIONS = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", CONNECT_MS),  # also how long one attempt to connect may take
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.enable_http_proxy", 0),
]


def target(address: str) -> tuple[str, bool]:
    """("host:port", whether TLS is wanted). Raises Invalid."""
    scheme, mark, rest = address.partition("://")
    if not mark:
        scheme, rest = "grpc", address
    host, colon, port = rest.rstrip("/").rpartition(":")
    if scheme not in ("grpc", "grpcs") or not colon or not host or not port.isdigit():
        raise Invalid(f"{address!r} is not an address: write grpc://host:port (or grpcs:// for TLS)")
    return f"{host}:{port}", scheme == "grpcs"


class Calls:
    """A connection. A context manager; safe to use from several threads."""

    def __init__(self, address: str = DEFAULT_ADDRESS, *, timeout: float = 60.0) -> None:
        """timeout: seconds a unary call may take; waits and streams take as long as they need.

        Connects at the first call. Raises Invalid for an address that cannot be right.
        """
        self.address = address
        self.timeout = timeout
        where, secure = target(address)
        if secure:
            self.channel = grpc.secure_channel(where, grpc.ssl_channel_credentials(), options=OPTIONS)
        else:
            self.channel = grpc.insecure_channel(where, options=OPTIONS)
        self.pfs = pfs_v2_pb2_grpc.APIStub(self.channel)
        self.pps = pps_v2_pb2_grpc.APIStub(self.channel)
        self.explain = explain_v1_pb2_grpc.ExplainServiceStub(self.channel)
        self.log_lines = logs_pb2_grpc.APIStub(self.channel)
        self.content = content_v1_pb2_grpc.ContentServiceStub(self.channel)
        self.versions = versionpb_v2_pb2_grpc.APIStub(self.channel)
        self.transactions = transaction_v2_pb2_grpc.APIStub(self.channel)
        self.metadata = metadata_pb2_grpc.APIStub(self.channel)
        self._thread = threading.local()

    @property
    def joined(self) -> str:
        """The id of the transaction that unary calls of this thread join when they can, or ""."""
        return getattr(self._thread, "joined", "")

    @joined.setter
    def joined(self, id: str) -> None:
        self._thread.joined = id

    def refuse_files(self) -> None:
        """Files cannot be part of a transaction, and what it has collected is not there to be read. Raises Refused."""
        if self.joined:
            raise Refused("files cannot be written or read inside a transaction; do it before or after")

    def connect(self, timeout: float = 5.0) -> None:
        """Make sure that somebody listens. Raises Unavailable at once when nobody does, at the latest in `timeout`."""
        states: queue.SimpleQueue[grpc.ChannelConnectivity] = queue.SimpleQueue()
        self.channel.subscribe(states.put, try_to_connect=True)
        try:
            while (state := states.get(timeout=timeout)) is not grpc.ChannelConnectivity.READY:
                if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                    raise Unavailable(f"no datamill answers at {self.address}")
        except queue.Empty:
            raise Unavailable(f"no datamill answers at {self.address} (waited {timeout:g} s)") from None
        finally:
            self.channel.unsubscribe(states.put)

    def close(self) -> None:
        self.channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(
        self, method: "grpc.UnaryUnaryMultiCallable[Request, Reply]", request: Request, timeout: float | None = None
    ) -> Reply:
        """One unary call. timeout: seconds, None for the connection's own."""
        headers = ((TRANSACTION_HEADER, self.joined),) if self.joined else None
        try:
            return method(request, timeout=self.timeout if timeout is None else timeout, metadata=headers)
        except grpc.RpcError as error:
            raise translated(error, self.address) from error

    def wait(self, method: "grpc.UnaryUnaryMultiCallable[Request, Reply]", request: Request) -> Reply:
        """A unary call that answers when something has happened: no deadline. Can be interrupted."""
        try:
            return method(request)
        except grpc.RpcError as error:
            raise translated(error, self.address) from error

    def send(
        self, method: "grpc.StreamUnaryMultiCallable[Request, Reply]", requests: Callable[[], Iterator[Request]]
    ) -> Reply:
        """A stream of requests, one reply. An exception of the requests' own is raised as it is, and nothing is sent
        as complete."""
        failed: list[BaseException] = []

        def guarded() -> Iterator[Request]:
            try:
                yield from requests()
            except BaseException as error:  # the sending thread would swallow it and report a cancelled call
                failed.append(error)
                raise

        try:
            return method(guarded())
        except grpc.RpcError as error:
            if failed:
                raise failed[0] from None
            raise translated(error, self.address) from error

    def stream(self, method: "grpc.UnaryStreamMultiCallable[Request, Reply]", request: Request) -> Iterator[Reply]:
        """The replies, as they come. Closing the iterator ends the call."""
        replies = method(request)
        try:
            yield from replies
        except grpc.RpcError as error:
            raise translated(error, self.address) from error
        finally:
            replies.cancel()


def patiently(ask: Callable[[], Reply], patience: float = 60.0) -> Reply:
    """Repeat a wait while the server is away, for instance restarting, for at most `patience` seconds on end."""
    deadline: float | None = None
    while True:
        asked = time.monotonic()
        try:
            return ask()
        except Unavailable:
            now = time.monotonic()
            if deadline is None or now - asked > patience / 10:  # it was there for a while before it went away again
                deadline = now + patience
            if now > deadline:
                raise
        time.sleep(0.5)
