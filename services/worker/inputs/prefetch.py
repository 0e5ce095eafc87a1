"""Lays out the next datums while one runs.

One thread a set, at most AHEAD datums and AHEAD_BYTES ahead of the one that runs; a big datum is alone in being ahead.
It sleeps until half of them are used up, for waking it costs more than laying out a small datum.
"""

import logging
import threading
from collections.abc import Sequence
from contextlib import suppress

from datamill.wire import work_v1_pb2 as work
from services.worker.inputs.layout import LaidOut, Layout, Source
from services.worker.inputs.resolving import Resolver
from services.worker.inputs.scratch import Scratch
from services.worker.inputs.sources import Store
from services.worker.peers.calls import Patience, Peers, Trouble, persist

log = logging.getLogger(__name__)
AHEAD = 32
AHEAD_BYTES = 16 << 20


class Gone(Exception):
    """The set is not ours any more."""


class Prefetch:
    """The laid-out datums of one set, in order."""

    def __init__(
        self,
        datums: Sequence[work.Datum],
        *,
        peers: Peers,
        scratch: Scratch,
        store: Store,
        lost: threading.Event,
        keep_trying: float,
    ) -> None:
        self._datums = datums
        self._peers = peers
        self._scratch = scratch
        self._store = store
        self._lost = lost
        self._keep_trying = keep_trying
        self._resolver = Resolver(peers, store.addresses, datums)
        self._ready: dict[int, LaidOut] = {}
        self._trouble: Trouble | None = None
        self._unwanted = False
        """Whether the trouble was with a datum that nobody waited for: things may be better once somebody does."""
        self._wanted = self._tried = 0
        self._resting = False
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._lay_out_all, name="prefetch", daemon=True)
        self._thread.start()

    def take(self, index: int) -> LaidOut:
        """The datum `index`, once it is there. Raises Trouble when it cannot be had, Gone when the lease is lost."""
        with self._changed:
            self._wanted = index
            if self._resting and len(self._ready) <= AHEAD // 2:
                self._changed.notify_all()
            while index not in self._ready:
                if self._lost.is_set():
                    raise Gone
                if self._trouble is not None:
                    if self._unwanted:
                        break
                    raise self._trouble
                self._changed.wait(0.1)
            else:
                return self._ready.pop(index)
        return self.again(index)

    def again(self, index: int) -> LaidOut:
        """A fresh copy for another attempt. Raises Trouble."""
        resolver = Resolver(self._peers, self._store.addresses, self._datums)
        source = self._store.source()
        layout = Layout(self._scratch, source, resolver)
        patience = Patience(self._keep_trying, self._lost)
        try:
            return self._one(layout, index, patience)
        finally:
            resolver.close()
            source.close()

    def source(self) -> Source:
        """A reader for one more thread. Raises Trouble."""
        return self._store.source()

    def close(self) -> None:
        """Stop, and remove what nobody took."""
        self._stop.set()
        self._resolver.close()
        with self._changed:
            self._changed.notify_all()
        self._thread.join()
        with suppress(OSError):  # the rest goes when all of the set does
            for laid in self._ready.values():
                laid.remove()

    def _lay_out_all(self) -> None:
        patience = Patience(self._keep_trying, self._stop)
        try:
            source = persist(self._store.source, patience, what="cannot reach the store")
            try:
                self._follow(Layout(self._scratch, source, self._resolver))
            finally:
                source.close()
        except Trouble as trouble:
            with self._changed:
                self._trouble, self._unwanted = trouble, self._tried > self._wanted
                if self._unwanted:
                    log.warning("no datum is laid out ahead any more: %s", trouble)
                self._changed.notify_all()
        except Exception as error:  # noqa: BLE001 - the set must be returned rather than wait for ever
            with self._changed:
                self._trouble = Trouble(f"laying out a datum's inputs failed: {error!r}")
                self._changed.notify_all()

    def _follow(self, layout: Layout) -> None:
        for index in range(len(self._datums)):
            if not self._may_begin(index):
                return
            self._tried = index
            laid = self._one(layout, index, Patience(self._keep_trying, self._stop))
            with self._changed:
                self._ready[index] = laid
                if self._wanted == index:
                    self._changed.notify_all()

    def _one(self, layout: Layout, index: int, patience: Patience) -> LaidOut:
        return persist(
            lambda: layout.lay_out(index, self._datums[index]), patience, what="cannot lay out a datum's inputs"
        )

    def _may_begin(self, index: int) -> bool:
        """Wait for room. False: stop."""
        size = sum(item.size_bytes for item in self._datums[index].inputs)
        with self._changed:
            while not self._stop.is_set():
                held = sum([laid.size_bytes for laid in self._ready.values()])
                if index <= self._wanted + 1 or (index <= self._wanted + AHEAD and held + size <= AHEAD_BYTES):
                    return True
                self._resting = True
                self._changed.wait(5.0)
                self._resting = False
        return False
