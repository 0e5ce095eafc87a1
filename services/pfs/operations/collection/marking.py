"""Which packs, and which blobs of them, are referred to by commits, open writes, file sets and the lately deleted.

Ranges that several trees share are walked once. All of it blocks.
Elsewhere: what is done about the rest (collect.py).
"""

import time
from array import array
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.kit.sortedmap.encoding.chunks import Leaf, Node
from services.kit.sortedmap.packs import Reader
from services.kit.sortedmap.rows import Place, Root
from services.pfs.domain.files.entries import CHUNKED, Extent
from services.pfs.operations.files.stores import Stores
from services.pfs.storage.collection.collection_tables import GraveRow
from services.pfs.storage.collection.graves import stored_root
from services.pfs.storage.content.content_tables import FileSetRow, LayerRow
from services.pfs.storage.content.layers import Inline, Part, Spilled, Whole, decode_parts
from services.pfs.storage.tables import CommitRow, table

DECODED_BYTES = 32 << 20
A_PAGE = 1000
WORK_SECONDS, PAUSE_SECONDS = 0.005, 0.005
_COMMIT = table(CommitRow)


@dataclass
class Marks:
    """What is referred to. content: by pack, where its blobs begin; may hold one more than once."""

    index: dict[bytes, int] = field(default_factory=dict)
    """Index packs, with the bytes in them that are referred to."""
    content: dict[bytes, "array[int]"] = field(default_factory=dict)

    def blobs(self, pack: bytes) -> set[int]:
        return set(self.content.get(pack, ()))


class Marker:
    """One marking."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._reader = Reader(stores.trees.source, limit_bytes=DECODED_BYTES)
        self._known = dict[bytes, int]()  # places that are referred to, and their lengths
        self._bases = set[bytes]()  # those that deltas are read from, and that were not walked themselves (yet)
        self._limits = dict[bytes, int]()
        self.marks = Marks()
        self._working_since = time.monotonic()

    def inline(self, data: bytes) -> list[Part]:
        """Mark what is at hand of encoded parts. Returns what takes reading."""
        left = list[Part]()
        for part in decode_parts(data):
            if isinstance(part, Inline):
                self._ops(part)
            else:
                left.append(part)
        return left

    def part(self, part: Part) -> None:
        """Mark what a part refers to. Raises Corrupt."""
        if isinstance(part, Whole):
            self.tree(part.root)
        elif isinstance(part, Spilled):
            if self._first_time(Place(part.name, 0, part.stored)):
                self._ops(part)
        else:
            self._ops(part)

    def tree(self, root: Root) -> None:
        """Mark what a tree is made of and refers to. Raises Corrupt."""
        pending = [] if root.place is None else [(root.id, root.place)]
        while pending:
            id, place = pending.pop()
            if not self._first_time(place):
                continue
            chunk = self._reader.chunk(id, place)
            self._give_way()
            if isinstance(chunk, Node):
                pending += [(child.id, child.place) for child in chunk.children]
            else:
                self._leaf(chunk)

    def _leaf(self, leaf: Leaf) -> None:
        if leaf.base is not None:
            self._base(leaf.base[1])
        for index, (kind, place) in enumerate(zip(leaf.kinds, leaf.places.all(), strict=True)):
            if place is None:
                continue
            if kind != CHUNKED:
                digest = leaf.digests[32 * index : 32 * index + 32]
                self._blob(Extent(place.pack, place.offset, place.stored, place.codec, leaf.sizes[index], digest))
            elif self._first_time(place):
                self._extents(self._stores.trees.content(leaf.row(index)).extents)

    def _ops(self, part: Part) -> None:
        for op in self._stores.layers.read(part):
            self._extents(op.pieces)
        self._give_way()

    def _extents(self, extents: Iterable[Extent]) -> None:
        for extent in extents:
            self._blob(extent)

    def _blob(self, extent: Extent) -> None:
        placed = self._stores.content.placed(extent)
        self._offset(placed)
        if placed is not extent:
            self._offset(extent)  # the row of the old pack says where the new one is

    def _offset(self, extent: Extent) -> None:
        offsets = self.marks.content.get(extent.pack)
        if offsets is None:
            offsets = self.marks.content[extent.pack] = array("Q")
        offsets.append(extent.offset)
        if len(offsets) > self._limits.get(extent.pack, 4096):
            offsets = self.marks.content[extent.pack] = array("Q", sorted(set(offsets)))
            self._limits[extent.pack] = 2 * len(offsets) + 4096

    def _give_way(self) -> None:
        """Marking is for later, and callers wait for the interpreter now."""
        if time.monotonic() - self._working_since > WORK_SECONDS:
            time.sleep(PAUSE_SECONDS)
            self._working_since = time.monotonic()

    def _base(self, place: Place) -> None:
        """A delta is read from it: what the delta replaces is not referred to by that, as long as no tree has it."""
        key = _key(place)
        if key not in self._known:
            self._first_time(place)
            self._bases.add(key)

    def _first_time(self, place: Place) -> bool:
        key = _key(place)
        if key in self._known:
            if key not in self._bases:
                return False
            self._bases.remove(key)
            return True
        self._known[key] = place.stored
        for pack in {place.pack, self._stores.trees.places.pack(place)}:  # the old pack's row says where the new one is
            self.marks.index[pack] = self.marks.index.get(pack, 0) + place.stored
        return True

    def ranges(self, packs: Collection[bytes]) -> dict[bytes, list[Place]]:
        """The ranges that these index packs hold now, as trees name them, in the order in which they lie there."""
        found = {pack: list[Place]() for pack in packs}
        for key, stored in sorted(self._known.items()):
            place = Place(key[:16], int.from_bytes(key[16:], "big"), stored)
            if (pack := self._stores.trees.places.pack(place)) in found:
                found[pack].append(place)
        return found


def _key(place: Place) -> bytes:
    return place.pack + place.offset.to_bytes(8, "big")


def roots(tx: Session, marker: Marker, *, lately: bool) -> tuple[list[Root], list[Part]]:
    """Everything that counts, in one snapshot; what is at hand is marked meanwhile, the rest is returned.

    lately: also what counted since the collection began. Else layers that are carried out do not count either.
    """
    trees = [stored_root(row) for row in tx.execute(select(_COMMIT).where(_COMMIT.c.root_id.is_not(None)))]
    parts = list[Part]()
    layers = select(LayerRow.parts)
    if not lately:
        still = CommitRow.finished.is_(None) | (CommitRow.error != "")
        layers = layers.join(CommitRow, CommitRow.number == LayerRow.commit).where(still)
    for rows in (layers, select(FileSetRow.parts), *([select(GraveRow.parts)] if lately else [])):
        for data in tx.scalars(rows.execution_options(yield_per=A_PAGE)):
            parts += marker.inline(data)
    return trees, parts


def mark(marker: Marker, trees: Iterable[Root], parts: Iterable[Part]) -> Iterator[int]:
    """Mark all of it; gives the number of those done, now and then. Raises Corrupt."""
    done = 0
    for root in trees:
        marker.tree(root)
        done += 1
        yield done
    for part in parts:
        marker.part(part)
        done += 1
        yield done
