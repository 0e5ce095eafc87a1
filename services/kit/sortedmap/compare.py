"""Comparing maps, and summing or naming the part of a map between two keys, without opening what is equal or whole."""

from bisect import bisect_left
from collections.abc import Iterator

from services.kit.sortedmap.chunking import total_of
from services.kit.sortedmap.codec import NO_PACK, Leaf, Node, leaf_id, leaf_of, node_id
from services.kit.sortedmap.packs import Reader
from services.kit.sortedmap.rows import EMPTY, Child, Place, Root, Row

Difference = tuple[bytes, Row | None, Row | None]
"""A key, and its row on either side."""
_NOWHERE = Place(NO_PACK, 0, 0)


def diff(reader: Reader, a: Root, b: Root, low: bytes = b"", high: bytes | None = None) -> Iterator[Difference]:
    """Keys in low <= key < high whose rows differ in kind, size or digest, ascending. Equal ids are never opened."""
    left, right = _top(reader, a), _top(reader, b)
    while left or right:
        common = {child.id for _, child in left} & {child.id for _, child in right}
        left, right = (_within(side, common, low, high) for side in (left, right))
        level = max((level for level, _ in left + right), default=0)
        if level == 0:
            break
        left, right = _opened(reader, left, level), _opened(reader, right, level)
    yield from _row_differences(_rows(reader, left, low, high), _rows(reader, right, low, high))


def totals(reader: Reader, root: Root, low: bytes = b"", high: bytes | None = None) -> tuple[int, int]:
    """Rows and bytes in low <= key < high, from node sums and at most two ranges."""
    rows = size = 0
    pending = [child for _, child in _top(reader, root)]
    while pending:
        child = pending.pop()
        if child.key < low or (high is not None and child.first >= high):
            continue
        if child.first >= low and (high is None or child.key < high):
            rows, size = rows + child.rows, size + child.size_bytes
            continue
        chunk = reader.chunk(child.id, child.place)
        if isinstance(chunk, Node):
            pending += chunk.children
        else:
            start, stop = _span(chunk, low, high)
            rows, size = rows + stop - start, size + sum(chunk.sizes[start:stop])
    return rows, size


def range_digest(reader: Reader, root: Root, low: bytes = b"", high: bytes | None = None) -> bytes:
    """The id that a map of just the rows in low <= key < high has: it depends on them alone. Opens at most two."""
    if root.place is None:
        return EMPTY.id
    ((level, top),) = _top(reader, root)
    child = _restricted(reader, top, level, low, high)
    if child is None:
        return EMPTY.id
    made, items = child
    while level > 0:
        if items is None:
            node = reader.chunk(made.id, made.place)
            assert isinstance(node, Node)
            items = [(item, None) for item in node.children]
        if len(items) > 1:
            break
        (made, items), level = items[0], level - 1
    return made.id


_Part = tuple[Child, "list[_Part] | None"]
"""A chunk cut down to the wanted keys, with its own parts when it had to be made anew."""


def _restricted(reader: Reader, child: Child, level: int, low: bytes, high: bytes | None) -> _Part | None:
    if child.key < low or (high is not None and child.first >= high):
        return None
    if child.first >= low and (high is None or child.key < high):
        return child, None
    chunk = reader.chunk(child.id, child.place)
    if isinstance(chunk, Leaf):
        start, stop = _span(chunk, low, high)
        if start == stop:
            return None
        leaf = leaf_of([chunk.row(index) for index in range(start, stop)])
        return Child(leaf.last, leaf.first, leaf_id(leaf), _NOWHERE, stop - start, sum(leaf.sizes), NO_PACK), None
    found = (_restricted(reader, item, level - 1, low, high) for item in chunk.children)
    parts = [part for part in found if part is not None]
    if not parts:
        return None
    items = [item for item, _ in parts]
    rows, size = total_of(items)
    return Child(items[-1].key, items[0].first, node_id(level, items), _NOWHERE, rows, size, NO_PACK), parts


def _span(leaf: Leaf, low: bytes, high: bytes | None) -> tuple[int, int]:
    return bisect_left(leaf.keys, low), len(leaf.keys) if high is None else bisect_left(leaf.keys, high)


_Leveled = tuple[int, Child]


def _top(reader: Reader, root: Root) -> list[_Leveled]:
    if root.place is None:
        return []
    chunk = reader.chunk(root.id, root.place)
    return [(chunk.level, Child(chunk.last, chunk.first, root.id, root.place, root.rows, root.size_bytes, NO_PACK))]


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


def _rows(reader: Reader, side: list[_Leveled], low: bytes, high: bytes | None) -> Iterator[Row]:
    for _, child in side:
        leaf = reader.chunk(child.id, child.place)
        assert isinstance(leaf, Leaf)
        start, stop = _span(leaf, low, high)
        yield from leaf.rows() if stop - start == len(leaf.keys) else map(leaf.row, range(start, stop))


def _row_differences(left: Iterator[Row], right: Iterator[Row]) -> Iterator[Difference]:
    old, new = next(left, None), next(right, None)
    while old is not None or new is not None:
        if new is None or (old is not None and old.key < new.key):
            assert old is not None
            yield old.key, old, None
            old = next(left, None)
        elif old is None or new.key < old.key:
            yield new.key, None, new
            new = next(right, None)
        else:
            if old.logical() != new.logical():
                yield old.key, old, new
            old, new = next(left, None), next(right, None)
