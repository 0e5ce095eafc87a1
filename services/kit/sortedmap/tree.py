"""Building a map and reading it.

build takes sorted rows once and keeps one open chunk a level in memory; get and scan open only what they must.
Elsewhere: changing a map (change.py); comparing maps and summing parts of them (compare.py).
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from services.kit.sortedmap.chunking import cut, total_of
from services.kit.sortedmap.codec import NO_PACK, Leaf, Node, encode_leaf, encode_node, leaf_id, leaf_of, node_id
from services.kit.sortedmap.packs import PackSink, Reader
from services.kit.sortedmap.rows import EMPTY, Child, Place, Root, Row


class UnsortedKeys(ValueError):
    """Keys came out of order, or one came twice."""

    def __init__(self, before: bytes, key: bytes) -> None:
        super().__init__(f"key {key!r} came after {before!r}: keys must ascend and be unique")


def build(rows: Iterable[Row], sink: PackSink) -> Root:
    """Store a whole map. rows: ascending and unique by key. Raises UnsortedKeys. The caller flushes the sink."""
    children: Iterator[Child] = (write_leaf(leaf_of(chunk), sink) for chunk in cut(ascending(rows), 0))
    return raise_root(children, 0, sink)


def raise_root(children: Iterator[Child], level: int, sink: PackSink) -> Root:
    """The root over all chunks of `level`, in order."""
    first = next(children, None)
    if first is None:
        return EMPTY
    second = next(children, None)
    if second is None:
        return Root(first.id, first.place, first.rows, first.size_bytes)

    def all_children() -> Iterator[Child]:
        yield first
        yield second
        yield from children

    above = (write_node(level + 1, chunk, sink) for chunk in cut(all_children(), level + 1))
    return raise_root(above, level + 1, sink)


def write_leaf(leaf: Leaf, sink: PackSink) -> Child:
    """Store a full range."""
    return child_of_leaf(leaf, leaf_id(leaf), sink.add(encode_leaf(leaf)), NO_PACK)


def child_of_leaf(leaf: Leaf, id: bytes, place: Place, base_pack: bytes) -> Child:
    """How the node above sees a range."""
    return Child(leaf.last, leaf.first, id, place, len(leaf.keys), sum(leaf.sizes), base_pack)


def write_node(level: int, children: list[Child], sink: PackSink) -> Child:
    """Store a node."""
    rows, size = total_of(children)
    id, place = node_id(level, children), sink.add(encode_node(level, children))
    return Child(children[-1].key, children[0].first, id, place, rows, size, NO_PACK)


def ascending(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows, checked to ascend."""
    before = None
    for row in rows:
        if before is not None and row.key <= before:
            raise UnsortedKeys(before, row.key)
        before = row.key
        yield row


def get(reader: Reader, root: Root, key: bytes) -> Row | None:
    """The row of `key`, or None."""
    if root.place is None:
        return None
    chunk = reader.chunk(root.id, root.place)
    while isinstance(chunk, Node):
        index = bisect_left(chunk.keys, key)
        if index == len(chunk.keys) or chunk.children[index].first > key:
            return None
        child = chunk.children[index]
        chunk = reader.chunk(child.id, child.place)
    index = bisect_left(chunk.keys, key)
    return chunk.row(index) if index < len(chunk.keys) and chunk.keys[index] == key else None


def scan(
    reader: Reader, root: Root, low: bytes = b"", high: bytes | None = None, *, reverse: bool = False
) -> Iterator[Row]:
    """Rows with low <= key < high, ascending, or descending when `reverse`. high None: no bound."""
    for leaf in ranges(reader, root, low, high, reverse=reverse):
        start = bisect_left(leaf.keys, low) if low else 0
        stop = len(leaf.keys) if high is None else bisect_left(leaf.keys, high)
        if start == 0 and stop == len(leaf.keys) and not reverse:
            yield from leaf.rows()
        else:
            order = range(stop - 1, start - 1, -1) if reverse else range(start, stop)
            yield from map(leaf.row, order)


def ranges(
    reader: Reader, root: Root, low: bytes = b"", high: bytes | None = None, *, reverse: bool = False
) -> Iterator[Leaf]:
    """The ranges that meet low <= key < high, in order, whole: for callers that work on blocks of keys."""
    if root.place is None:
        return
    pending = [(root.id, root.place)]
    while pending:
        chunk = reader.chunk(*pending.pop())
        if isinstance(chunk, Leaf):
            yield chunk
            continue
        start = bisect_left(chunk.keys, low)
        wanted = [child for child in chunk.children[start:] if high is None or child.first < high]
        pending += [(child.id, child.place) for child in (wanted if reverse else reversed(wanted))]
