"""Carrying layers out on a tree: what finishing a commit and looking at an open one have in common.

All of it blocks and runs on a thread; memory is bounded by the run frames and by SLICE edits.
Elsewhere: folding ops (domain/files/entries.py, domain/files/layers.py); the map (kit/sortedmap).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from services.kit.sortedmap.ahead import bring, windows
from services.kit.sortedmap.change import apply
from services.kit.sortedmap.packs import PackSink, Reader
from services.kit.sortedmap.rows import Edit, Removed, Root, Row
from services.kit.sortedmap.tree import build, get, ranges
from services.pfs.domain.files.collisions import Doubts, Trouble, first_in, first_of_change
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
    edits = _edits(stores, find, content, ops, sink)
    if base.place is None:
        root = build((edit for edit in edits if isinstance(edit, Row)), sink)
        sink.flush()
        put.all_of(root)
        return root, put
    root = base
    while some := list(islice(edits, SLICE)):
        root = apply(reader, root, some, sink, put.look)
        sink.flush()
    return root, put


def first_trouble(reader: Reader, root: Root, put: "Put", *, duplicates: bool = True) -> Trouble | None:
    """What is wrong with the tree, given that all was well before these keys were put.

    duplicates: whether one path from two datums is wrong.
    """
    if not put.count:
        return None
    doubts = put.doubts
    if put.everything or doubts.are_too_many or len(doubts.keys) + len(doubts.folders) > root.rows // WORTH_A_PASS:
        return first_in((key for leaf in ranges(reader, root) for key in leaf.keys), duplicates=duplicates)
    edges = sorted([*doubts.keys, *(folder[:-1] + b"\0" for folder in doubts.folders)])

    def keys(low: bytes, high: bytes) -> Iterator[bytes]:
        return keys_between(reader, root, low, high)

    for some in windows(edges):
        bring(reader, root, some)
    return first_of_change(doubts, keys, duplicates=duplicates)


def keys_between(reader: Reader, root: Root, low: bytes, high: bytes) -> Iterator[bytes]:
    """Keys of a half-open span, ascending."""
    for leaf in ranges(reader, root, low, high):
        for key in leaf.keys:
            if key >= high:
                return
            if key >= low:
                yield key


class Put:
    """What a change put, as far as the result has to be checked for it."""

    def __init__(self) -> None:
        self.count = 0
        self.everything = False
        """Whether nothing is known about the tree."""
        self.doubts = Doubts()

    def look(self, keys: Sequence[bytes], put: Sequence[int]) -> None:
        """Keys of the tree, neighbours, and which of them were put."""
        self.count += len(put)
        self.doubts.look(keys, put)

    def all_of(self, root: Root) -> None:
        """Nothing is known of this tree."""
        self.count, self.everything = self.count + root.rows, True


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
