"""What the map holds and how its parts are named.

Holds for ever: the boundary rule, and that an id covers logical rows only (key, kind, size, digest), never where bytes
lie or how they are compressed; so storing a range anew never changes what it is called.
Elsewhere: bytes of ranges (encoding/codec.py), the algorithms (tree.py, change.py, compare.py).
"""

from dataclasses import dataclass
from typing import NamedTuple

import xxhash
from blake3 import blake3

ROWS_A_RANGE = 256  # on average; a power of two
CHILDREN_A_NODE = 64  # on average; a power of two
LONGEST_RANGE = 32 * ROWS_A_RANGE  # beyond it a range is cut again, so that chosen names cannot make one huge
LONGEST_NODE = 32 * CHILDREN_A_NODE  # the same for nodes
NO_DIGEST = bytes(32)


class Place(NamedTuple):
    """Where bytes are stored."""

    pack: bytes
    """16 bytes, the pack's name."""
    offset: int
    stored: int
    """Bytes taken in the pack."""
    codec: int = 0
    """0: as it is; 1: one zstd frame."""


class Row(NamedTuple):
    """One entry. `place` is not part of its identity."""

    key: bytes
    kind: int
    """Below 255; what it means is the caller's."""
    size: int
    digest: bytes
    """32 bytes."""
    place: Place | None = None

    def logical(self) -> tuple[int, int, bytes]:
        """What makes two rows of one key equal."""
        return self.kind, self.size, self.digest


class Removed(NamedTuple):
    """An edit: the key goes away. No error when it is not there."""

    key: bytes


Edit = Row | Removed


@dataclass(frozen=True, slots=True)
class Root:
    """A whole map."""

    id: bytes
    """BLAKE3-256; equal contents give equal ids, whatever the history."""
    place: Place | None
    """None for the empty map only."""
    rows: int
    size_bytes: int
    """Sum of the rows' sizes."""


EMPTY = Root(id=blake3(b"datamill sorted map: empty").digest(), place=None, rows=0, size_bytes=0)


class Child(NamedTuple):
    """A node's view of one range or node below it; also an item to be chunked into nodes."""

    key: bytes
    """Its last key."""
    first: bytes
    id: bytes
    place: Place
    rows: int
    size_bytes: int
    base_pack: bytes
    """Pack of the base that a delta range builds on, else 16 zero bytes."""


def key_hash(key: bytes) -> int:
    """XXH3-64 of a key; decides boundaries, names nothing."""
    return xxhash.xxh3_64_intdigest(key)


def mask_of(level: int) -> int:
    """A chunk at `level` (0: range) ends after the item whose last key has none of these bits in its hash."""
    apart: int = ROWS_A_RANGE * CHILDREN_A_NODE**level
    return (apart - 1) & 0xFFFF_FFFF_FFFF_FFFF


def ends_chunk(key: bytes, level: int) -> bool:
    """Whether `key` is a boundary at `level`; depends on the key alone."""
    return not key_hash(key) & mask_of(level)
