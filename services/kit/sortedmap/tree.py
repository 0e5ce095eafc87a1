"""Building a map and reading it.

build takes sorted rows once and keeps one open chunk a level in memory; get and scan open only what they must, so
that starting a scan or `ranges` anew at a later key costs one path from the root, mostly of nodes kept already.
Elsewhere: changing a map (change.py); comparing maps and summing parts of them (compare.py).
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, pairwise
from operator import attrgetter, lt

from services.kit.sortedmap.ahead import AT_ONCE, bring
from services.kit.sortedmap.chunking import Chunker, boundaries
from services.kit.sortedmap.encoding.chunks import Leaf, Node, leaf_of
from services.kit.sortedmap.encoding.codec import NO_PACK, encode_leaf, encode_node, leaf_id, node_id
from services.kit.sortedmap.packs import PackSink, Reader
from services.kit.sortedmap.rows import EMPTY, Child, Place, Root, Row

BATCH_ROWS = 2048  # more are no faster: they leave the processor's cache
BATCH_CHILDREN = 256
NODES_AT_ONCE = 32  # brought together for who reads on


by_first = attrgetter("first")


class UnsortedKeys(ValueError):
    """Keys came out of order, or one came twice."""

    def __init__(self, before: bytes, key: bytes) -> None:
        super().__init__(f"key {key!r} came after {before!r}: keys must ascend and be unique")


def build(rows: Iterable[Row], sink: PackSink) -> Root:
    """Store a whole map, in bounded memory. rows: ascending and unique by key; the caller flushes the sink.

    Raises UnsortedKeys, BadRow.
    """
    return raise_root((write_leaf(leaf, leaf_id(leaf), sink) for leaf in _leaves(rows)), 0, sink)


def _leaves(rows: Iterable[Row]) -> Iterator[Leaf]:
    chunker, left, before = Chunker[Leaf](0), iter(rows), None
    while batch := list(islice(left, BATCH_ROWS)):
        leaf = leaf_of(batch)
        keys = leaf.keys
        if (before is not None and keys[0] <= before) or not all(map(lt, keys, islice(keys, 1, None))):
            known = keys if before is None else [before, *keys]
            raise next(UnsortedKeys(a, b) for a, b in pairwise(known) if b <= a)
        before = leaf.last
        yield from chunker.feed(leaf, boundaries(keys, 0))
    yield from chunker.rest()


def raise_root(children: Iterator[Child], level: int, sink: PackSink) -> Root:
    """The root over all chunks of `level`, in order."""
    first = next(children, None)
    if first is None:
        return EMPTY
    second = next(children, None)
    if second is None:
        return Root(first.id, first.place, first.rows, first.size_bytes)
    nodes = _nodes(chain((first, second), children), level + 1)
    above = (child_of_node(node, node_id(level + 1, node.children), sink) for node in nodes)
    return raise_root(above, level + 1, sink)


def _nodes(children: Iterator[Child], level: int) -> Iterator[Node]:
    chunker = Chunker[Node](level)
    while batch := list(islice(children, BATCH_CHILDREN)):
        node = Node(level, batch)
        yield from chunker.feed(node, boundaries(node.keys, level))
    yield from chunker.rest()


def write_leaf(leaf: Leaf, id: bytes, sink: PackSink) -> Child:
    """Store a full range."""
    return child_of_leaf(leaf, id, sink.add(encode_leaf(leaf)), NO_PACK)


def child_of_leaf(leaf: Leaf, id: bytes, place: Place, base_pack: bytes) -> Child:
    """How the node above sees a range."""
    return Child(leaf.last, leaf.first, id, place, len(leaf.keys), leaf.size_bytes(), base_pack)


def child_of_node(node: Node, id: bytes, sink: PackSink) -> Child:
    """Store a node; how the node above sees it."""
    rows, size = total_of(node.children)
    return Child(node.last, node.first, id, sink.add(encode_node(node.level, node.children)), rows, size, NO_PACK)


def total_of(children: Sequence[Child]) -> tuple[int, int]:
    """Rows and bytes that the children stand for."""
    return sum(child.rows for child in children), sum(child.size_bytes for child in children)


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


def get_many(reader: Reader, root: Root, keys: Iterable[bytes]) -> Iterator[Row | None]:
    """The row of each key, or None, in their order; read side by side where the source is far."""
    left = iter(keys)
    while some := list(islice(left, AT_ONCE)):
        bring(reader, root, sorted(some))
        for key in some:
            yield get(reader, root, key)


def scan(
    reader: Reader, root: Root, low: bytes = b"", high: bytes | None = None, *, reverse: bool = False
) -> Iterator[Row]:
    """Rows with low <= key < high, ascending, or descending when `reverse`. high None: no bound."""
    for leaf in ranges(reader, root, low, high, reverse=reverse):
        start, stop = span_of(leaf, low, high)
        rows = leaf.rows(start, stop)
        yield from reversed(list(rows)) if reverse else rows


def span_of(leaf: Leaf, low: bytes, high: bytes | None) -> tuple[int, int]:
    """The first of its rows with low <= key < high, and behind the last one."""
    keys = leaf.keys
    start = bisect_left(keys, low) if low > keys[0] else 0
    return start, len(keys) if high is None or keys[-1] < high else bisect_left(keys, high, start)


def ranges(
    reader: Reader, root: Root, low: bytes = b"", high: bytes | None = None, *, reverse: bool = False
) -> Iterator[Leaf]:
    """The ranges that meet low <= key < high, in order, whole: for callers that work on blocks of keys.

    Where the source is far, more and more of them are read side by side: who has read on will read on.
    """
    found, many = _places(reader, root, low, high, reverse=reverse), 1
    while some := list(islice(found, many)):
        reader.bring(some)
        for id, place in some:
            leaf = reader.chunk(id, place)
            assert isinstance(leaf, Leaf)
            yield leaf
        many = min(2 * many, AT_ONCE) if reader.is_far else 1


def _places(
    reader: Reader, root: Root, low: bytes, high: bytes | None, *, reverse: bool
) -> Iterator[tuple[bytes, Place]]:
    """The ids and places of these ranges."""
    if root.place is None:
        return
    pending, level, many = [(root.id, root.place)], reader.chunk(root.id, root.place).level, 1
    levels = [level]
    while pending:
        if levels[-1] == 0:
            yield pending.pop()
            levels.pop()
            continue
        reader.bring(pending[-many:])  # nodes beside and above it
        many = min(2 * many, NODES_AT_ONCE)
        node, level = reader.chunk(*pending.pop()), levels.pop()
        assert isinstance(node, Node)
        start = bisect_left(node.keys, low)
        stop = None if high is None else bisect_left(node.children, high, start, key=by_first)
        wanted = node.children[start:stop]
        pending += [(child.id, child.place) for child in (wanted if reverse else reversed(wanted))]
        levels += [level - 1] * len(wanted)
