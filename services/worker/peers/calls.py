"""Calling PFS and Jobs from threads: the service token on every call, a deadline, and patience while they restart.

The shim is threaded, not asyncio: its inner loop waits on pipes and processes, and a blocking client costs less there.
"""

import errno
import logging
import random
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import grpc
from grpc import StatusCode
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from datamill.wire import work_v1_pb2 as work
from datamill.wire.content_v1_pb2_grpc import ContentServiceStub
from datamill.wire.pfs_v2_pb2_grpc import APIStub as PfsStub
from datamill.wire.work_v1_pb2_grpc import WorkServiceStub

log = logging.getLogger(__name__)
T = TypeVar("T")
DEADLINE_SECONDS = 30.0
MAX_MESSAGE_BYTES = 20 << 20
SERVICE_TOKEN_HEADER = "datamill-service-token"
OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 4_000),  # of several replicas one that hangs is left for another within some 10 s
    ("grpc.keepalive_timeout_ms", 6_000),
    ("grpc.http2.ping_timeout_ms", 6_000),  # the same for pings that the transport sends on its own account
    ("grpc.http2.max_pings_without_data", 0),  # as many as it takes: a worker that waits for work sends nothing else
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_http_proxy", 0),
)
# Asking again will not help: the question itself is wrong, or what it asks about is gone.
FINAL = frozenset(
    {
        StatusCode.INVALID_ARGUMENT,
        StatusCode.NOT_FOUND,
        StatusCode.FAILED_PRECONDITION,
        StatusCode.PERMISSION_DENIED,
        StatusCode.UNAUTHENTICATED,
        StatusCode.UNIMPLEMENTED,
        StatusCode.OUT_OF_RANGE,
    }
)


ON_DISK = {
    errno.ENOSPC: "there is no room left on the disk",
    errno.EDQUOT: "there is no room left on the disk: the quota is used up",
    errno.EROFS: "the disk is read-only",
}


class Trouble(Exception):
    """Something that is neither the user's fault nor the shim's: a store or a service does not do its part."""

    def __init__(self, text: str, *, final: bool = False) -> None:
        super().__init__(text)
        self.final = final  # trying again will not help


def in_words(error: "Trouble | OSError") -> str:
    """What went wrong, for whoever reads a job's log."""
    if isinstance(error, Trouble):
        return str(error)
    what = ON_DISK.get(error.errno or 0) or error.strerror or str(error)
    return f"{what} ({error.filename})" if error.filename else what


class Peers:
    """The two services a worker talks to."""

    def __init__(self, *, pfs: str, jobs: str, token: str) -> None:
        self._channels = [grpc.insecure_channel(address, options=OPTIONS) for address in (pfs, jobs)]
        self.metadata = ((SERVICE_TOKEN_HEADER, token),) if token else ()
        self.content = ContentServiceStub(self._channels[0])
        self.files = PfsStub(self._channels[0])
        self.work = WorkServiceStub(self._channels[1])
        self.traces = TraceServiceStub(self._channels[1])  # type: ignore[no-untyped-call]  # generated so

    def ask(self, method: Callable[..., T], request: Any, *, timeout: float = DEADLINE_SECONDS) -> T:
        """One call. Raises Trouble."""
        try:
            return method(request, timeout=timeout, metadata=self.metadata)
        except grpc.RpcError as error:
            raise trouble(error) from error

    def wait_for_set(
        self, request: work.LeaseSetRequest, timeout: float, can_cancel: Callable[[Callable[[], object]], None]
    ) -> work.LeaseSetResponse:
        """A long wait that can be cut short: `can_cancel` is told how. Raises Trouble."""
        call = self.work.LeaseSet.future(request, timeout=timeout, metadata=self.metadata)
        can_cancel(call.cancel)
        try:
            return call.result()
        except grpc.FutureCancelledError as error:
            raise Trouble("cancelled") from error
        except grpc.RpcError as error:
            raise trouble(error) from error

    def close(self) -> None:
        for channel in self._channels:
            channel.close()


def trouble(error: grpc.RpcError) -> Trouble:
    """What a failed call means."""
    code = error.code()
    return Trouble(f"{code.name}: {error.details()}", final=code in FINAL)


LEAST_PAUSE = 0.01  # seconds; what is left of the time gets shorter with each wait, but never is nothing


class Patience:
    """Waits between tries: 0.1 s, doubling up to 2 s, each a little random so that workers do not come in step."""

    def __init__(self, seconds: float, stop: threading.Event) -> None:
        self._left = seconds
        self._stop = stop
        self._next = 0.1

    def wait(self) -> bool:
        """Wait for the next try. False: the time is up, or it is time to stop."""
        if self._left < LEAST_PAUSE or self._stop.is_set():
            return False
        pause = min(self._next, self._left) * random.uniform(0.7, 1.0)
        self._left -= pause
        self._next = min(self._next * 2, 2.0)
        return not self._stop.wait(pause)


def persist(attempt: Callable[[], T], patience: Patience, *, what: str) -> T:
    """Try until it works. Raises Trouble once patience is out, or at once when trying again will not help."""
    while True:
        try:
            return attempt()
        except (Trouble, OSError) as error:
            if getattr(error, "final", False) or not patience.wait():
                raise error if isinstance(error, Trouble) else Trouble(f"{what}: {in_words(error)}") from error
            log.warning("%s: %s; trying again", what, in_words(error))
