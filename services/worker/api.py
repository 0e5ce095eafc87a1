"""pachyderm.worker.Worker on $PPS_WORKER_GRPC_PORT of this machine: what the worker does, and cutting it short."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty

from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import worker_pb2 as wire
from datamill.wire import worker_pb2_grpc
from services.worker.activity import Activity


class WorkerApi(worker_pb2_grpc.WorkerServicer):
    """Answers about one worker."""

    def __init__(self, name: str, activity: Activity) -> None:
        self._name = name
        self._activity = activity

    def Status(self, request: Empty, context: Any) -> pps.WorkerStatus:
        doing = self._activity.doing
        if doing is None:
            return pps.WorkerStatus(worker_id=self._name)
        return pps.WorkerStatus(worker_id=self._name, job_id=doing.job.id, datum_status=doing.wire())

    def Cancel(self, request: wire.CancelRequest, context: Any) -> wire.CancelResponse:
        return wire.CancelResponse(success=self._activity.cancel(request.job_id, request.data_filters))

    def NextDatum(self, request: wire.NextDatumRequest, context: Any) -> wire.NextDatumResponse:
        context.abort(grpc.StatusCode.UNKNOWN, "datum batching not enabled")
        raise AssertionError  # abort does not return


@contextmanager
def serving(api: WorkerApi, at: str) -> Iterator[int]:
    """Serve until the block ends. Yields the port."""
    server = grpc.server(ThreadPoolExecutor(2, "api"), options=(("grpc.so_reuseport", 0),))
    worker_pb2_grpc.add_WorkerServicer_to_server(api, server)
    port = server.add_insecure_port(at)
    server.start()
    try:
        yield port
    finally:
        server.stop(0.5)
