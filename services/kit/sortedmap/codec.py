"""Ranges and nodes as bytes, and their ids.

A stored range: magic, shape (0 full, 1 delta, 2 node), level, count, then length-prefixed parts. A delta range names
its base and holds a small sorted difference; its id is that of the merged rows. Every decoded range is checked
against its id.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from blake3 import blake3

from services.kit.errors import Corrupt
from services.kit.sortedmap import columns
from services.kit.sortedmap.rows import Child, Edit, Place, Removed, Row

MAGIC = b"DMr1"
FULL, DELTA, NODE = 0, 1, 2
TOMBSTONE = 255
NO_PACK = bytes(16)
_HEAD = struct.Struct("<4sBBI")
_PART = struct.Struct("<I")


class CorruptRange(Corrupt):
    """Stored bytes are not the range that was asked for."""

    def __init__(self, id: bytes, place: Place, why: str) -> None:
        super().__init__(
            f"range {id.hex()[:16]} at pack {place.pack.hex()}, offset {place.offset} cannot be read: {why}"
        )


@dataclass(slots=True)
class Leaf:
    """A decoded range, by columns."""

    keys: list[bytes]
    kinds: bytes
    sizes: list[int]
    digests: bytes
    places: list[Place | None]
    base: tuple[bytes, Place] | None = None
    """Id and place of the base that it was stored against, for a delta range."""
    level: int = 0

    @property
    def weight(self) -> int:
        """Roughly the bytes it takes in memory."""
        return 400 + 260 * len(self.keys)

    @property
    def first(self) -> bytes:
        return self.keys[0]

    @property
    def last(self) -> bytes:
        return self.keys[-1]

    def row(self, index: int) -> Row:
        digest = self.digests[32 * index : 32 * index + 32]
        return Row(self.keys[index], self.kinds[index], self.sizes[index], digest, self.places[index])

    def rows(self) -> list[Row]:
        digests = self.digests
        cut = [digests[at : at + 32] for at in range(0, len(digests), 32)]
        return list(map(Row, self.keys, self.kinds, self.sizes, cut, self.places))


@dataclass
class Node:
    """A decoded node: its children in key order."""

    level: int
    children: list[Child]
    keys: list[bytes] = field(init=False)
    """The children's last keys."""

    def __post_init__(self) -> None:
        self.keys = [child.key for child in self.children]

    @cached_property
    def weight(self) -> int:
        return 400 + 420 * len(self.children)

    @property
    def first(self) -> bytes:
        return self.children[0].first

    @property
    def last(self) -> bytes:
        return self.children[-1].key


Chunk = Leaf | Node
FindBase = Callable[[bytes, Place], Chunk]


def leaf_of(rows: list[Row]) -> Leaf:
    """Rows, sorted and unique, as columns."""
    keys, kinds, sizes, digests, places = zip(*rows, strict=True)
    return Leaf(list(keys), bytes(kinds), list(sizes), b"".join(digests), list(places))


def leaf_id(leaf: Leaf) -> bytes:
    block = columns.key_block(leaf.keys)
    head = b"datamill range 1" + struct.pack("<IQ", len(leaf.keys), len(block))
    return blake3(b"".join((head, block, leaf.kinds, columns.plain_numbers(leaf.sizes), leaf.digests))).digest()


def node_id(level: int, children: list[Child]) -> bytes:
    firsts = columns.key_block([child.first for child in children])
    lasts = columns.key_block([child.key for child in children])
    head = b"datamill node 1" + struct.pack("<BIQQ", level, len(children), len(firsts), len(lasts))
    ids = b"".join(child.id for child in children)
    counts = columns.plain_numbers([child.rows for child in children])
    sizes = columns.plain_numbers([child.size_bytes for child in children])
    return blake3(b"".join((head, firsts, lasts, ids, counts, sizes))).digest()


def encode_leaf(leaf: Leaf) -> bytes:
    return _joined(FULL, 0, len(leaf.keys), _row_parts(leaf.keys, leaf.kinds, leaf.sizes, leaf.digests, leaf.places))


def encode_delta(base_id: bytes, base_place: Place, edits: list[Edit]) -> bytes:
    """A range stored as its difference to a full range."""
    keys = [edit.key for edit in edits]
    kinds = bytes(TOMBSTONE if isinstance(edit, Removed) else edit.kind for edit in edits)
    kept = [edit for edit in edits if isinstance(edit, Row)]
    parts = _row_parts(
        keys, kinds, [row.size for row in kept], b"".join(row.digest for row in kept), [row.place for row in kept]
    )
    base = base_id + base_place.pack + struct.pack("<QQB", base_place.offset, base_place.stored, base_place.codec)
    return _joined(DELTA, 0, len(edits), [base, *parts])


def encode_node(level: int, children: list[Child]) -> bytes:
    firsts = columns.key_block([child.first for child in children])
    lasts = columns.key_block([child.key for child in children])
    numbers = [
        columns.pack_numbers([child.rows for child in children]),
        columns.pack_numbers([child.size_bytes for child in children]),
        b"".join(child.base_pack for child in children),
    ]
    parts = [
        columns.squeeze(firsts),
        columns.squeeze(lasts),
        columns.squeeze(b"".join(numbers)),
        columns.squeeze(_places(list[Place | None](child.place for child in children))),
        b"".join(child.id for child in children),
    ]
    return _joined(NODE, level, len(children), parts)


def decode(data: bytes, id: bytes, place: Place, *, base: FindBase) -> Chunk:
    """The range or node `id` stored as `data` at `place`. Raises CorruptRange."""
    try:
        magic, shape, level, count = _HEAD.unpack_from(data)
        if magic != MAGIC:
            raise ValueError("it does not begin like a range")
        parts = _parts(data)
        if shape == NODE:
            node = Node(level, _children(parts, count))
            if node_id(level, node.children) != id:
                raise ValueError("its content does not match its id")
            return node
        leaf = _merged(parts, count, base) if shape == DELTA else _leaf(parts, count)
    except (ValueError, IndexError, struct.error) as error:
        raise CorruptRange(id, place, str(error)) from error
    if leaf_id(leaf) != id:
        raise CorruptRange(id, place, "its content does not match its id")
    return leaf


def _joined(shape: int, level: int, count: int, parts: list[bytes]) -> bytes:
    out = [_HEAD.pack(MAGIC, shape, level, count)]
    for part in parts:
        out += (_PART.pack(len(part)), part)
    return b"".join(out)


def _parts(data: bytes) -> list[bytes]:
    parts, at = [], _HEAD.size
    while at < len(data):
        (length,) = _PART.unpack_from(data, at)
        at += _PART.size
        if at + length > len(data):
            raise ValueError("it is cut short")
        parts.append(data[at : at + length])
        at += length
    return parts


def _row_parts(
    keys: list[bytes], kinds: bytes, sizes: list[int], digests: bytes, places: list[Place | None]
) -> list[bytes]:
    return [
        columns.squeeze(columns.key_block(keys)),
        columns.squeeze(kinds + columns.pack_numbers(sizes)),
        columns.squeeze(_places(places, sizes)),
        digests,
    ]


def _places(places: list[Place | None], sizes: list[int] | None = None) -> bytes:
    """Packs by number; offsets; stored lengths as their difference to the sizes, which mostly is none."""
    names: dict[bytes, int] = {}
    numbers, offsets, stored, codecs = [], [], [], bytearray()
    for index, place in enumerate(places):
        if place is None:
            place = Place(NO_PACK, 0, 0)
        numbers.append(names.setdefault(place.pack, len(names)))
        offsets.append(place.offset)
        stored.append(place.stored - (sizes[index] if sizes else 0) & 0xFFFF_FFFF_FFFF_FFFF)
        codecs.append(place.codec)
    numeric = b"".join(map(columns.pack_numbers, (numbers, offsets, stored)))
    return _PART.pack(len(names)) + b"".join(names) + numeric + bytes(codecs)


def _unplaced(data: bytes, count: int, sizes: list[int] | None = None) -> list[Place | None]:
    (named,) = _PART.unpack_from(data)
    at = _PART.size + 16 * named
    names = [data[_PART.size + 16 * index : _PART.size + 16 * index + 16] for index in range(named)]
    columns_of = [columns.unpack_numbers(data[at + 8 * count * i : at + 8 * count * (i + 1)], count) for i in range(3)]
    packs = [names[number] for number in columns_of[0]]
    stored = columns_of[2]
    if sizes:
        stored = [(more + size) & 0xFFFF_FFFF_FFFF_FFFF for more, size in zip(stored, sizes, strict=True)]
    codecs = data[at + 24 * count : at + 25 * count]
    if len(codecs) != count:
        raise ValueError("it is cut short")
    made = map(Place, packs, columns_of[1], stored, codecs)
    return [None if place.pack == NO_PACK else place for place in made]


def _leaf(parts: list[bytes], count: int) -> Leaf:
    keys = columns.unblock_keys(columns.unsqueeze(parts[0]), count)
    numbers = columns.unsqueeze(parts[1])
    kinds, sizes = numbers[:count], columns.unpack_numbers(numbers[count:], count)
    return Leaf(keys, kinds, sizes, parts[3], _unplaced(columns.unsqueeze(parts[2]), count, sizes))


def _merged(parts: list[bytes], count: int, find: FindBase) -> Leaf:
    base_id, place = parts[0][:32], Place(parts[0][32:48], *struct.unpack("<QQB", parts[0][48:65]))
    base = find(base_id, place)
    if not isinstance(base, Leaf):
        raise ValueError("its base is no range")
    leaf = leaf_of(merge(base.rows(), _edits(parts[1:], count)))
    leaf.base = (base_id, place)
    return leaf


def _edits(parts: list[bytes], count: int) -> list[Edit]:
    keys = columns.unblock_keys(columns.unsqueeze(parts[0]), count)
    numbers = columns.unsqueeze(parts[1])
    kinds = numbers[:count]
    kept = count - kinds.count(TOMBSTONE)
    sizes = columns.unpack_numbers(numbers[count:], kept)
    places = iter(_unplaced(columns.unsqueeze(parts[2]), kept, sizes))
    lengths, edits, at = iter(sizes), list[Edit](), 0
    for key, kind in zip(keys, kinds, strict=True):
        if kind == TOMBSTONE:
            edits.append(Removed(key))
        else:
            edits.append(Row(key, kind, next(lengths), parts[3][at : at + 32], next(places)))
            at += 32
    return edits


def _children(parts: list[bytes], count: int) -> list[Child]:
    firsts = columns.unblock_keys(columns.unsqueeze(parts[0]), count)
    lasts = columns.unblock_keys(columns.unsqueeze(parts[1]), count)
    numbers = columns.unsqueeze(parts[2])
    rows = columns.unpack_numbers(numbers[: 8 * count], count)
    sizes = columns.unpack_numbers(numbers[8 * count : 16 * count], count)
    bases = numbers[16 * count :]
    children = []
    for index, place in enumerate(_unplaced(columns.unsqueeze(parts[3]), count)):
        if place is None:
            raise ValueError("a child has no place")
        id = parts[4][32 * index : 32 * index + 32]
        base = bases[16 * index : 16 * index + 16]
        children.append(Child(lasts[index], firsts[index], id, place, rows[index], sizes[index], base))
    return children


def merge(rows: list[Row], edits: list[Edit]) -> list[Row]:
    """Sorted rows with sorted edits carried out."""
    if not edits:
        return rows
    changed = {edit.key: edit for edit in edits}
    kept = [row for row in rows if row.key not in changed]
    added = [edit for edit in edits if isinstance(edit, Row)]
    return sorted(kept + added, key=_key) if added else kept


def _key(row: Row) -> bytes:
    return row.key
