"""Where the rows of a range lie, without decoding it before somebody asks.

Elsewhere: how places are stored (codec.py makes the packed ones).
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Protocol

from services.kit.sortedmap.rows import Place, Row


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
class EditPlaces:
    """Where the rows of edits lie."""

    edits: Sequence[object]

    def __getitem__(self, index: int, /) -> Place | None:
        edit = self.edits[index]
        return edit.place if isinstance(edit, Row) else None

    def all(self) -> list[Place | None]:
        return [self[index] for index in range(len(self.edits))]


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
    return PlaceRuns(runs_of(places, start, stop))


def joined(one: Places, many: int, other: Places, more: int) -> Places:
    """`many` of one and then `more` of the other."""
    if isinstance(one, PlaceList) and isinstance(other, PlaceList):
        return PlaceList([*one.places, *other.places])
    return PlaceRuns(runs_of(one, 0, many) + runs_of(other, 0, more))
