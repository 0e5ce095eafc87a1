"""A place among the chunks of one level, found from the root; moving on opens no chunk that is already on the way.

Elsewhere: who moves it (change.py).
"""

from bisect import bisect_left

from services.kit.sortedmap.encoding.chunks import Chunk, Node
from services.kit.sortedmap.encoding.codec import NO_PACK
from services.kit.sortedmap.packs import Reader
from services.kit.sortedmap.rows import Child, Root


def top_of(reader: Reader, root: Root) -> tuple[Chunk, Child]:
    """The root of a map that is not empty, opened, and as a node above it would see it."""
    assert root.place is not None
    chunk = reader.chunk(root.id, root.place)
    return chunk, Child(chunk.last, chunk.first, root.id, root.place, root.rows, root.size_bytes, NO_PACK)


class Cursor:
    """Moves among the chunks of one level. A cursor at the root's level knows the root only."""

    def __init__(self, reader: Reader, root: Root, level: int) -> None:
        self._reader, self.level = reader, level
        self._top, self._only = top_of(reader, root)
        self._path: list[tuple[Node, int]] = []

    @property
    def child(self) -> Child:
        """The chunk here."""
        if not self._path:
            return self._only
        node, index = self._path[-1]
        return node.children[index]

    @property
    def is_last(self) -> bool:
        return all(index == len(node.keys) - 1 for node, index in self._path)

    @property
    def key_before(self) -> bytes | None:
        """The last key of the chunk before this one; None at the first."""
        return next((node.keys[index - 1] for node, index in reversed(self._path) if index > 0), None)

    def seek(self, key: bytes) -> None:
        """Go to the chunk that `key` falls in: the first that ends at or after it, or else the last one."""
        while len(self._path) > 1 and self._path[-1][0].last < key:
            self._path.pop()
        node = self._path.pop()[0] if self._path else self._top
        while isinstance(node, Node) and node.level > self.level:
            index = min(bisect_left(node.keys, key), len(node.keys) - 1)
            self._path.append((node, index))
            if node.level == self.level + 1:
                break
            node = self._open(node.children[index])

    def forward(self) -> None:
        """Go to the next chunk. Not at the last one."""
        while self._path[-1][1] == len(self._path[-1][0].keys) - 1:
            self._path.pop()
        self._descend(1, from_start=True)

    def back(self) -> None:
        """Go to the chunk before. Not at the first one."""
        while self._path[-1][1] == 0:
            self._path.pop()
        self._descend(-1, from_start=False)

    def _descend(self, step: int, *, from_start: bool) -> None:
        node, index = self._path.pop()
        self._path.append((node, index + step))
        while node.level > self.level + 1:
            node = self._open(self.child)
            self._path.append((node, 0 if from_start else len(node.keys) - 1))

    def _open(self, child: Child) -> Node:
        node = self._reader.chunk(child.id, child.place)
        assert isinstance(node, Node)
        return node
