"""Changing a map: each level is a sequence of items cut at boundaries, and an edit renews the chunks it touches.

At level 0 the items are rows; renewed ranges are edits of the items at level 1, and so on up. A chunk whose boundary
goes away takes in its right neighbour. Cost: the touched chunks and their ancestors, whatever the size of the map.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from services.kit.sortedmap.chunking import cut
from services.kit.sortedmap.codec import NO_PACK, Chunk, Leaf, Node, encode_delta, leaf_id, leaf_of, merge
from services.kit.sortedmap.packs import PackSink, Reader
from services.kit.sortedmap.rows import EMPTY, Child, Edit, Removed, Root, Row, ends_chunk
from services.kit.sortedmap.tree import UnsortedKeys, build, child_of_leaf, raise_root, write_leaf, write_node

LARGEST_DELTA = 8  # a delta range holds at most one row in this many

Put = tuple[bytes, Child | None]
"""At this key, the node's child becomes this one, or goes away."""


def apply(reader: Reader, root: Root, edits: Iterable[Edit], sink: PackSink) -> Root:
    """The map with `edits` carried out. edits: ascending and unique by key.

    Returns a root with the id that building the same rows from scratch gives. Raises UnsortedKeys. The caller flushes.
    """
    wanted = list(_ascending(edits))
    if not wanted:
        return root
    if root.place is None:
        return build((edit for edit in wanted if isinstance(edit, Row)), sink)
    return _Renewal(reader, root, sink).run(wanted)


def _ascending(edits: Iterable[Edit]) -> Iterator[Edit]:
    before: bytes | None = None
    for edit in edits:
        if before is not None and edit.key <= before:
            raise UnsortedKeys(before, edit.key)
        before = edit.key
        yield edit


class _Renewal:
    """One change of one map."""

    def __init__(self, reader: Reader, root: Root, sink: PackSink) -> None:
        assert root.place is not None
        self._reader, self._root, self._sink = reader, root, sink
        self._top = reader.chunk(root.id, root.place)
        self._made: dict[bytes, list[Child]] = {}  # nodes of this change: not readable before the sink is flushed

    def run(self, edits: list[Edit]) -> Root:
        puts, last = self._ranges(edits)
        level = 0
        while puts and level < self._top.level:
            level += 1
            puts, last = self._nodes(puts, level)
        if not puts:
            return self._root
        if not last:
            return EMPTY
        return self._lowest(raise_root(iter(last), level, self._sink), level if len(last) == 1 else 0)

    def _lowest(self, root: Root, level: int) -> Root:
        """A root with an only child is that child."""
        while level > 0:
            children = self._made.get(root.id)
            if children is None:
                assert root.place is not None
                node = self._reader.chunk(root.id, root.place)
                assert isinstance(node, Node)
                children = node.children
            if len(children) > 1:
                break
            (only,) = children
            root, level = Root(only.id, only.place, only.rows, only.size_bytes), level - 1
        return root

    def _ranges(self, edits: list[Edit]) -> tuple[list[Put], list[Child]]:
        """Renew the ranges that `edits` fall in. Also returns the renewed chunks of the last group, in order."""
        puts, made, at = dict[bytes, Child | None](), list[Child](), 0
        while at < len(edits):
            old = self._first_ranges(edits[at].key)
            rows = list[Row]()
            for child, leaf in old:
                at, taken = self._taken(edits, at, child)
                rows += merge(leaf.rows(), taken)
            while not self._is_end(old[-1][0]) and not self._closed(old[-1][0].key, rows[-1].key if rows else None, 0):
                child, leaf = self._range_at(old[-1][0].key + b"\x00")
                old.append((child, leaf))
                at, taken = self._taken(edits, at, child)
                rows += merge(leaf.rows(), taken)
            made = [self._range(leaf_of(part), old) for part in cut(rows, 0)]
            _note(puts, [child for child, _ in old], made)
        return sorted(puts.items()), made

    def _nodes(self, puts: list[Put], level: int) -> tuple[list[Put], list[Child]]:
        """The same for nodes of `level`, whose items are children."""
        above, made, at = dict[bytes, Child | None](), list[Child](), 0
        while at < len(puts):
            old = [self._child_at(puts[at][0], level)]
            at, items = self._edited(puts, at, old[0])
            while not self._is_end(old[-1]) and not self._closed(old[-1].key, items[-1].key if items else None, level):
                old.append(self._child_at(old[-1].key + b"\x00", level))
                at, more = self._edited(puts, at, old[-1])
                items += more
            made = [self._node(level, part, old) for part in cut(items, level)]
            _note(above, old, made)
        return sorted(above.items()), made

    def _edited(self, puts: list[Put], at: int, child: Child) -> tuple[int, list[Child]]:
        """The items of an old node with the puts that fall in it."""
        node = self._reader.chunk(child.id, child.place)
        assert isinstance(node, Node)
        items = {item.key: item for item in node.children}
        while at < len(puts) and (puts[at][0] <= child.key or self._is_end(child)):
            key, item = puts[at]
            if item is None:
                items.pop(key, None)
            else:
                items[key] = item
            at += 1
        return at, [items[key] for key in sorted(items)]

    def _node(self, level: int, children: list[Child], old: list[Child]) -> Child:
        made = write_node(level, children, self._sink)
        self._made[made.id] = children
        return next((child for child in old if child.id == made.id), made)

    def _range(self, leaf: Leaf, old: list[tuple[Child, Leaf]]) -> Child:
        """Store a range, as a delta where that is small; one that is there already keeps its place."""
        id = leaf_id(leaf)
        for child, _ in old:
            if child.id == id:
                return child
        if len(old) == 1 and old[0][0].key == leaf.last:
            child, before = old[0]
            base_id, base_place = before.base or (child.id, child.place)
            base = self._reader.chunk(base_id, base_place)
            assert isinstance(base, Leaf)
            delta = _difference(base, leaf)
            if len(delta) * LARGEST_DELTA <= len(leaf.keys):
                place = self._sink.add(encode_delta(base_id, base_place, delta))
                return child_of_leaf(leaf, id, place, base_place.pack)
        return write_leaf(leaf, self._sink)

    def _taken(self, edits: list[Edit], at: int, child: Child) -> tuple[int, list[Edit]]:
        """The edits that fall in the old range `child`."""
        start = at
        while at < len(edits) and (edits[at].key <= child.key or self._is_end(child)):
            at += 1
        return at, edits[start:at]

    def _first_ranges(self, key: bytes) -> list[tuple[Child, Leaf]]:
        """The range that `key` falls in, after those that an over-long range was cut into before it."""
        if isinstance(self._top, Leaf):
            return [self._range_at(key)]
        parent = self._child_at(key, 1)
        node = self._reader.chunk(parent.id, parent.place)
        assert isinstance(node, Node)
        stop = min(bisect_left(node.keys, key), len(node.keys) - 1)
        start = stop
        while start > 0 and not ends_chunk(node.keys[start - 1], 0):
            start -= 1  # a node begins after a boundary of its own level, which is one of every level below
        return [(child, self._leaf(child)) for child in node.children[start : stop + 1]]

    def _range_at(self, key: bytes) -> tuple[Child, Leaf]:
        child = self._child_at(key, 0)
        return child, self._leaf(child)

    def _leaf(self, child: Child) -> Leaf:
        leaf = self._reader.chunk(child.id, child.place)
        assert isinstance(leaf, Leaf)
        return leaf

    def _child_at(self, key: bytes, level: int) -> Child:
        """The chunk of `level` that `key` falls in: the first that ends at or after it, or else the last one."""
        assert self._root.place is not None
        root, top = self._root, self._top
        at = Child(top.last, top.first, root.id, self._root.place, root.rows, root.size_bytes, NO_PACK)
        chunk: Chunk = self._top
        while chunk.level > level:
            assert isinstance(chunk, Node)
            at = chunk.children[min(bisect_left(chunk.keys, key), len(chunk.keys) - 1)]
            if chunk.level - 1 > level:
                chunk = self._reader.chunk(at.id, at.place)
            else:
                break
        return at

    def _is_end(self, child: Child) -> bool:
        return child.key == self._top.last

    @staticmethod
    def _closed(old: bytes, new: bytes | None, level: int) -> bool:
        """Whether a group may end: its last old chunk ended at a boundary, and so does what replaces it, if any."""
        return ends_chunk(old, level) and (new is None or ends_chunk(new, level))


def _note(puts: dict[bytes, Child | None], old: list[Child], made: list[Child]) -> None:
    for child in old:
        puts[child.key] = None
    for child in made:
        puts[child.key] = child
    for child in old:
        if puts.get(child.key) is child:
            del puts[child.key]  # nothing changed there


def _difference(base: Leaf, leaf: Leaf) -> list[Edit]:
    """The edits that make `leaf` of `base`, by key."""
    before, after = {row.key: row for row in base.rows()}, {row.key: row for row in leaf.rows()}
    changed: list[Edit] = [row for key, row in after.items() if before.get(key) != row]
    gone: list[Edit] = [Removed(key) for key in before.keys() - after.keys()]
    return sorted(changed + gone, key=lambda edit: edit.key)
