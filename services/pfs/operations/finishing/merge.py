"""Carrying layers out on a tree: what finishing a commit and looking at an open one have in common.

All of it blocks and runs on a thread; memory is bounded by the run frames and by SLICE edits.
Elsewhere: folding ops (domain/files/entries.py, domain/files/layers.py); the map (kit/sortedmap).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from services.kit.sortedmap.change import apply
from services.kit.sortedmap.packs import PackSink, Reader
from services.kit.sortedmap.rows import Edit, Removed, Root, Row
from services.kit.sortedmap.tree import build, get, ranges
from services.pfs.domain.files.collisions import Trouble, first_in, first_of_change
from services.pfs.domain.files.entries import APPEND, REMOVE, Content, Op, known_digest
from services.pfs.domain.files.layers import merged
from services.pfs.operations.files.stores import Stores
from services.pfs.storage.content.layers import Part, first_key
from services.pfs.storage.content.trees import row_of

SLICE = 50_000
WORTH_A_PASS = 20  # one look-up costs about as much as passing so many keys

ContentOf = Callable[[Row], Content]


def merged_parts(stores: Stores, parts: Sequence[Part]) -> Iterator[Op]:
    """One op a key over all the parts, older before newer."""
    return merged([(first_key(part), stores.layers.read(part)) for part in parts])


def carry_out(
    stores: Stores, reader: Reader, content: ContentOf, base: Root, ops: Iterable[Op], sink: PackSink
) -> tuple[Root, "Put"]:
    """The tree with `ops` (ascending, one a key) carried out; everything is stored when it returns."""
    put = Put()
    find = (lambda key: None) if base.place is None else (lambda key: get(reader, base, key))
    edits = put.watching(_edits(stores, find, content, ops, sink))
    if base.place is None:
        root = build((edit for edit in edits if isinstance(edit, Row)), sink)
        sink.flush()
        return root, put
    root = base
    while some := list(islice(edits, SLICE)):
        root = apply(reader, root, some, sink)
        sink.flush()
    return root, put


def first_trouble(reader: Reader, root: Root, put: "Put", *, duplicates: bool = True) -> Trouble | None:
    """What is wrong with the tree, given that all was well before these keys were put.

    duplicates: whether one path from two datums is wrong.
    """
    if not put.count:
        return None
    if put.keys is None or put.count * WORTH_A_PASS > root.rows:
        return first_in((key for leaf in ranges(reader, root) for key in leaf.keys), duplicates=duplicates)
    return first_of_change(put.keys, lambda low, high: keys_between(reader, root, low, high), duplicates=duplicates)


def keys_between(reader: Reader, root: Root, low: bytes, high: bytes) -> Iterator[bytes]:
    """Keys of a half-open span, ascending."""
    for leaf in ranges(reader, root, low, high):
        for key in leaf.keys:
            if key >= high:
                return
            if key >= low:
                yield key


class Put:
    """Which keys a change put, as long as they are few enough to remember."""

    MOST = 200_000

    def __init__(self) -> None:
        self.count = 0
        self.keys: list[bytes] | None = []

    def watching(self, edits: Iterable[Edit]) -> Iterator[Edit]:
        for edit in edits:
            if isinstance(edit, Row):
                self.count += 1
                if self.keys is not None:
                    self.keys.append(edit.key)
                    if len(self.keys) > self.MOST:
                        self.keys = None
            yield edit


def _edits(
    stores: Stores, find: Callable[[bytes], Row | None], content: ContentOf, ops: Iterable[Op], sink: PackSink
) -> Iterator[Edit]:
    for op in ops:
        if op.kind == REMOVE:
            yield Removed(op.key)
            continue
        pieces, stated = op.pieces, op.digest
        before = find(op.key) if op.kind == APPEND else None
        if before is not None:
            if not pieces:
                continue
            already = content(before).extents
            if already:
                pieces, stated = already + pieces, None
        digest = known_digest(pieces, stated) or stores.content.digest(pieces)
        yield row_of(op.key, pieces, digest, sink)
