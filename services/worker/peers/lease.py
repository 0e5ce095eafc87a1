"""Keeps the lease of the set in hand, and learns from its renewal when to stop.

Renewed every second, or three times per lease when that is more often, so that a stopped job stops its user code
soon. While Jobs is away the work goes on: nobody else can lease the set either, and the first answer afterwards says
whose it is.
"""

import logging
import threading
import time
from collections.abc import Callable

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import work_v1_pb2 as work
from services.worker.activity import Activity, Doing
from services.worker.peers.calls import Peers, Trouble
from services.worker.process.interrupt import Interrupt
from services.worker.spec import WorkerSpec

log = logging.getLogger(__name__)
RENEW_SECONDS = 1.0
CALL_SECONDS = 10.0
FILE_SET_SECONDS = 600


class LeaseKeeper:
    """One thread for the worker's life."""

    def __init__(
        self, peers: Peers, spec: WorkerSpec, *, worker: str, incarnation: str, interrupt: Interrupt, activity: Activity
    ) -> None:
        self._peers = peers
        self._spec = spec
        self._worker = worker
        self._incarnation = incarnation
        self._interrupt = interrupt
        self._activity = activity
        self._set: work.DatumSet | None = None
        self._reported: Doing | None = None
        self._file_set = ""
        self._file_set_due = 0.0
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def begin(self, datum_set: work.DatumSet) -> None:
        with self._changed:
            self._set = datum_set
            self._changed.notify_all()

    def keep_file_set(self, id: str) -> None:
        """Keep a file set, too, until the set ends."""
        with self._changed:
            self._file_set, self._file_set_due = id, time.monotonic() + FILE_SET_SECONDS / 3

    def end(self) -> None:
        with self._changed:
            self._set = None
            self._file_set = ""
            self._changed.notify_all()

    def _keep(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._set is not None)
                held = self._set
                if held is None:
                    continue
                ttl = held.lease_ttl.ToNanoseconds() / 1e9
                ended = self._changed.wait_for(self._differs_from(held), min(RENEW_SECONDS, max(ttl / 3, 0.05)))
            try:
                if not ended:
                    self._renew(held)
                self._report()
                self._renew_file_set()
            except Trouble as trouble:
                log.warning("cannot renew the lease now: %s", trouble)
            except Exception:
                log.exception("renewing the lease failed")

    def _differs_from(self, held: work.DatumSet) -> Callable[[], bool]:
        return lambda: self._set is not held

    def _renew(self, held: work.DatumSet) -> None:
        request = work.RenewLeaseRequest(
            lease=held.lease, job=held.job, index=held.index, worker=self._worker, incarnation=self._incarnation
        )
        try:
            answer = self._peers.ask(self._peers.work.RenewLease, request, timeout=CALL_SECONDS)
        except Trouble as trouble:
            if not trouble.final:
                raise
            answer = work.RenewLeaseResponse(held=False, reason=str(trouble))
        with self._changed:
            if self._set is not held:
                return  # the answer is about a set that is done
            if not answer.held:
                self._interrupt.lose(answer.reason or "the lease is lost")
                self._set = None
        if answer.cancel_datum_ids:
            self._activity.cancel_datums(answer.cancel_datum_ids)

    def _renew_file_set(self) -> None:
        with self._changed:
            id, due = self._file_set, self._file_set_due
        if id and time.monotonic() >= due:
            request = pfs.RenewFileSetRequest(file_set_id=id, ttl_seconds=FILE_SET_SECONDS)
            self._peers.ask(self._peers.files.RenewFileSet, request, timeout=CALL_SECONDS)
            with self._changed:
                self._file_set_due = time.monotonic() + FILE_SET_SECONDS / 3

    def _report(self) -> None:
        """Tell Jobs what is being done, when that changed since the last time; never once per datum."""
        doing = self._activity.doing
        if doing is self._reported:
            return
        request = work.ReportActivityRequest(worker=self._worker, pipeline=self._spec.wire_pipeline())
        if doing is not None:
            request.job.CopyFrom(doing.job)
            request.datum_status.CopyFrom(doing.wire())
        self._peers.ask(self._peers.work.ReportActivity, request, timeout=CALL_SECONDS)
        self._reported = doing
