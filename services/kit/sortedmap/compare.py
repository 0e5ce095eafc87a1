"""Comparing maps, and summing or naming the part of a map between two keys, without opening what is equal or whole.

Elsewhere: rows of two ranges (encoding/rowdiff.py).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from services.kit.sortedmap.ahead import windows
from services.kit.sortedmap.cursor import top_of
from services.kit.sortedmap.encoding.chunks import Leaf, Node
from services.kit.sortedmap.encoding.codec import NO_PACK, leaf_id, node_id
from services.kit.sortedmap.encoding.rowdiff import changed_keys, differing, differing_among
from services.kit.sortedmap.packs import PackSink, Reader
from services.kit.sortedmap.rows import EMPTY, Child, Place, Root, Row, ends_chunk
from services.kit.sortedmap.tree import build, by_first, scan, span_of, total_of

Difference = tuple[bytes, Row | None, Row | None]
"""A key, and its row on either side."""


class Summary(NamedTuple):
    """A part of a map as a whole."""

    rows: int
    size_bytes: int
    id: bytes


NOTHING = Summary(0, 0, EMPTY.id)
FIRST_AHEAD = 16  # ranges that are opened at once, in the beginning: somebody waits for the first difference
_NOWHERE = Place(NO_PACK, 0, 0)
_Leveled = tuple[int, Child]
_Part = tuple[Child, int, bool]
"""A chunk cut down to the wanted keys, its level, and whether it was made anew: then it has several children."""


def diff(reader: Reader, a: Root, b: Root, low: bytes = b"", high: bytes | None = None) -> Iterator[Difference]:
    """Keys in low <= key < high whose rows differ in kind, size or digest, ascending. Equal ids are never opened."""
    if a.id == b.id:
        return
    left, right = _top(reader, a), _top(reader, b)
    while left or right:
        common = {child.id for _, child in left} & {child.id for _, child in right}
        left, right = (_within(side, common, low, high) for side in (left, right))
        level = max((level for level, _ in left + right), default=0)
        if level == 0:
            break
        for some in windows([child for at, child in left + right if at == level]):
            reader.bring((child.id, child.place) for child in some)
        left, right = _opened(reader, left, level), _opened(reader, right, level)
    coming = _Coming(reader, [child for _, child in left + right])
    yield from _differences(_Rows(coming, left, low, high), _Rows(coming, right, low, high))


def summary(reader: Reader, root: Root, low: bytes = b"", high: bytes | None = None) -> Summary:
    """How many rows and bytes there are in low <= key < high, and the id that a map of just them has.

    Opens at most two ranges, unless an edge lies in a run that chosen names made too long: that part is read whole.
    """
    if root.place is None:
        return NOTHING
    top, child = top_of(reader, root)
    cutting = _Cutting(reader, low, high, child.key)
    part = cutting.restricted(child, top.level)
    if part is None:
        return NOTHING
    found, level, is_made = part
    if cutting.in_long_run:
        built = build(scan(reader, root, low, high), PackSink(lambda _name, _data: None))
        return Summary(found.rows, found.size_bytes, built.id)
    while level > 0 and not is_made:
        node = reader.chunk(found.id, found.place)
        assert isinstance(node, Node)
        if len(node.children) > 1:
            break
        found, level = node.children[0], level - 1
    return Summary(found.rows, found.size_bytes, found.id)


def _top(reader: Reader, root: Root) -> list[_Leveled]:
    if root.place is None:
        return []
    chunk, child = top_of(reader, root)
    return [(chunk.level, child)]


def _within(side: list[_Leveled], common: set[bytes], low: bytes, high: bytes | None) -> list[_Leveled]:
    return [
        (level, child)
        for level, child in side
        if child.id not in common and child.key >= low and (high is None or child.first < high)
    ]


def _opened(reader: Reader, side: list[_Leveled], level: int) -> list[_Leveled]:
    opened = list[_Leveled]()
    for at, child in side:
        if at < level:
            opened.append((at, child))
            continue
        node = reader.chunk(child.id, child.place)
        assert isinstance(node, Node)
        opened += [(level - 1, below) for below in node.children]
    return opened


class _Coming:
    """Opens the ranges of both sides; more and more of those that come next are read side by side."""

    def __init__(self, reader: Reader, ranges: list[Child]) -> None:
        self._reader = reader
        self._next = windows(sorted(ranges, key=by_first), FIRST_AHEAD) if reader.is_far else iter(())
        self._brought = set[bytes]()

    def open(self, child: Child) -> Leaf:
        while child.id not in self._brought and (some := next(self._next, None)):
            self._reader.bring((each.id, each.place) for each in some)
            self._brought.update(each.id for each in some)
        leaf = self._reader.chunk(child.id, child.place)
        assert isinstance(leaf, Leaf)
        return leaf


class _Rows:
    """One side's ranges, one after another, and how far it has been compared."""

    def __init__(self, coming: _Coming, side: list[_Leveled], low: bytes, high: bytes | None) -> None:
        self._left = iter(side)
        self._coming, self._low, self._high = coming, low, high
        self.leaf: Leaf | None = None
        self.id = b""
        """Of the range."""
        self.at = self.stop = 0
        self.fill()

    def fill(self) -> None:
        """Open the next range when this one has been compared; `leaf` is None after the last."""
        while self.at == self.stop:
            _, child = next(self._left, (0, None))
            if child is None:
                self.leaf = None
                break
            leaf = self._coming.open(child)
            self.leaf, self.id = leaf, child.id
            self.at, self.stop = span_of(leaf, self._low, self._high)

    def row(self, index: int | None) -> Row | None:
        return None if self.leaf is None or index is None else self.leaf.row(index)


def _differences(left: _Rows, right: _Rows) -> Iterator[Difference]:
    while left.leaf is not None and right.leaf is not None:
        a, b = left.leaf, right.leaf
        reached = min(a.keys[left.stop - 1], b.keys[right.stop - 1])
        a_stop = bisect_right(a.keys, reached, left.at, left.stop)
        b_stop = bisect_right(b.keys, reached, right.at, right.stop)
        known = changed_keys(a, left.id, b, right.id)
        if known is None:
            pairs = differing(a, left.at, a_stop, b, right.at, b_stop)
        else:
            pairs = differing_among(known, a, left.at, a_stop, b, right.at, b_stop)
        for i, j in pairs:
            yield b.keys[j] if j is not None else a.keys[i or 0], left.row(i), right.row(j)
        left.at, right.at = a_stop, b_stop
        left.fill()
        right.fill()
    while left.leaf is not None:
        yield from ((row.key, row, None) for row in left.leaf.rows(left.at, left.stop))
        left.at = left.stop
        left.fill()
    while right.leaf is not None:
        yield from ((row.key, None, row) for row in right.leaf.rows(right.at, right.stop))
        right.at = right.stop
        right.fill()


@dataclass
class _Cutting:
    """Cuts chunks down to a part of the map that ends with the key `end`."""

    reader: Reader
    low: bytes
    high: bytes | None
    end: bytes
    in_long_run: bool = False

    def restricted(self, child: Child, level: int) -> _Part | None:
        """What is left of a chunk of `level`; of one that keeps an only child, that child."""
        if child.key < self.low or (self.high is not None and child.first >= self.high):
            return None
        if child.first >= self.low and (self.high is None or child.key < self.high):
            return child, level, False
        chunk = self.reader.chunk(child.id, child.place)
        if isinstance(chunk, Leaf):
            start, stop = span_of(chunk, self.low, self.high)
            return (_cut(chunk.part(start, stop)), 0, True) if start < stop else None
        start, stop = bisect_left(chunk.keys, self.low), len(chunk.keys)
        if self.high is not None:
            stop = bisect_left(chunk.children, self.high, start, key=by_first)
        if start == stop:
            return None
        self._look_at(chunk.children, start, level - 1)
        self._look_at(chunk.children, stop - 1, level - 1)
        found = (self.restricted(item, level - 1) for item in chunk.children[start:stop])
        parts = [part for part in found if part is not None]
        if len(parts) < 2:
            return parts[0] if parts else None
        return _over([_raised(item, at, level - 1) for item, at, _ in parts], level), level, True

    def _look_at(self, siblings: list[Child], index: int, level: int) -> None:
        """A chunk at the edge must be a whole run: cut down, a longer run might not be cut where it is now."""
        begins = index == 0 or ends_chunk(siblings[index - 1].key, level)
        ends = siblings[index].key == self.end or ends_chunk(siblings[index].key, level)
        self.in_long_run = self.in_long_run or not (begins and ends)


def _over(items: list[Child], level: int) -> Child:
    rows, size = total_of(items)
    return Child(items[-1].key, items[0].first, node_id(level, items), _NOWHERE, rows, size, NO_PACK)


def _raised(child: Child, level: int, to: int) -> Child:
    """The chunk of level `to` that has nothing but this one below it."""
    for above in range(level + 1, to + 1):
        child = _over([child], above)
    return child


def _cut(leaf: Leaf) -> Child:
    return Child(leaf.last, leaf.first, leaf_id(leaf), _NOWHERE, len(leaf.keys), leaf.size_bytes(), NO_PACK)
