"""Ranges and nodes as bytes, and their ids.

A stored range: magic, shape (0 full, 1 delta, 2 node), level, count, then length-prefixed parts. A delta range names
its base and holds a small sorted difference; its id is that of the merged rows. Every decoded range is checked
against its id.
Elsewhere: what a decoded range can do (chunks.py); columns of numbers and blocks of keys (columns.py).
"""

import struct
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat

from blake3 import blake3

from services.kit.errors import Corrupt
from services.kit.sortedmap.encoding import chunks, columns
from services.kit.sortedmap.encoding import places as placing
from services.kit.sortedmap.encoding.chunks import TOMBSTONE, Leaf, Node
from services.kit.sortedmap.encoding.columns import Numbers, numbers
from services.kit.sortedmap.rows import Child, Edit, Place, Removed, Row

MAGIC = b"DMr1"
FULL, DELTA, NODE = 0, 1, 2
NO_PACK = placing.NO_PACK
_HEAD = struct.Struct("<4sBBI")
_PART = struct.Struct("<I")
_BASE = struct.Struct("<32s16sQQB")
_WRAP = 1 << 64
_new_place: Callable[[tuple[bytes, int, int, int]], Place] = partial(tuple.__new__, Place)
_new_child: Callable[[tuple[bytes, bytes, bytes, Place, int, int, bytes]], Child] = partial(tuple.__new__, Child)

Chunk = chunks.Chunk
_Origin = tuple[bytes, Place]
FindBase = Callable[[bytes, Place], Chunk]


class CorruptRange(Corrupt):
    """Stored bytes are not the range that was asked for."""

    def __init__(self, id: bytes, place: Place, why: str) -> None:
        self.place = place
        super().__init__(
            f"range {id.hex()[:16]} at pack {place.pack.hex()}, offset {place.offset} cannot be read: {why}"
        )


def leaf_id(leaf: Leaf) -> bytes:
    return _range_id(len(leaf.keys), leaf.block(), leaf.kinds, leaf.sizes, leaf.digests)


def _range_id(count: int, block: bytes, kinds: bytes, sizes: Numbers, digests: bytes) -> bytes:
    head = b"datamill range 1" + struct.pack("<IQ", count, len(block))
    return blake3(b"".join((head, block, kinds, columns.plain_numbers(sizes), digests))).digest()


def node_id(level: int, children: list[Child]) -> bytes:
    lasts, firsts, ids, _, counts, sizes, _ = zip(*children, strict=True)
    blocks = columns.key_block(list(firsts)), columns.key_block(list(lasts))
    return _node_id(level, len(children), *blocks, b"".join(ids), array("Q", counts), array("Q", sizes))


def _node_id(level: int, count: int, firsts: bytes, lasts: bytes, ids: bytes, counts: Numbers, sizes: Numbers) -> bytes:
    head = b"datamill node 1" + struct.pack("<BIQQ", level, count, len(firsts), len(lasts))
    plain = columns.plain_numbers(counts), columns.plain_numbers(sizes)
    return blake3(b"".join((head, firsts, lasts, ids, *plain))).digest()


def encode_leaf(leaf: Leaf) -> bytes:
    parts = _row_parts(leaf.keys, leaf.kinds, leaf.sizes, leaf.digests, leaf.places.all())
    return _joined(FULL, 0, len(leaf.keys), parts)


def named_leaf(leaf: Leaf) -> tuple[bytes, bytes]:
    """The id of a range, and the bytes of it as a full one; for ranges that come in great numbers."""
    block, count = columns.key_block(leaf.keys), len(leaf.keys)
    parts = [
        columns.squeeze(block),
        columns.squeeze(leaf.kinds + columns.pack_numbers(leaf.sizes)),
        columns.squeeze(_places_of(leaf)),
        leaf.digests,
    ]
    return _range_id(count, block, leaf.kinds, leaf.sizes, leaf.digests), _joined(FULL, 0, count, parts)


def encode_delta(base_id: bytes, base: Place, edits: Sequence[Edit]) -> bytes:
    """A range stored as its difference to a full range."""
    keys = [edit.key for edit in edits]
    kinds = bytes(TOMBSTONE if isinstance(edit, Removed) else edit.kind for edit in edits)
    kept = [edit for edit in edits if isinstance(edit, Row)]
    sizes, digests = numbers(row.size for row in kept), b"".join(row.digest for row in kept)
    parts = _row_parts(keys, kinds, sizes, digests, [row.place for row in kept])
    return _joined(DELTA, 0, len(edits), [_BASE.pack(base_id, *base), *parts])


def encode_node(level: int, children: list[Child]) -> bytes:
    lasts, firsts, ids, places, counts, sizes, bases = zip(*children, strict=True)
    sums = columns.pack_numbers(array("Q", counts)) + columns.pack_numbers(array("Q", sizes))
    parts = [
        columns.squeeze(columns.key_block(list(firsts))),
        columns.squeeze(columns.key_block(list(lasts))),
        columns.squeeze(sums + b"".join(bases)),
        columns.squeeze(_packed_places(places, numbers([0] * len(places)))),
        b"".join(ids),
    ]
    return _joined(NODE, level, len(children), parts)


def decode(data: bytes, id: bytes, place: Place, *, base: FindBase) -> Chunk:
    """The range or node `id` stored as `data` at `place`. Raises CorruptRange."""
    try:
        magic, shape, level, count = _HEAD.unpack_from(data)
        if magic != MAGIC or count == 0:
            raise ValueError("it does not begin like a range")
        parts = _parts(data)
        if shape == NODE:
            return _node((id, place), level, count, parts)
        return _merged((id, place), count, parts, base) if shape == DELTA else _leaf((id, place), count, parts)
    except (ValueError, IndexError, struct.error) as error:
        raise CorruptRange(id, place, str(error)) from error


def base_of(data: bytes) -> tuple[bytes, Place] | None:
    """Id and place of the base that a stored delta range builds on; None for all else, and for what is no range."""
    if len(data) < _HEAD.size + _PART.size + _BASE.size or data[len(MAGIC)] != DELTA:
        return None
    id, *at = _BASE.unpack_from(data, _HEAD.size + _PART.size)
    return id, Place(*at)


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


def _check(condition: bool) -> None:
    if not condition:
        raise ValueError("its content does not match its id")


def _row_parts(
    keys: list[bytes], kinds: bytes, sizes: Numbers, digests: bytes, places: list[Place | None]
) -> list[bytes]:
    return [
        columns.squeeze(columns.key_block(keys)),
        columns.squeeze(kinds + columns.pack_numbers(sizes)),
        columns.squeeze(_packed_places(places, sizes)),
        digests,
    ]


_NOWHERE = Place(NO_PACK, 0, 0)


def _packed_places(places: Sequence[Place | None], sizes: Numbers) -> bytes:
    """Packs by number; offsets; stored lengths as their difference to the sizes, which mostly is none."""
    if not places:
        return _PART.pack(0)
    try:
        packs, offsets, stored, codecs = zip(*places, strict=True)
    except TypeError:  # some row has no place
        packs, offsets, stored, codecs = zip(*[place or _NOWHERE for place in places], strict=True)
    names = {name: number for number, name in enumerate(dict.fromkeys(packs))}
    which = array("Q", map(names.__getitem__, packs))
    return _packed_columns(list(names), (which, array("Q", offsets), array("Q", stored)), bytes(codecs), sizes)


def _packed_columns(names: list[bytes], rows: tuple[Numbers, Numbers, Numbers], codecs: bytes, sizes: Numbers) -> bytes:
    """rows: of each the number of its pack among the names, its offset, its stored length."""
    which, offsets, stored = rows
    more = array("Q", bytes(8 * len(sizes)))
    if stored != sizes:
        more = array("Q", [(length - size) % _WRAP for length, size in zip(stored, sizes, strict=True)])
    packed = map(columns.pack_numbers, (which, offsets, more))
    return b"".join((_PART.pack(len(names)), *names, *packed, codecs))


def _places_of(leaf: Leaf) -> bytes:
    """The places of a range, packed; none is made for it if the range has them by columns."""
    at = leaf.places
    if not isinstance(at, placing.PlaceColumns):
        return _packed_places(at.all(), leaf.sizes)
    names, which = at.used()
    return _packed_columns(names, (which, at.offsets, at.stored), at.codecs, leaf.sizes)


@dataclass(slots=True)
class PackedPlaces:
    """Places as a range holds them, unsqueezed when first asked for. Raises CorruptRange then."""

    squeezed: bytes
    sizes: Numbers
    """What stored lengths are differences to."""
    origin: _Origin
    """Id and place of the range, for errors."""
    _raw: bytes = b""
    _named: int = 0

    def _open(self) -> tuple[bytes, int, int]:
        """Unsqueezed bytes, where their columns begin, and how many values each has."""
        if not self._raw:
            try:
                raw = columns.unsqueeze(self.squeezed)
                (self._named,) = _PART.unpack_from(raw)
            except (ValueError, struct.error) as error:
                raise CorruptRange(*self.origin, str(error)) from error
            if len(raw) != _PART.size + 16 * self._named + 25 * len(self.sizes):
                raise CorruptRange(*self.origin, "the places of its rows are cut short")
            self._raw = raw
        return self._raw, _PART.size + 16 * self._named, len(self.sizes)

    def _name(self, raw: bytes, number: int) -> bytes:
        if number >= self._named:
            raise CorruptRange(*self.origin, "a row lies in a pack that it does not list")
        return raw[_PART.size + 16 * number : _PART.size + 16 * number + 16]

    def __getitem__(self, index: int, /) -> Place | None:
        raw, at, count = self._open()
        pack = self._name(raw, columns.packed_number(raw, at, count, index))
        if pack == NO_PACK:
            return None
        offset = columns.packed_number(raw, at + 8 * count, count, index)
        more = columns.packed_number(raw, at + 16 * count, count, index)
        return _new_place((pack, offset, (more + self.sizes[index]) % _WRAP, raw[at + 24 * count + index]))

    def all(self) -> list[Place | None]:
        if not self.sizes:
            return []
        raw, at, count = self._open()
        which, offsets, more = (raw[begin : begin + 8 * count] for begin in range(at, at + 24 * count, 8 * count))
        names = [self._name(raw, 0)]
        packs: Iterable[bytes] = repeat(names[0], count)
        if which.count(0) < len(which):
            numbered = columns.unpack_numbers(which, count)
            self._name(raw, max(numbered))
            names = [self._name(raw, number) for number in range(self._named)]
            packs = map(names.__getitem__, numbered)
        stored: Iterable[int] = self.sizes
        if more.count(0) < len(more):
            added = columns.unpack_numbers(more, count)
            stored = [(extra + size) % _WRAP for extra, size in zip(added, self.sizes, strict=True)]
        columned = zip(packs, columns.unpack_numbers(offsets, count), stored, raw[at + 24 * count :], strict=True)
        if NO_PACK in names:
            return [None if place[0] == NO_PACK else place for place in map(_new_place, columned)]
        return list(map(_new_place, columned))


def _leaf(origin: _Origin, count: int, parts: list[bytes]) -> Leaf:
    block, digests = columns.unsqueeze(parts[0]), parts[3]
    keys, ranged = columns.unblock_keys(block, count), columns.unsqueeze(parts[1])
    kinds, sizes = ranged[:count], columns.unpack_numbers(ranged[count:], count)
    _check(_range_id(count, block, kinds, sizes, digests) == origin[0] and len(digests) == 32 * count)
    return Leaf(keys, kinds, sizes, digests, PackedPlaces(parts[2], sizes, origin), packed_keys=block)


def _merged(origin: _Origin, count: int, parts: list[bytes], find: FindBase) -> Leaf:
    base_id, *at = _BASE.unpack(parts[0])
    place = Place(*at)
    base = find(base_id, place)
    if not isinstance(base, Leaf):
        raise ValueError("its base is no range")
    edits = _edits(parts[1:], count, origin)
    leaf, _ = base.edited(edits)
    _check(leaf_id(leaf) == origin[0])
    leaf.base, leaf.delta = (base_id, place), edits
    return leaf


def _edits(parts: list[bytes], count: int, origin: _Origin) -> list[Edit]:
    keys = columns.unblock_keys(columns.unsqueeze(parts[0]), count)
    ranged = columns.unsqueeze(parts[1])
    kinds = ranged[:count]
    kept = count - kinds.count(TOMBSTONE)
    sizes = columns.unpack_numbers(ranged[count:], kept)
    places = PackedPlaces(parts[2], sizes, origin).all()
    edits, at = list[Edit](), 0
    for key, kind in zip(keys, kinds, strict=True):
        if kind == TOMBSTONE:
            edits.append(Removed(key))
        else:
            edits.append(Row(key, kind, sizes[at], parts[3][32 * at : 32 * at + 32], places[at]))
            at += 1
    return edits


def _node(origin: _Origin, level: int, count: int, parts: list[bytes]) -> Node:
    first_block, last_block, ids = columns.unsqueeze(parts[0]), columns.unsqueeze(parts[1]), parts[4]
    firsts, lasts = columns.unblock_keys(first_block, count), columns.unblock_keys(last_block, count)
    sums = columns.unsqueeze(parts[2])
    rows = columns.unpack_numbers(sums[: 8 * count], count)
    sizes = columns.unpack_numbers(sums[8 * count : 16 * count], count)
    _check(_node_id(level, count, first_block, last_block, ids, rows, sizes) == origin[0])
    places = PackedPlaces(parts[3], numbers([0] * count), origin).all()
    if len(sums) != 32 * count or len(ids) != 32 * count or None in places:
        raise ValueError("a child has no place")
    cut = [ids[at : at + 32] for at in range(0, len(ids), 32)]
    bases = [sums[at : at + 16] for at in range(16 * count, len(sums), 16)]
    placed = [place for place in places if place is not None]
    return Node(level, list(map(_new_child, zip(lasts, firsts, cut, placed, rows, sizes, bases, strict=True))))
