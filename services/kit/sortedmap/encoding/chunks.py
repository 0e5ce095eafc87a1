"""Ranges and nodes in memory, by columns: taken apart, put together, and edited without making a row object for each.

Where the rows' bytes lie is decoded only when somebody asks: ids, keys, sizes and edits do not need it.
Elsewhere: ranges as bytes, and their ids (codec.py); where they are cut (../chunking.py).
"""

import struct
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from typing import TypeVar

from services.kit.sortedmap.encoding.columns import Numbers, key_block, numbers
from services.kit.sortedmap.encoding.places import (
    EditPlaces,
    PlaceList,
    PlaceRuns,
    Places,
    Run,
    Step,
    joined,
    part_of,
    patched,
    runs_of,
)
from services.kit.sortedmap.rows import Child, Edit, Place, Removed, Row

TOMBSTONE = 255
FEW_EDITS = 16  # of so many rows one: then the others stay where they are
_DIGEST = 32
_digests = struct.Struct("32s")
_new_row: Callable[[tuple[bytes, int, int, bytes, Place | None]], Row] = partial(tuple.__new__, Row)

Change = Row | Child | Removed
"""An edit of a range (Row, Removed) or of a node (Child, Removed)."""
by_key = attrgetter("key")


@dataclass(slots=True)
class Leaf:
    """A range, by columns. Never changed once made."""

    keys: list[bytes]
    kinds: bytes
    sizes: Numbers
    digests: bytes
    places: Places
    base: tuple[bytes, Place] | None = None
    """Id and place of the base that it is stored against, for a delta range."""
    delta: Sequence[Edit] = ()
    """What makes it of its base."""
    level: int = 0
    packed_keys: bytes | None = None
    """Its keys in one block, once they were asked for."""
    known_size: int | None = None
    """Sum of the sizes, once it was asked for."""

    @property
    def weight(self) -> int:
        """Roughly the bytes it takes in memory."""
        return 800 + 120 * len(self.keys) + 2 * len(self.block()) + 300 * len(self.delta)

    def block(self) -> bytes:
        """Its keys in one block."""
        if self.packed_keys is None:
            self.packed_keys = key_block(self.keys)
        return self.packed_keys

    def size_bytes(self) -> int:
        """Sum of the sizes."""
        if self.known_size is None:
            self.known_size = sum(self.sizes)
        return self.known_size

    @property
    def first(self) -> bytes:
        return self.keys[0]

    @property
    def last(self) -> bytes:
        return self.keys[-1]

    def row(self, index: int) -> Row:
        digest = self.digests[_DIGEST * index : _DIGEST * index + _DIGEST]
        return _new_row((self.keys[index], self.kinds[index], self.sizes[index], digest, self.places[index]))

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row]:
        """The rows, made as they are asked for."""
        stop = len(self.keys) if stop is None else stop
        if stop - start < 4:
            return map(self.row, range(start, stop))
        cut = [digest for (digest,) in _digests.iter_unpack(self.digests[_DIGEST * start : _DIGEST * stop])]
        inside = slice(start, stop)
        places = self.places.all()[inside]
        return map(_new_row, zip(self.keys[inside], self.kinds[inside], self.sizes[inside], cut, places, strict=True))

    def part(self, start: int, stop: int) -> "Leaf":
        """Its rows from `start` to `stop`."""
        if start == 0 and stop == len(self.keys):
            return self
        return Leaf(
            self.keys[start:stop],
            self.kinds[start:stop],
            self.sizes[start:stop],
            self.digests[_DIGEST * start : _DIGEST * stop],
            part_of(self.places, start, stop),
        )

    def plus(self, other: "Leaf") -> "Leaf":
        """Its rows and then those of `other`."""
        return Leaf(
            self.keys + other.keys,
            self.kinds + other.kinds,
            self.sizes + other.sizes,
            self.digests + other.digests,
            joined(self.places, len(self.keys), other.places, len(other.keys)),
        )

    def effective(self, edits: Sequence[Change]) -> list[Change]:
        """The edits, without those that change nothing; a row that is here already keeps its place."""
        kept, at, keys = list[Change](), 0, self.keys
        for edit in edits:
            at = bisect_left(keys, edit.key, at)
            here = at < len(keys) and keys[at] == edit.key
            if not (self._has(at, edit) if here else isinstance(edit, Removed)):
                kept.append(edit)
        return kept

    def _has(self, at: int, edit: Change) -> bool:
        digest = self.digests[_DIGEST * at : _DIGEST * at + _DIGEST]
        return isinstance(edit, Row) and edit[1:4] == (self.kinds[at], self.sizes[at], digest)

    def edited(self, edits: Sequence[Change]) -> tuple["Leaf", list[int]]:
        """Sorted edits carried out. Also returns where the new rows are."""
        if not edits:
            return self, []
        if len(edits) * FEW_EDITS > len(self.keys):
            return self._rewritten(edits)
        steps, keys, at = list[Step](), self.keys, 0
        for edit in edits:
            at = bisect_left(keys, edit.key, at)
            here = at < len(keys) and keys[at] == edit.key
            if isinstance(edit, Row):
                steps.append((at, here, edit))
            elif here:
                steps.append((at, here, None))
        return self._patched(steps)

    def _patched(self, steps: list[Step]) -> tuple["Leaf", list[int]]:
        """Some rows changed, in copies of the columns; keys are shared unless one comes or goes."""
        kinds, sizes, digests, grown = bytearray(self.kinds), self.sizes[:], bytearray(self.digests), 0
        for at, here, row in reversed(steps):  # backwards, so that places found before stay where they are
            if here:
                grown -= sizes[at]
            if row is None:
                del kinds[at], sizes[at], digests[_DIGEST * at : _DIGEST * at + _DIGEST]
                continue
            grown += row.size
            if here:
                kinds[at], sizes[at] = row.kind, row.size
            else:
                kinds.insert(at, row.kind)
                sizes.insert(at, row.size)
            digests[_DIGEST * at : _DIGEST * (at + here)] = row.digest
        places = patched(self.places, steps)
        keys, block = self._patched_keys(steps)
        size = None if self.known_size is None else self.known_size + grown
        leaf = Leaf(keys, bytes(kinds), sizes, bytes(digests), places, packed_keys=block, known_size=size)
        return leaf, list(places.put)

    def _patched_keys(self, steps: list[Step]) -> tuple[list[bytes], bytes | None]:
        if all(here and row is not None for _, here, row in steps):
            return self.keys, self.packed_keys
        keys = self.keys[:]
        for at, here, row in reversed(steps):
            if row is None:
                del keys[at]
            elif not here:
                keys.insert(at, row.key)
        return keys, None

    def _rewritten(self, edits: Sequence[Change]) -> tuple["Leaf", list[int]]:
        """Many edits carried out, by runs of rows between them."""
        keys, kinds, sizes, digests = list[bytes](), bytearray(), numbers(), bytearray()
        runs, put, at, old, edit_places = list[Run](), list[int](), 0, self.keys, EditPlaces(edits)
        for number, edit in enumerate([*edits, None]):
            to = len(old) if edit is None else bisect_left(old, edit.key, at)
            if to > at:
                runs += runs_of(self.places, at, to)
                keys += old[at:to]
                kinds += self.kinds[at:to]
                sizes += self.sizes[at:to]
                digests += self.digests[_DIGEST * at : _DIGEST * to]
                at = to
            if edit is None:
                break
            at += at < len(old) and old[at] == edit.key
            if isinstance(edit, Row):
                runs.append((edit_places, number, 1))
                put.append(len(keys))
                keys.append(edit.key)
                kinds.append(edit.kind)
                sizes.append(edit.size)
                digests += edit.digest
        return Leaf(keys, bytes(kinds), sizes, bytes(digests), PlaceRuns(runs)), put


@dataclass(slots=True)
class Node:
    """A node: its children in key order. Never changed once made."""

    level: int
    children: list[Child]
    keys: list[bytes] = field(init=False)
    """The children's last keys."""

    def __post_init__(self) -> None:
        self.keys = [child[0] for child in self.children]

    @property
    def weight(self) -> int:
        return 800 + 500 * len(self.children) + 2 * sum(map(len, self.keys))

    @property
    def first(self) -> bytes:
        return self.children[0].first

    @property
    def last(self) -> bytes:
        return self.keys[-1]

    def part(self, start: int, stop: int) -> "Node":
        return Node(self.level, self.children[start:stop])

    def plus(self, other: "Node") -> "Node":
        return Node(self.level, self.children + other.children)

    def effective(self, edits: Sequence[Change]) -> list[Change]:
        return list(edits)

    def edited(self, edits: Sequence[Change]) -> tuple["Node", list[int]]:
        items: dict[bytes, Child] = {child.key: child for child in self.children}
        put = list[bytes]()
        for edit in edits:
            if isinstance(edit, Child):
                items[edit.key] = edit
                put.append(edit.key)
            else:
                items.pop(edit.key, None)
        node = Node(self.level, sorted(items.values(), key=by_key))
        return node, [bisect_left(node.keys, key) for key in put]


Chunk = Leaf | Node
C = TypeVar("C", Leaf, Node)


class BadRow(ValueError):
    """A row that the map cannot hold."""


def leaf_of(rows: Sequence[Row]) -> Leaf:
    """Rows, sorted and unique, as columns. Raises BadRow."""
    keys, kinds, sizes, digests, places = zip(*rows, strict=True)
    try:
        leaf = Leaf(list(keys), bytes(kinds), array("Q", sizes), b"".join(digests), PlaceList(places))
    except (ValueError, OverflowError, TypeError) as error:
        raise BadRow(f"a row among {keys[0]!r}…{keys[-1]!r} is no row: {error}") from error
    if TOMBSTONE in leaf.kinds or set(map(len, digests)) != {_DIGEST}:
        raise BadRow(f"a row among {keys[0]!r}…{keys[-1]!r} has kind {TOMBSTONE} or no digest of {_DIGEST} bytes")
    return leaf
