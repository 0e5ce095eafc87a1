"""Trees of commits in the object store: ranges and manifests lie in index packs, read through one bounded cache.

A view of an open commit is a tree too, of which only the new ranges lie in memory (`Overlay`).
Elsewhere: the map itself (kit/sortedmap); what the rows mean (domain/files/entries.py).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from services.kit.objects.blocks import Ranges, ranges_together, small_ranges
from services.kit.objects.port import Objects
from services.kit.sortedmap.encoding.codec import Chunk
from services.kit.sortedmap.packs import PackSink, Reader
from services.kit.sortedmap.rows import EMPTY, Place, Root, Row
from services.kit.time.clock import fresh_name
from services.pfs.domain.commits import TreeRoot
from services.pfs.domain.files.entries import CHUNKED, Content, Extent, decode_manifest, encode_manifest, size_of
from services.pfs.domain.files.entries import FILE as WHOLE_FILE
from services.pfs.storage.collection.moves import Moves
from services.pfs.storage.content.ranges import RangePlaces, index_key

OVERLAY_DECODED_BYTES = 16 << 20


@dataclass(frozen=True)
class _Stored:
    ranges: Ranges
    places: RangePlaces

    def read(self, place: Place) -> bytes:
        at = self.places.now(place)
        return self.ranges.get_range(index_key(at.pack), at.offset, at.stored)

    def read_many(self, places: Sequence[Place]) -> list[bytes]:
        now = map(self.places.now, places)
        return ranges_together(self.ranges, [(index_key(at.pack), at.offset, at.stored) for at in now])


class TreeStore:
    """Stored trees. Safe for several threads; all calls block."""

    def __init__(self, objects: Objects, name: Callable[[], bytes] = fresh_name, moves: Moves | None = None) -> None:
        self._objects, self._name = objects, name
        self.places = RangePlaces(objects, moves or Moves())
        self.source = _Stored(small_ranges(objects), self.places)
        self.reader = Reader(self.source, many=self.source.read_many if objects.root is None else None)

    def sink(self) -> PackSink:
        """Where new ranges and manifests go; its packs are durable once it is flushed."""
        return PackSink(lambda name, data: self._objects.put(index_key(name), data), self._name)

    def content(self, row: Row) -> Content:
        """What a row's file is made of. Raises Corrupt."""
        return content_of(row, self.source.read)


class Overlay(Reader):
    """Reads a stored tree with new ranges on top of it that lie in memory."""

    def __init__(self, trees: TreeStore) -> None:
        self._trees = trees
        self._memory = _Memory()
        super().__init__(self._memory, limit_bytes=OVERLAY_DECODED_BYTES)

    @property
    def size_bytes(self) -> int:
        """Bytes held in memory, not counting decoded ranges."""
        return sum(map(len, self._memory.packs.values()))

    def sink(self) -> PackSink:
        return PackSink(self._memory.keep)

    def chunk(self, id: bytes, place: Place) -> Chunk:
        here = place.pack in self._memory.packs
        return super().chunk(id, place) if here else self._trees.reader.chunk(id, place)

    @property
    def is_far(self) -> bool:
        return self._trees.reader.is_far

    def bring(self, wanted: Iterable[tuple[bytes, Place]]) -> None:
        self._trees.reader.bring((id, place) for id, place in wanted if place.pack not in self._memory.packs)

    def content(self, row: Row) -> Content:
        if row.place is not None and row.place.pack in self._memory.packs:
            return content_of(row, self._memory.read)
        return self._trees.content(row)


@dataclass
class _Memory:
    packs: dict[bytes, bytes] = field(default_factory=dict)

    def keep(self, name: bytes, data: bytes) -> None:
        self.packs[name] = data

    def read(self, place: Place) -> bytes:
        return self.packs[place.pack][place.offset : place.offset + place.stored]


def content_of(row: Row, read: Callable[[Place], bytes]) -> Content:
    """What a row's file is made of; `read` brings its manifest when it has one."""
    if row.place is None:
        return Content(0, row.digest, ())
    if row.kind == CHUNKED:
        return Content(row.size, row.digest, decode_manifest(read(row.place)))
    place = row.place
    only = Extent(place.pack, place.offset, place.stored, place.codec, row.size, row.digest)
    return Content(row.size, row.digest, (only,))


def row_of(key: bytes, pieces: tuple[Extent, ...], digest: bytes, sink: PackSink) -> Row:
    """The row of a file made of these pieces; more than one go into a manifest."""
    size = size_of(pieces)
    if len(pieces) > 1:
        return Row(key, CHUNKED, size, digest, sink.add(encode_manifest(pieces)))
    if not pieces or size == 0:
        return Row(key, WHOLE_FILE, 0, digest, None)
    only = pieces[0]
    return Row(key, WHOLE_FILE, size, digest, Place(only.pack, only.offset, only.stored, only.codec))


def root_of(root: TreeRoot | None, size_bytes: int) -> Root:
    """The map's view of a commit's root."""
    if root is None:
        return EMPTY
    return Root(root.id, Place(root.pack, root.offset, root.stored, root.codec), root.rows, size_bytes)


def tree_root(root: Root) -> TreeRoot | None:
    """A root as a commit keeps it."""
    if root.place is None:
        return None
    place = root.place
    return TreeRoot(root.id, place.pack, place.offset, place.stored, place.codec, root.rows)
