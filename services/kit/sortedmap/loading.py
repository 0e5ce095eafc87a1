"""Building a map of rows that come in runs, by columns: a range costs a handful of copies, whatever rows it has.

A run of rows is a Leaf of any length whose places are PlaceColumns. Whole ranges of other maps are taken over as they
are, so that maps that do not overlap are joined at the price of their nodes.
Holds as everywhere: the root is that of a map built from scratch of the same rows.
Elsewhere: building of single rows (tree.py); changing a map (change.py).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from operator import lt
from typing import NamedTuple

from services.kit.sortedmap.chunking import Chunker, boundaries
from services.kit.sortedmap.cursor import top_of
from services.kit.sortedmap.encoding.chunks import BadRow, Leaf, Node
from services.kit.sortedmap.encoding.codec import NO_PACK, named_leaf, node_id
from services.kit.sortedmap.packs import PackSink, Reader
from services.kit.sortedmap.rows import EMPTY, Child, Root, ends_chunk
from services.kit.sortedmap.tree import BATCH_CHILDREN, UnsortedKeys, child_of_leaf, child_of_node, span_of

_DIGEST = 32


@dataclass(slots=True)
class _Level:
    """What has come of one level: children that wait, and the open node above them."""

    number: int
    nodes: Chunker[Node]
    waiting: list[Child] = field(default_factory=list)
    seen: int = 0


class Loading:
    """A map being built, in bounded memory: one open chunk a level. The caller flushes the sink."""

    def __init__(self, sink: PackSink) -> None:
        self._sink = sink
        self._ranges = Chunker[Leaf](0)
        self._levels = list[_Level]()
        self.last: bytes | None = None
        """The last key so far."""

    def add(self, run: Leaf, *, in_order: bool = False) -> None:
        """Rows behind all those before; none twice. in_order: the caller has seen that they are, among themselves.

        Raises UnsortedKeys, BadRow.
        """
        self._check(run, in_order=in_order)
        for leaf in self._ranges.feed(run, boundaries(run.keys, 0)):
            self._write(leaf)
        self.last = run.last

    def take(self, child: Child, leaf: Leaf | None, reader: Reader) -> None:
        """A range of another map. leaf: the range, or part of it, if it is at hand. Raises UnsortedKeys."""
        if leaf is None and self._ranges.is_closed and ends_chunk(child.key, 0):
            if self.last is not None and child.first <= self.last:
                raise UnsortedKeys(self.last, child.first)
            self._up(0, child)
            self.last = child.key
            return
        if leaf is None:
            found = reader.chunk(child.id, child.place)
            assert isinstance(found, Leaf)
            leaf = found
        self.add(leaf, in_order=True)

    def finish(self) -> Root:
        """The whole map."""
        for leaf in self._ranges.rest():
            self._write(leaf)
        for level in self._levels:  # a level that has several puts another one behind itself
            if level.seen == 1:
                (only,) = level.waiting
                return Root(only.id, only.place, only.rows, only.size_bytes)
            self._drain(level)
            for node in level.nodes.rest():
                self._node(node)
        return EMPTY

    def _check(self, run: Leaf, *, in_order: bool) -> None:
        keys = run.keys
        if self.last is not None and keys[0] <= self.last:
            raise UnsortedKeys(self.last, keys[0])
        if not in_order and not all(map(lt, keys, islice(keys, 1, None))):
            raise next(UnsortedKeys(a, b) for a, b in zip(keys, islice(keys, 1, None), strict=False) if b <= a)
        if not len(keys) == len(run.kinds) == len(run.sizes) == len(run.digests) / _DIGEST:
            raise BadRow(f"the columns of the rows {keys[0]!r}…{keys[-1]!r} are not of one length")

    def _write(self, leaf: Leaf) -> None:
        id, data = named_leaf(leaf)
        self._up(0, child_of_leaf(leaf, id, self._sink.add(data), NO_PACK))

    def _node(self, node: Node) -> None:
        self._up(node.level, child_of_node(node, node_id(node.level, node.children), self._sink))

    def _up(self, number: int, child: Child) -> None:
        if number == len(self._levels):
            self._levels.append(_Level(number, Chunker[Node](number + 1)))
        level = self._levels[number]
        level.waiting.append(child)
        level.seen += 1
        if len(level.waiting) == BATCH_CHILDREN:
            self._drain(level)

    def _drain(self, level: _Level) -> None:
        if level.waiting:
            node, level.waiting = Node(level.number + 1, level.waiting), []
            for done in level.nodes.feed(node, boundaries(node.keys, node.level)):
                self._node(done)


class Segment(NamedTuple):
    """The rows of a map with low <= key < high. high None: no bound."""

    root: Root
    low: bytes = b""
    high: bytes | None = None


def joined(reader: Reader, segments: Iterable[Segment], sink: PackSink) -> Root:
    """One map of the segments, each behind the one before. Raises UnsortedKeys."""
    loading = Loading(sink)
    for segment in segments:
        for child, leaf in _ranges_of(reader, segment):
            loading.take(child, leaf, reader)
    return loading.finish()


def _ranges_of(reader: Reader, segment: Segment) -> Iterator[tuple[Child, Leaf | None]]:
    """The ranges of a segment, in order; opened where only a part of one is meant."""
    root, low, high = segment
    if root.place is None:
        return
    top, child = top_of(reader, root)
    yield from _below(reader, child, top.level, low, high)


def _below(
    reader: Reader, child: Child, level: int, low: bytes, high: bytes | None
) -> Iterator[tuple[Child, Leaf | None]]:
    if child.key < low or (high is not None and child.first >= high):
        return
    if level == 0:
        if child.first >= low and (high is None or child.key < high):
            yield child, None
            return
        leaf = reader.chunk(child.id, child.place)
        assert isinstance(leaf, Leaf)
        start, stop = span_of(leaf, low, high)
        if start < stop:
            yield child, leaf.part(start, stop)
        return
    node = reader.chunk(child.id, child.place)
    assert isinstance(node, Node)
    for below in node.children:
        yield from _below(reader, below, level - 1, low, high)
