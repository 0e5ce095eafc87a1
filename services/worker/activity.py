"""What the worker does right now, for whoever asks, and the way to cut it short."""

import base64
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import work_v1_pb2 as work
from services.worker.process.interrupt import Interrupt


@dataclass(frozen=True, slots=True)
class Doing:
    """An attempt at a datum. started: nanoseconds since 1970."""

    job: pps.Job
    datum: work.Datum
    started: int

    def wire(self) -> pps.DatumStatus:
        started = Timestamp()
        started.FromNanoseconds(self.started)
        data = [pps.InputFile(path=item.file.path, hash=item.digest) for item in self.datum.inputs]
        return pps.DatumStatus(started=started, data=data)

    def matches(self, filters: Sequence[str]) -> bool:
        """Whether every filter names an input: by path, or by hash as hex or base64."""
        names: set[str] = set()
        for item in self.datum.inputs:
            names |= {item.file.path, item.digest.hex(), base64.b64encode(item.digest).decode()}
        return all(wanted in names for wanted in filters)


class Activity:
    """Written by the thread that runs datums, read by the others."""

    def __init__(self, interrupt: Interrupt) -> None:
        self._interrupt = interrupt
        self._lock = threading.Lock()
        self._doing: Doing | None = None

    @property
    def doing(self) -> Doing | None:
        return self._doing

    def begin(self, doing: Doing) -> None:
        with self._lock:
            self._interrupt.begin_attempt()
            self._doing = doing

    def end(self) -> None:
        with self._lock:
            self._doing = None

    def cancel(self, job_id: str, filters: Sequence[str]) -> bool:
        """Fail the running attempt if it belongs to the job and all filters match."""
        with self._lock:
            doing = self._doing
            if doing is None or doing.job.id != job_id or not doing.matches(filters):
                return False
            self._interrupt.cancel()
            return True

    def cancel_datums(self, datum_ids: Sequence[str]) -> None:
        """Fail the running attempt if it is at one of these datums."""
        with self._lock:
            if self._doing is not None and self._doing.datum.id in datum_ids:
                self._interrupt.cancel()
