"""Changing a map: each level is a sequence of items cut at boundaries, and an edit renews the chunks it touches.

At level 0 the items are rows; renewed ranges are edits of the items at level 1, and so on up. A chunk whose boundary
goes away takes in its right neighbour. Cost: the touched chunks and their ancestors, whatever the size of the map;
a run that chosen names made too long (chunking.py) is touched as a whole.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic

from services.kit.sortedmap.ahead import AT_ONCE, bring
from services.kit.sortedmap.chunking import Chunker
from services.kit.sortedmap.cursor import Cursor, top_of
from services.kit.sortedmap.encoding.chunks import BadRow, C, Change, Leaf, Node, by_key, leaf_of
from services.kit.sortedmap.encoding.codec import encode_delta, leaf_id, node_id
from services.kit.sortedmap.packs import PackSink, Reader
from services.kit.sortedmap.rows import EMPTY, Child, Edit, Removed, Root, Row, ends_chunk
from services.kit.sortedmap.tree import (
    BATCH_ROWS,
    UnsortedKeys,
    build,
    child_of_leaf,
    child_of_node,
    raise_root,
    write_leaf,
)

LARGEST_DELTA = 8  # a delta range holds at most one row in this many


Look = Callable[[Sequence[bytes], Sequence[int]], None]
"""Sees keys that will be in the map, neighbours and in order, and which of them were put."""


def apply(reader: Reader, root: Root, edits: Iterable[Edit], sink: PackSink, look: Look | None = None) -> Root:
    """The map with `edits` carried out. edits: ascending and unique by key, all held in memory meanwhile.

    look: called where rows were put, in order, with what has to be opened for that anyway; not for an empty map.
    Returns a root with the id that building the same rows from scratch gives. An edit that changes nothing but the
    place of a row is none. Raises UnsortedKeys, BadRow, CorruptRange. The caller flushes the sink.
    """
    wanted = _checked(edits)
    if not wanted:
        return root
    if root.place is None:
        return build((edit for edit in wanted if isinstance(edit, Row)), sink)
    return _Renewal(reader, root, sink, look).run(wanted)


def _checked(edits: Iterable[Edit]) -> list[Edit]:
    wanted = list(edits)
    before: bytes | None = None
    for key in map(by_key, wanted):
        if before is not None and key <= before:
            raise UnsortedKeys(before, key)
        before = key
    rows = [edit for edit in wanted if isinstance(edit, Row)]
    if len(rows) + sum(isinstance(edit, Removed) for edit in wanted) != len(wanted):
        raise BadRow("an edit is a Row or a Removed")
    for start in range(0, len(rows), BATCH_ROWS):
        leaf_of(rows[start : start + BATCH_ROWS])
    return wanted


@dataclass
class _Group(Generic[C]):
    """Old chunks that are renewed together, and what becomes of them."""

    old: list[Child] = field(default_factory=list)
    made: list[C] = field(default_factory=list)
    edits: list[Change] = field(default_factory=list)
    """Those that change something."""
    first: C | None = None
    """The first old chunk, opened."""


class _Renewal:
    """One change of one map."""

    def __init__(self, reader: Reader, root: Root, sink: PackSink, look: Look | None) -> None:
        self._reader, self._root, self._sink, self._look = reader, root, sink, look
        self._top, _ = top_of(reader, root)
        # Nodes of this change, which cannot be read before the sink is flushed; with their child when it is the only.
        self._made: dict[bytes, Child | None] = {}

    def run(self, edits: Sequence[Edit]) -> Root:
        changes, last = self._level(0, edits)
        level = 0
        while changes and level < self._top.level:
            level += 1
            changes, last = self._level(level, changes)
        if not changes:
            return self._root
        if not last:
            return EMPTY
        return self._lowest(raise_root(iter(last), level, self._sink), level if len(last) == 1 else 0)

    def _lowest(self, root: Root, level: int) -> Root:
        """A root with an only child is that child."""
        while level > 0:
            if root.id in self._made:
                only = self._made[root.id]
            else:
                assert root.place is not None
                node = self._reader.chunk(root.id, root.place)
                assert isinstance(node, Node)
                only = node.children[0] if len(node.children) == 1 else None
            if only is None:
                break
            root, level = Root(only.id, only.place, only.rows, only.size_bytes), level - 1
        return root

    def _level(self, level: int, edits: Sequence[Change]) -> tuple[list[Change], list[Child]]:
        """Renew one level. Returns the changes of the level above, and the last group's chunks, in order."""
        cursor, changes, last = Cursor(self._reader, self._root, level), list[Change](), list[Child]()
        at = ahead = 0
        while at < len(edits):
            if at >= ahead:
                ahead = at + AT_ONCE
                bring(self._reader, self._root, [edit.key for edit in edits[at:ahead]], level)
            cursor.seek(edits[at].key)
            while (before := cursor.key_before) is not None and not ends_chunk(before, level):
                cursor.back()  # to where an over-long run begins
            if level == 0:
                rows = _Group[Leaf]()
                at = self._edit(cursor, Chunker[Leaf](0), rows, edits, at)
                last = self._ranges(rows)
                changes += _changes(rows.old, last)
            else:
                items = _Group[Node]()
                at = self._edit(cursor, Chunker[Node](level), items, edits, at)
                last = [self._node(level, node, items.old) for node in items.made]
                changes += _changes(items.old, last)
        return changes, last

    def _edit(self, cursor: Cursor, chunker: Chunker[C], group: _Group[C], edits: Sequence[Change], at: int) -> int:
        """Take in old chunks from the cursor on, with their edits, to the first run that ends where it did."""
        level = cursor.level
        while True:
            old, is_last = cursor.child, cursor.is_last
            chunk: C = self._reader.chunk(old.id, old.place)  # type: ignore[assignment]
            stop = len(edits) if is_last else bisect_right(edits, old.key, at, key=by_key)
            wanted = chunk.effective(edits[at:stop])
            at = stop
            group.old.append(old)
            group.first = group.first or chunk
            group.edits += wanted
            group.made += self._chunks(chunker, chunk, wanted, level)
            if is_last or (chunker.is_closed and ends_chunk(old.key, level)):
                group.made += chunker.rest()
                return at
            cursor.forward()

    def _chunks(self, chunker: Chunker[C], chunk: C, edits: list[Change], level: int) -> Iterator[C]:
        """What is complete with the edited chunk. Of its old keys, only the last one can be a boundary."""
        edited: C
        put: list[int]
        edited, put = chunk.edited(edits)
        if put and level == 0 and self._look is not None:
            self._look(edited.keys, put)
        kept = bisect_left(edited.keys, chunk.last)
        may_end = sorted({*put, kept} - {len(edited.keys)})
        ends = [index + 1 for index in may_end if ends_chunk(edited.keys[index], level)]
        return chunker.feed(edited, ends) if edited.keys else iter(())

    def _ranges(self, group: _Group[Leaf]) -> list[Child]:
        if not group.edits:
            return group.old
        old = {child.id: child for child in group.old}
        may_be_delta = len(group.old) == len(group.made) == 1
        made = list[Child]()
        for leaf in group.made:
            id = leaf_id(leaf)
            if id in old:
                made.append(old[id])
            else:
                stored = self._delta(group, leaf, id) if may_be_delta else None
                made.append(stored or write_leaf(leaf, id, self._sink))
        return made

    def _delta(self, group: _Group[Leaf], leaf: Leaf, id: bytes) -> Child | None:
        """Store a range as its difference to a full one, if that is small; no boundary came or went."""
        assert group.first is not None
        delta = {edit.key: edit for edit in [*group.first.delta, *group.edits] if not isinstance(edit, Child)}
        if len(delta) * LARGEST_DELTA > len(leaf.keys):
            return None
        base_id, base = group.first.base or (group.old[0].id, group.old[0].place)
        edits = sorted(delta.values(), key=by_key)
        place = self._sink.add(encode_delta(base_id, base, edits))
        leaf.base, leaf.delta = (base_id, base), edits
        self._reader.keep(id, place, leaf)
        return child_of_leaf(leaf, id, place, base.pack)

    def _node(self, level: int, node: Node, old: list[Child]) -> Child:
        id = node_id(level, node.children)
        for child in old:
            if child.id == id:
                return child
        self._made[id] = node.children[0] if len(node.children) == 1 else None
        made = child_of_node(node, id, self._sink)
        self._reader.keep(id, made.place, node)
        return made


def _changes(old: list[Child], made: list[Child]) -> Iterator[Change]:
    """The edits of the level above, by key."""
    after: dict[bytes, Change] = {child.key: Removed(child.key) for child in old}
    after |= {child.key: child for child in made}
    same = {child.key for child in old if after[child.key] is child}
    return (after[key] for key in sorted(after.keys() - same))
