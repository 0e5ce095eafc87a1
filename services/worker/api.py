"""pachyderm.worker.Worker on $PPS_WORKER_GRPC_PORT of this machine: what the worker does, cutting it short, and the
next datum for user code that handles a whole set.
"""

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
from services.worker.batching.asked import AskedInTurn

THREADS = 32  # a call of NextDatum holds one while it waits


class WorkerApi(worker_pb2_grpc.WorkerServicer):
    """Answers about one worker. asked: where calls of NextDatum go; None when the pipeline does not batch."""

    def __init__(self, name: str, activity: Activity, asked: AskedInTurn | None) -> None:
        self._name = name
        self._activity = activity
        self._asked = asked

    def Status(self, request: Empty, context: Any) -> pps.WorkerStatus:
        doing = self._activity.doing
        if doing is None:
            return pps.WorkerStatus(worker_id=self._name)
        return pps.WorkerStatus(worker_id=self._name, job_id=doing.job.id, datum_status=doing.wire())

    def Cancel(self, request: wire.CancelRequest, context: Any) -> wire.CancelResponse:
        return wire.CancelResponse(success=self._activity.cancel(request.job_id, request.data_filters))

    def NextDatum(self, request: wire.NextDatumRequest, context: Any) -> wire.NextDatumResponse:
        if self._asked is None:
            context.abort(grpc.StatusCode.UNKNOWN, "datum batching not enabled")
            raise AssertionError  # abort does not return
        asked = self._asked.put(request.error)
        if not context.add_callback(asked.drop):
            asked.drop()
        asked.wait()
        if asked.env is None:
            context.abort(grpc.StatusCode.CANCELLED, "the user code that asked for a datum has been stopped")
        return wire.NextDatumResponse(env=asked.env)


@contextmanager
def serving(api: WorkerApi, at: str) -> Iterator[int]:
    """Serve until the block ends. Yields the port."""
    server = grpc.server(ThreadPoolExecutor(THREADS, "api"), options=(("grpc.so_reuseport", 0),))
    worker_pb2_grpc.add_WorkerServicer_to_server(api, server)
    port = server.add_insecure_port(at)
    server.start()
    try:
        yield port
    finally:
        server.stop(0.5)
