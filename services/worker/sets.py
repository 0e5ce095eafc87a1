"""A leased set from beginning to end: its datums one after another, then everything handed in at once.

Finished work is not given up: packs, file sets and the answer are tried again until they are taken or the lease is
lost. What cannot be done (a store away for too long, a full disk) is given back, with the reason.
"""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from datamill.wire import content_v1_pb2 as content
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import work_v1_pb2 as work
from services.worker.batching.asked import AskedInTurn
from services.worker.batching.batch import Batch
from services.worker.datums.attempts import one_by_one
from services.worker.datums.bench import Bench, NameBudget, SetInHand
from services.worker.inputs.naming import name_inputs
from services.worker.inputs.prefetch import Gone, Prefetch
from services.worker.inputs.sources import Store
from services.worker.outputs.entries import Entries
from services.worker.outputs.meta import Documents
from services.worker.outputs.packing import Packing
from services.worker.peers.calls import Patience, Peers, Trouble, in_words, persist
from services.worker.peers.lease import LeaseKeeper
from services.worker.process import environment
from services.worker.serving.server import Server
from services.worker.standing.services import stand
from services.worker.telemetry.spans import Attribute, LogContext, Span, SpanId, now, parent_from, sayable

log = logging.getLogger(__name__)
FOR_EVER = 1e9
RETURN_SECONDS = 15.0
LAST_LINES_SECONDS = 2.0
RETURN_DELAY = timedelta(seconds=3)


class SetRunner:
    """Runs sets for one worker."""

    def __init__(
        self,
        bench: Bench,
        *,
        peers: Peers,
        store: Store,
        keeper: LeaseKeeper,
        asked: AskedInTurn,
        server: Server,
        worker: str,
        keep_trying: timedelta,
        stopping: threading.Event,
    ) -> None:
        self.bench = bench
        self._peers = peers
        self._store = store
        self._keeper = keeper
        self._asked = asked
        self._server = server
        self._worker = worker
        self._keep_trying = keep_trying.total_seconds()
        self._stopping = stopping
        self._tidy = True

    def run(self, datum_set: work.DatumSet) -> None:
        """Do the set and hand it in, or give it back, or forget it when it is not ours any more."""
        self.bench.interrupt.begin_set()
        if self._stopping.is_set():  # begin_set forgets an interrupt that came just before
            self.bench.interrupt.lose("the worker is stopping")
        self._keeper.begin(datum_set)
        parent = parent_from(datum_set.traceparent)
        span, began, error = parent.child(), now(), ""
        try:
            if not self._tidy:
                self._clear()
            self._do(datum_set, span)
        except Gone:
            error = self.bench.interrupt.reason or "the lease is lost"
            log.info("set %d of job %s is dropped: %s", datum_set.index, datum_set.job.id, error)
            if self._stopping.is_set():
                self._give_back(datum_set, "the worker is stopping", timedelta())
        except (Trouble, OSError) as trouble:
            error = in_words(trouble)
            log.warning("set %d of job %s is given back: %s", datum_set.index, datum_set.job.id, error)
            self.bench.exporter.say(LogContext(span, _of(datum_set)), f"the datum set is given back: {error}")
            self._give_back(datum_set, error, RETURN_DELAY)
        except Exception as bug:
            error = f"the worker failed: {bug!r}"
            log.exception("set %d of job %s is given back", datum_set.index, datum_set.job.id)
            self._give_back(datum_set, error, RETURN_DELAY)
        finally:
            self._keeper.end()
            self._tidied()
            self.bench.exporter.span(Span("set", span, parent.span, began, now(), _of(datum_set), error))

    def _clear(self) -> None:
        """Raises OSError; then what is there stays, and no set begins beside it."""
        self._tidy = False
        self.bench.scratch.clear()
        self._tidy = True

    def _tidied(self) -> None:
        try:
            self._clear()
        except OSError as error:
            log.warning("what a set has left cannot be removed now: %s", in_words(error))

    def _do(self, datum_set: work.DatumSet, span: SpanId) -> None:
        lost = self.bench.interrupt.lost
        scratch = self.bench.scratch
        shared = persist(self._store.shared_root, Patience(self._keep_trying, lost), what="cannot reach the store")
        packing = Packing(
            self._peers,
            shared=shared is not None,
            signed=self._store.signed(),
            spool=scratch.spool("pack"),
            patience=lambda: Patience(self._keep_trying, lost),
        )
        prefetch = Prefetch(
            datum_set.datums,
            peers=self._peers,
            scratch=scratch,
            store=self._store,
            lost=lost,
            keep_trying=self._keep_trying,
        )
        outputs, meta = Entries(scratch.spool("")), Entries(scratch.spool(""))
        try:
            named = self._named(datum_set) if self.bench.spec.names_inputs else ""
            documents = Documents(self.bench.spec, datum_set)
            adds = environment.of_set(datum_set, file_set_id=named)
            env, names = environment.rendered(adds), NameBudget()
            hand = SetInHand(datum_set, span, prefetch, packing, outputs, meta, documents, names, adds, env)
            batching = self.bench.spec.batching
            if self.bench.spec.service:
                stand(self.bench, hand)
            results = (
                Batch(self.bench, hand, self._asked, self._server).run() if batching else one_by_one(self.bench, hand)
            )
            self._hand_in(hand, results)
        except Trouble as trouble:
            if lost.is_set():  # patience ended because the lease did
                raise Gone(str(trouble)) from trouble
            raise
        finally:
            prefetch.close()
            packing.abandon()
            outputs.close()
            meta.close()

    def _named(self, datum_set: work.DatumSet) -> str:
        patience = Patience(self._keep_trying, self.bench.interrupt.lost)
        folder = self.bench.scratch.spool("")
        named = name_inputs(datum_set, self._peers, self._store.addresses, patience, folder=folder)
        self._keeper.keep_file_set(named)
        return named

    def _hand_in(self, hand: SetInHand, results: list[work.DatumResult]) -> None:
        lost = self.bench.interrupt.lost
        began = now()
        hand.packing.seal()
        answers = [
            entries.put(self._peers, Patience(FOR_EVER, lost)) if entries.count else content.PutEntriesResponse()
            for entries in (hand.outputs, hand.meta)
        ]
        upload = Span("upload", hand.span.child(), hand.span.span, began, now(), _of(hand.datum_set))
        self.bench.exporter.span(upload)
        self.bench.exporter.flush(LAST_LINES_SECONDS)  # who sees the job's end then sees all of its log
        request = work.CompleteSetRequest(
            lease=hand.datum_set.lease,
            job=hand.datum_set.job,
            index=hand.datum_set.index,
            results=results,
            output_file_set_id=answers[0].file_set_id,
            meta_file_set_id=answers[1].file_set_id,
            worker=self._worker,
        )
        persist(
            self._completing(request, answers), Patience(FOR_EVER, lost), what="cannot hand in the results of a set"
        )

    def _completing(
        self, request: work.CompleteSetRequest, made: list[content.PutEntriesResponse]
    ) -> Callable[[], work.CompleteSetResponse]:
        """An attempt that keeps the file sets alive while Jobs is away for longer."""
        renewed = now()

        def attempt() -> work.CompleteSetResponse:
            nonlocal renewed
            for answer in made:
                ttl = answer.ttl.ToNanoseconds()
                if answer.file_set_id and ttl and now() - renewed > ttl // 3:
                    keep = pfs.RenewFileSetRequest(
                        file_set_id=answer.file_set_id, ttl_seconds=max(answer.ttl.seconds, 1)
                    )
                    self._peers.ask(self._peers.files.RenewFileSet, keep)
                    renewed = now()
            return self._peers.ask(self._peers.work.CompleteSet, request)

        return attempt

    def _give_back(self, datum_set: work.DatumSet, reason: str, delay: timedelta) -> None:
        wait = Duration()
        wait.FromTimedelta(delay)
        request = work.ReturnSetRequest(
            lease=datum_set.lease, job=datum_set.job, index=datum_set.index, reason=sayable(reason), delay=wait
        )
        try:
            persist(
                lambda: self._peers.ask(self._peers.work.ReturnSet, request, timeout=5.0),
                Patience(RETURN_SECONDS, threading.Event()),
                what="cannot give a set back",
            )
        except Trouble as trouble:
            log.warning("set %d of job %s runs out by itself: %s", datum_set.index, datum_set.job.id, trouble)


def _of(datum_set: work.DatumSet) -> dict[str, Attribute]:
    return {"datamill.job": datum_set.job.id, "datamill.set": datum_set.index}
