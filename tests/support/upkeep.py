"""Calls of whoever runs an instance, straight to a service that was started with the tests' token."""

from collections.abc import Callable
from typing import Any

import grpc

from datamill.wire.upkeep_v1_pb2_grpc import JobUpkeepServiceStub, UpkeepServiceStub
from services.kit.rpc.server import SERVICE_TOKEN_HEADER
from tests.support.servers import SERVICE_TOKEN


class _WithToken(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Shows the token with every call."""

    def _call(self, proceed: Callable[[Any, Any], Any], details: Any, request: Any) -> Any:
        metadata = [*(details.metadata or ()), (SERVICE_TOKEN_HEADER, SERVICE_TOKEN)]
        return proceed(details._replace(metadata=metadata), request)

    intercept_unary_unary = intercept_unary_stream = _call  # type: ignore[assignment]


def upkeep_of(pfs: grpc.Channel) -> UpkeepServiceStub:
    return UpkeepServiceStub(grpc.intercept_channel(pfs, _WithToken()))


def job_upkeep_of(jobs: grpc.Channel) -> JobUpkeepServiceStub:
    return JobUpkeepServiceStub(grpc.intercept_channel(jobs, _WithToken()))
