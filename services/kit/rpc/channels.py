"""Calling another service: one channel a peer, the service token on every call, and a deadline on every unary call.

A peer that hangs is found out by pings within 13 s; of several replicas another one is asked then.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import grpc
from opentelemetry import propagate

from services.kit.rpc.server import MAX_MESSAGE_BYTES, SERVICE_TOKEN_HEADER

DEADLINE_SECONDS = 30.0
CONNECT_SECONDS = 2.0  # twice the longest pause between attempts: a peer that has just come up is found within it
OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 8_000),
    ("grpc.http2.ping_timeout_ms", 8_000),  # the same for pings that the transport sends on its own account
    ("grpc.http2.max_pings_without_data", 0),  # as many as it takes
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


def connect(address: str, *, token: str = "") -> grpc.aio.Channel:
    """A channel to `address` ("host:port"). Streams have no deadline of their own; their callers cancel them."""
    unary = _Unary(token)
    interceptors = [unary, _StreamHeaders(token), _SendStreamHeaders(token)]
    unary.channel = grpc.aio.insecure_channel(address, options=list(OPTIONS), interceptors=interceptors)
    return unary.channel


def _with_headers(details: grpc.aio.ClientCallDetails, token: str, timeout: float | None) -> grpc.aio.ClientCallDetails:
    carried: dict[str, str] = {}
    propagate.inject(carried)
    metadata = grpc.aio.Metadata(*(details.metadata or ()), *carried.items())
    if token:
        metadata.add(SERVICE_TOKEN_HEADER, token)
    return grpc.aio.ClientCallDetails(
        method=details.method,
        timeout=details.timeout if details.timeout is not None else timeout,
        metadata=metadata,
        credentials=details.credentials,
        wait_for_ready=details.wait_for_ready,
    )


class _Unary(grpc.aio.UnaryUnaryClientInterceptor):
    """Adds the deadline, and gives a peer that was not there at the last attempt a moment to be found again.

    A call with wait_for_ready=False can do without the peer and gives it none.
    """

    channel: grpc.aio.Channel

    def __init__(self, token: str) -> None:
        self._token = token

    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: Any, request: Any
    ) -> Any:
        patient = client_call_details.wait_for_ready is not False
        if patient and self.channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            with suppress(TimeoutError):
                async with asyncio.timeout(CONNECT_SECONDS):
                    await self.channel.channel_ready()
        return await continuation(_with_headers(client_call_details, self._token, DEADLINE_SECONDS), request)


class _StreamHeaders(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, token: str) -> None:
        self._token = token

    async def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: Any, request: Any
    ) -> Any:
        return await continuation(_with_headers(client_call_details, self._token, None), request)


class _SendStreamHeaders(grpc.aio.StreamUnaryClientInterceptor):
    def __init__(self, token: str) -> None:
        self._token = token

    async def intercept_stream_unary(
        self, continuation: Callable[..., Any], client_call_details: Any, request_iterator: Any
    ) -> Any:
        return await continuation(_with_headers(client_call_details, self._token, None), request_iterator)
