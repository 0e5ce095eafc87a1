"""pachyderm.worker.Worker on $PPS_WORKER_GRPC_PORT of this machine: what the worker does, cutting it short, and the
next datum for user code that handles a whole set.
"""

from collections.abc import Callable
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import worker_pb2 as wire
from services.worker.activity import Activity
from services.worker.batching.asked import AskedInTurn
from services.worker.serving.http2 import INTERNAL, UNKNOWN, Call, Handler

SERVICE = "/pachyderm.worker.Worker/"
Request = TypeVar("Request", bound=Message)


class WorkerApi:
    """Answers about one worker. asked: where calls of NextDatum go; None when the pipeline does not batch."""

    def __init__(self, name: str, activity: Activity, asked: AskedInTurn | None) -> None:
        self._name = name
        self._activity = activity
        self._asked = asked

    def handlers(self) -> dict[str, Handler]:
        return {
            f"{SERVICE}Status": self._status,
            f"{SERVICE}Cancel": _reading(wire.CancelRequest, self._cancel),
            f"{SERVICE}NextDatum": _reading(wire.NextDatumRequest, self._next_datum),
        }

    def _status(self, call: Call, _: bytes) -> None:
        status = pps.WorkerStatus(worker_id=self._name)
        doing = self._activity.doing
        if doing is not None:
            status = pps.WorkerStatus(worker_id=self._name, job_id=doing.job.id, datum_status=doing.wire())
        call.reply(status.SerializeToString())

    def _cancel(self, call: Call, request: wire.CancelRequest) -> None:
        done = self._activity.cancel(request.job_id, request.data_filters)
        call.reply(wire.CancelResponse(success=done).SerializeToString())

    def _next_datum(self, call: Call, request: wire.NextDatumRequest) -> None:
        if self._asked is None:
            call.fail(UNKNOWN, "datum batching not enabled")
        else:
            self._asked.put(call, request.error)


def _reading(kind: type[Request], handle: Callable[[Call, Request], None]) -> Handler:
    def read(call: Call, message: bytes) -> None:
        try:
            request = kind.FromString(message)
        except DecodeError as error:
            call.fail(INTERNAL, f"the request cannot be read: {error}")
        else:
            handle(call, request)

    return read
