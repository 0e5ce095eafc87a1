"""Where the rows of a range lie, without decoding it before somebody asks.

Elsewhere: how places are stored (codec.py makes the packed ones).
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Protocol

from services.kit.sortedmap.encoding.columns import Numbers
from services.kit.sortedmap.rows import Place, Row

NO_PACK = bytes(16)
"""The name of no pack."""


class Places(Protocol):
    """One for each row of a range."""

    def __getitem__(self, index: int, /) -> Place | None: ...

    def all(self) -> list[Place | None]: ...


Run = tuple[Places, int, int]
"""Some places, the first index wanted of them, and how many."""


@dataclass(frozen=True, slots=True)
class PlaceList:
    """Places at hand."""

    places: Sequence[Place | None]

    def __getitem__(self, index: int, /) -> Place | None:
        return self.places[index]

    def all(self) -> list[Place | None]:
        return list(self.places)


@dataclass(frozen=True, slots=True)
class PlaceColumns:
    """Places by columns, of rows that come in great numbers: none is made before somebody asks for it."""

    packs: Sequence[bytes]
    """Names of packs; NO_PACK: such a row has no place."""
    which: Numbers
    """The number of each row's pack among them."""
    offsets: Numbers
    stored: Numbers
    codecs: bytes

    def __getitem__(self, index: int, /) -> Place | None:
        pack = self.packs[self.which[index]]
        return None if pack == NO_PACK else Place(pack, self.offsets[index], self.stored[index], self.codecs[index])

    def all(self) -> list[Place | None]:
        return [self[index] for index in range(len(self.which))]

    def part(self, start: int, stop: int) -> "PlaceColumns":
        inside = slice(start, stop)
        columns = self.which[inside], self.offsets[inside], self.stored[inside], self.codecs[inside]
        return PlaceColumns(self.packs, *columns)

    def plus(self, other: "PlaceColumns") -> "PlaceColumns":
        packs, which = other.packs, self.which
        if self.packs != packs:
            numbers = {pack: number for number, pack in enumerate(packs)}
            used = {number: numbers.setdefault(self.packs[number], len(numbers)) for number in dict.fromkeys(which)}
            packs, which = list(numbers), Numbers(other.which.typecode, map(used.__getitem__, which))
        return PlaceColumns(
            packs,
            which + other.which,
            self.offsets + other.offsets,
            self.stored + other.stored,
            self.codecs + other.codecs,
        )

    def used(self) -> tuple[list[bytes], Numbers]:
        """The packs that these rows lie in, and the number of each row's pack among them."""
        raw, count = self.which.tobytes(), len(self.which)
        if raw == raw[: self.which.itemsize] * count:
            return [self.packs[self.which[0]]], Numbers("Q", bytes(8 * count))
        numbers = {number: at for at, number in enumerate(dict.fromkeys(self.which))}
        return [self.packs[number] for number in numbers], Numbers("Q", map(numbers.__getitem__, self.which))


@dataclass(frozen=True, slots=True)
class EditPlaces:
    """Where the rows of edits lie."""

    edits: Sequence[object]

    def __getitem__(self, index: int, /) -> Place | None:
        edit = self.edits[index]
        return edit.place if isinstance(edit, Row) else None

    def all(self) -> list[Place | None]:
        return [self[index] for index in range(len(self.edits))]


Step = tuple[int, bool, Row | None]
"""An index among old rows, whether the row there is the one meant, and what it becomes: None when it goes away."""
MOST_PATCHES = 4


@dataclass(frozen=True, slots=True)
class PatchedPlaces:
    """Other places, of which some were changed."""

    old: Places
    steps: list[Step]
    put: dict[int, Place | None]
    """Of the new rows, by index, ascending."""
    begins: list[int]
    shifts: list[int]
    """From each of these indexes on, so many more rows than before."""
    depth: int

    def __getitem__(self, index: int, /) -> Place | None:
        if index in self.put:
            return self.put[index]
        return self.old[index - self.shifts[bisect_right(self.begins, index) - 1]]

    def all(self) -> list[Place | None]:
        found = list(self.old.all())
        for at, here, row in reversed(self.steps):
            found[at : at + here] = [] if row is None else [row.place]
        return found


def patched(old: Places, steps: list[Step]) -> PatchedPlaces:
    """The places of rows of which some were changed."""
    put, begins, shifts, shift = dict[int, Place | None](), [0], [0], 0
    for at, here, row in steps:
        if row is not None:
            put[at + shift] = row.place
        if here != (row is not None):
            shift += 1 if row is not None else -1
            begins.append(at + here + shift)
            shifts.append(shift)
    depth = 1
    if isinstance(old, PatchedPlaces):
        depth, old = (old.depth + 1, old) if old.depth < MOST_PATCHES else (1, PlaceList(old.all()))
    return PatchedPlaces(old, steps, put, begins, shifts, depth)


@dataclass(frozen=True, slots=True)
class PlaceRuns:
    """Runs of other places, none of which are runs again."""

    runs: list[Run]
    starts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "starts", list(accumulate((count for _, _, count in self.runs), initial=0)))

    def __getitem__(self, index: int, /) -> Place | None:
        run = bisect_right(self.starts, index) - 1
        places, at, _ = self.runs[run]
        return places[at + index - self.starts[run]]

    def all(self) -> list[Place | None]:
        known: dict[int, list[Place | None]] = {}
        found = list[Place | None]()
        for places, at, count in self.runs:
            if count == 1:
                found.append(places[at])
                continue
            if id(places) not in known:
                known[id(places)] = places.all()
            found += known[id(places)][at : at + count]
        return found


def runs_of(places: Places, start: int, stop: int) -> list[Run]:
    """Those from `start` to `stop`, as runs."""
    if not isinstance(places, PlaceRuns):
        return [(places, start, stop - start)]
    found = list[Run]()
    for number in range(bisect_right(places.starts, start) - 1, len(places.runs)):
        begin, (inner, at, count) = places.starts[number], places.runs[number]
        if begin >= stop:
            break
        skip = max(0, start - begin)
        found.append((inner, at + skip, min(count, stop - begin) - skip))
    return found


def part_of(places: Places, start: int, stop: int) -> Places:
    """Those from `start` to `stop`."""
    if isinstance(places, PlaceList):
        return PlaceList(places.places[start:stop])
    if isinstance(places, PlaceColumns):
        return places.part(start, stop)
    return PlaceRuns(runs_of(places, start, stop))


def joined(one: Places, many: int, other: Places, more: int) -> Places:
    """`many` of one and then `more` of the other."""
    if isinstance(one, PlaceList) and isinstance(other, PlaceList):
        return PlaceList([*one.places, *other.places])
    if isinstance(one, PlaceColumns) and isinstance(other, PlaceColumns):
        return one.plus(other)
    return PlaceRuns(runs_of(one, 0, many) + runs_of(other, 0, more))
