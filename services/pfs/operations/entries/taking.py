"""A stream of entries becoming a layer; later ones win.

A long run becomes a tree as it comes, range by range, so that finishing a commit only has to take it over; a short one,
and whatever is removed, becomes a run of writes. What comes a little out of order, as packs do that are stored side by
side, is put in order before.
Elsewhere: checking (checking.py); becoming a file set (files/filesets.py); trees taken over (finishing/taking_over.py).
"""

from collections.abc import Iterator, Sequence, Set

from services.kit.sortedmap.encoding.chunks import Leaf
from services.kit.sortedmap.encoding.places import PlaceColumns
from services.kit.sortedmap.loading import Loading
from services.kit.sortedmap.packs import PackSink
from services.pfs.domain.files.batches import Batch, in_order
from services.pfs.domain.files.clearness import Clearness
from services.pfs.domain.files.entries import CHUNKED, FILE, Op, encode_manifest
from services.pfs.operations.entries.checking import Checking
from services.pfs.operations.files.stores import Stores
from services.pfs.storage.content.layers import Part, Whole

WINDOW = 65_536  # entries that wait to be put in order
TREE_ENTRIES = 8192  # fewer are a run of writes: a tree's own pack would not pay


class Taking:
    """Memory is bounded by a window and a pack. All calls block: one caller at a time, on a thread."""

    def __init__(self, stores: Stores) -> None:
        self._stores, self._checking = stores, Checking(stores.content)
        self._waiting, self._many = list[Batch](), 0
        self._next: Batch | None = None
        self._sink: PackSink | None = None
        self._tree: _Tree | None = None
        self._parts: list[Part] = []
        self.taken = 0

    @property
    def index_packs(self) -> list[tuple[bytes, int]]:
        """The packs that hold its trees, with their sizes; complete after `finish`."""
        return [] if self._sink is None else list(zip(self._sink.packs, self._sink.sizes, strict=True))

    def take_those_of(self, batches: Iterator[Batch], live: Set[bytes]) -> set[bytes] | None:
        """Take batches up to the first that names other packs than these, which is kept for the next call: those packs.

        None: all are taken. Raises BadEntry, BadPath, Corrupt, Exhausted.
        """
        while (batch := self._next or next(batches, None)) is not None:
            self._next = batch
            if not (named := batch.named()) <= live:
                return named
            self.take(batch)
            self._next = None
        return None

    def take(self, batch: Batch) -> None:
        """Raises BadEntry, Corrupt, Exhausted."""
        if not len(batch):
            return
        self._checking.check(batch)
        self._waiting.append(batch)
        self._many += len(batch)
        self.taken += len(batch)
        if self._many >= WINDOW:
            self._settle()

    def finish(self) -> list[Part]:
        """What the layer is made of, durably stored unless it is short."""
        self._settle()
        self._end_tree()
        if self._sink is not None:
            self._sink.flush()
        return self._parts

    def _settle(self) -> None:
        """Give what waits its place in the layer."""
        batches, self._waiting, many, self._many = in_order(self._waiting), [], self._many, 0
        removed = any(batch.removed for batch in batches)
        if batches and self._is_for_tree(batches, many, removed=removed):
            self._into_tree(batches)
        elif batches:
            self._end_tree()
            self._write([op for batch in batches for op in batch.ops()])

    def _is_for_tree(self, batches: Sequence[Batch], many: int, *, removed: bool) -> bool:
        follows = self._tree is not None and self._tree.last < batches[0].keys[0]
        return not removed and (follows or many >= TREE_ENTRIES)

    def _into_tree(self, batches: Sequence[Batch]) -> None:
        if self._sink is None:
            self._sink = self._stores.trees.sink()
        if self._tree is not None and self._tree.last >= batches[0].keys[0]:
            self._end_tree()
        for batch in batches:
            if self._tree is None:
                self._tree = _Tree(self._sink, batch.keys[0])
            self._tree.add(batch)

    def _end_tree(self) -> None:
        if self._tree is not None:
            self._parts.append(self._tree.part())
            self._tree = None

    def _write(self, ops: list[Op]) -> None:
        self._parts.append(self._stores.layers.write(ops))


class _Tree:
    """A run as a tree."""

    def __init__(self, sink: PackSink, first: bytes) -> None:
        self._sink, self._first, self.last = sink, first, first
        self._loading, self._clearness = Loading(sink), Clearness()

    def add(self, batch: Batch) -> None:
        """Entries behind all those before, none of them a removal."""
        self._loading.add(_rows_of(batch, self._sink), in_order=True)
        self._clearness.feed(batch.keys)
        self.last = batch.keys[-1]

    def part(self) -> Whole:
        return Whole.of(self._loading.finish(), self._first, self.last, clear=self._clearness.shown)


def _rows_of(batch: Batch, sink: PackSink) -> Leaf:
    """Entries as rows of a tree; extents of files that have several go into manifests."""
    kinds, packs, which = bytearray([FILE]) * len(batch), batch.packs, batch.which
    offsets, stored = batch.offsets, batch.stored
    if batch.chunked:
        which, offsets, stored = which[:], offsets[:], stored[:]
        numbers = {pack: number for number, pack in enumerate(packs)}
        for at, extents in batch.chunked.items():
            pack, offsets[at], stored[at], _ = sink.add(encode_manifest(extents))
            kinds[at], which[at] = CHUNKED, numbers.setdefault(pack, len(numbers))
        packs = list(numbers)
    places = PlaceColumns(packs, which, offsets, stored, batch.codecs)
    return Leaf(batch.keys, bytes(kinds), batch.sizes, batch.digests, places)
