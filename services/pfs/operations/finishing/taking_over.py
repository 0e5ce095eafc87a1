"""Carrying parts out on a tree, of which those that are trees themselves are taken over range by range.

A part that is a tree costs its nodes then, not its files, as long as it lies where the tree has nothing yet.
Elsewhere: parts whose writes are carried out one by one (merge.py); how parts become trees (operations/entries).
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise, takewhile

from services.kit.sortedmap.loading import Segment, joined
from services.kit.sortedmap.packs import PackSink, Reader
from services.kit.sortedmap.rows import Root
from services.kit.sortedmap.tree import scan
from services.pfs.domain.files.clearness import meet_well
from services.pfs.operations.files.stores import Stores
from services.pfs.operations.finishing.merge import ContentOf, Put, carry_out, keys_between, merged_parts
from services.pfs.storage.content.layers import Part, Whole

WORTH_JOINING = 100  # joining renews the nodes above so many rows for about the price of putting one


def carry_out_parts(
    stores: Stores, reader: Reader, content: ContentOf, base: Root, parts: Sequence[Part], sink: PackSink
) -> tuple[Root, Put]:
    """The tree with all parts carried out, older before newer; everything is stored when it returns."""
    trees = [part for part in takewhile(_is_run, parts) if isinstance(part, Whole)]
    taken = _taken_over(reader, base, trees, sink)
    if taken is None:
        return carry_out(stores, reader, content, base, merged_parts(stores, parts), sink)
    root, clear = taken
    rest, put = parts[len(trees) :], Put()
    if rest:
        root, put = carry_out(stores, reader, content, root, merged_parts(stores, rest), sink)
    if not clear:
        put.all_of(root)
    return root, put


def _is_run(part: Part) -> bool:
    return isinstance(part, Whole) and bool(part.first)


def _taken_over(reader: Reader, base: Root, trees: Sequence[Whole], sink: PackSink) -> tuple[Root, bool] | None:
    """The base and the trees in one, and whether that is clear as the base is. None: they overlap, or are too few."""
    order = sorted(trees, key=lambda tree: tree.first)
    if not order or any(a.last >= b.first for a, b in pairwise(order)):
        return None
    if base.place is None and len(order) == 1:
        return order[0].root, order[0].clear
    if sum(tree.rows for tree in order) * WORTH_JOINING < base.rows:
        return None
    if any(next(keys_between(reader, base, tree.first, tree.last + b"\0"), None) is not None for tree in order):
        return None
    root = joined(reader, _segments(base, order), sink)
    sink.flush()
    return root, all(tree.clear for tree in order) and all(_fits(reader, root, tree) for tree in order)


def _segments(base: Root, order: Sequence[Whole]) -> list[Segment]:
    segments, low = list[Segment](), b""
    for tree in order:
        segments += [Segment(base, low, tree.first), Segment(tree.root)]
        low = tree.last + b"\0"
    return [*segments, Segment(base, low)]


def _fits(reader: Reader, root: Root, tree: Whole) -> bool:
    """Whether a tree taken over does not collide with what is around it."""
    before = _last_before(reader, root, tree.first)
    after = next(keys_between(reader, root, tree.last + b"\0", b"\xff"), None)

    def keys(low: bytes, high: bytes) -> Iterator[bytes]:
        return keys_between(reader, root, low, high)

    return (before is None or meet_well(before, tree.first, keys)) and (
        after is None or meet_well(tree.last, after, keys)
    )


def _last_before(reader: Reader, root: Root, key: bytes) -> bytes | None:
    """The last key before this one."""
    row = next(scan(reader, root, high=key, reverse=True), None)
    return None if row is None else row.key
