"""The files of joins and groups by key, as a persistent map: so a plan looks at the keys that a change touches only.

A row's key is (node, key, child, leaf, path), numbers from left to right in the tree, each join, group and leaf once;
it holds the file's size and digest. Keys of a join are escaped, so that they sort as text does.
Elsewhere: what a join or group makes of a key's files (domain/planning/inputs.py); sorting more than fits (sorting.py).
"""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.jobs.domain.datums import Datum, InputFile, Leaf
from services.jobs.domain.planning.changes import Changed, keyed
from services.jobs.domain.planning.inputs import Group, Input, Join, grouped, join_of, key_of, leaves
from services.jobs.peers.pfs import CommitRef
from services.kit.sortedmap.packs import Reader
from services.kit.sortedmap.rows import Edit, Removed, Root, Row
from services.kit.sortedmap.tree import scan

_NODE, _PLACE = struct.Struct(">H"), struct.Struct(">HH")
_ZERO, _ESCAPED, _END = b"\0", b"\0\xff", b"\0\0"

Node = Join | Group


@dataclass(frozen=True)
class Matching:
    """The joins and groups of a tree, and the leaves, by number."""

    tree: Input
    commits: Mapping[Leaf, CommitRef]

    @property
    def nodes(self) -> list[Node]:
        return keyed(self.tree)

    @property
    def leaves(self) -> list[Leaf]:
        return list(dict.fromkeys(leaves(self.tree)))

    def rows(self, leaf: Leaf, files: Iterable[InputFile]) -> Iterator[Row]:
        """What files of a leaf add to the map; in no order."""
        places = self._places(leaf)
        for file in files:
            for node, number, place in places:
                yield Row(_key(number, key_of(node, file), place, file.path), 0, file.size_bytes, file.digest)

    def edits(self, leaf: Leaf, changes: Sequence[Changed]) -> Iterator[Edit]:
        """What changes of a leaf's files change in the map; in no order."""
        places = self._places(leaf)
        for change in changes:
            if change.new is not None:
                yield from self.rows(leaf, [change.new])
                continue
            for node, number, place in places:
                yield Removed(_key(number, key_of(node, change.file), place, change.file.path))

    def members(self, reader: Reader, root: Root, node: Node, key: str) -> list[list[InputFile]]:
        """The files under a key, child by child. Blocks."""
        low = _prefix(self.nodes.index(node), key)
        return self._parts(node, key, scan(reader, root, low, low[:-1] + b"\1"))

    def datums(self, reader: Reader, root: Root, node: Node) -> Iterator[Datum]:
        """All datums of a join or group, by key; a key's files are in memory at a time. Blocks."""
        number = self.nodes.index(node)
        begin = b""
        rows: list[Row] = []
        for row in scan(reader, root, _NODE.pack(number), _NODE.pack(number + 1)):
            head = row.key[: row.key.index(_END, _NODE.size) + 2]
            if head != begin:
                yield from self._made(node, begin, rows)
                begin, rows = head, []
            rows.append(row)
        yield from self._made(node, begin, rows)

    def _made(self, node: Node, begin: bytes, rows: list[Row]) -> Iterator[Datum]:
        if rows:
            key = begin[_NODE.size : -2].replace(_ESCAPED, _ZERO).decode()
            parts = self._parts(node, key, rows)
            yield from join_of(parts) if isinstance(node, Join) else iter((grouped(parts),))

    def _parts(self, node: Node, key: str, rows: Iterable[Row]) -> list[list[InputFile]]:
        known, parts = self.leaves, list[list[InputFile]]([] for _ in node.children)
        join_on, group_by = (key, "") if isinstance(node, Join) else ("", key)
        begin = len(_prefix(0, key))
        for row in rows:
            child, leaf = _PLACE.unpack_from(row.key, begin)
            path = row.key[begin + _PLACE.size :].decode()
            found = known[leaf]
            commit = self.commits[found].id
            parts[child].append(InputFile(found, commit, path, row.size, row.digest, join_on, group_by))
        return parts

    def _places(self, leaf: Leaf) -> list[tuple[Node, int, bytes]]:
        """Where a leaf's files are: the join or group, its number, the child and the leaf."""
        number = self.leaves.index(leaf)
        return [
            (node, at, _PLACE.pack(index, number))
            for at, node in enumerate(self.nodes)
            for index, child in enumerate(node.children)
            if leaf in leaves(child)
        ]


def _prefix(node: int, key: str) -> bytes:
    return _NODE.pack(node) + key.encode().replace(_ZERO, _ESCAPED) + _END


def _key(node: int, key: str, place: bytes, path: str) -> bytes:
    return _prefix(node, key) + place + path.encode()
