"""Datums of an input tree that is no job's, over the heads of its branches: one after another, or by id.

Elsewhere: which datums a tree gives (domain/planning/inputs.py); datums of jobs (planning/planner.py, reading.py).
"""

import asyncio
from array import array
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from tempfile import TemporaryFile
from typing import IO, TypeVar

from services.jobs.domain.datums import Datum, Leaf, datum_id
from services.jobs.domain.planning.inputs import Input, leaves
from services.jobs.domain.records import planned_line, read_planned
from services.jobs.operations.planning.planner import Planner
from services.jobs.peers.pfs import CommitRef, Pfs

ID_BYTES = 32
PAGE = 200
NO_HASH = bytes(ID_BYTES)
Thing = TypeVar("Thing")


async def heads(pfs: Pfs, tree: Input) -> dict[Leaf, CommitRef]:
    """The newest commit behind each leaf; one that is closed is waited for. Raises AioRpcError as PFS does."""
    found = {}
    for leaf in dict.fromkeys(leaves(tree)):
        facts = await pfs.head(leaf.project, leaf.repo, leaf.repo_type, leaf.branch)
        found[leaf] = facts.ref if facts.open or facts.finished else (await pfs.commit(facts.ref, finished=True)).ref
    return found


async def datums_of(planner: Planner, tree: Input, commits: Mapping[Leaf, CommitRef]) -> AsyncIterator[Sequence[Datum]]:
    """In pages, in the order they are found. Ids may repeat."""
    async for found in planner.datums(tree, commits):
        pages = _pages(found)
        while page := await asyncio.to_thread(next, pages, None):
            yield page


def _pages(things: Iterable[Thing]) -> Iterator[list[Thing]]:
    rest = iter(things)
    while page := list(islice(rest, PAGE)):
        yield page


@dataclass(frozen=True, slots=True)
class ById:
    """Which datums of a tree: with ids after the marker, ascending; or before it (all without one), descending."""

    marker: bytes
    reverse: bool

    def takes(self, id: bytes) -> bool:
        return not self.marker or (id < self.marker if self.reverse else id > self.marker)


async def datums_by_id(
    planner: Planner, tree: Input, commits: Mapping[Leaf, CommitRef], wanted: ById
) -> AsyncIterator[list[tuple[bytes, Datum]]]:
    """Pages of datums, each id once. They wait in a file: in memory stay 40 bytes each."""
    with TemporaryFile(dir=planner.scratch) as file:
        pile = _Pile(file)
        async for batch in datums_of(planner, tree, commits):
            await asyncio.to_thread(pile.add, batch, wanted)
        pages = await asyncio.to_thread(pile.pages, wanted.reverse)
        while page := await asyncio.to_thread(next, pages, None):
            yield page


class _Pile:
    """Datums in a file. Used by one thread at a time."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._ids, self._begins = bytearray(), array("Q", [0])

    def add(self, found: Iterable[Datum], wanted: ById) -> None:
        for datum in found:
            id = datum_id(datum)
            if wanted.takes(id):
                self._ids += id
                self._begins.append(self._begins[-1] + self._file.write(planned_line(id, NO_HASH, datum)))

    def _id(self, at: int) -> bytes:
        return bytes(self._ids[ID_BYTES * at : ID_BYTES * (at + 1)])

    def pages(self, reverse: bool) -> Iterator[list[tuple[bytes, Datum]]]:
        """By id, each once; of equal ones the first counts."""
        order = sorted(range(len(self._begins) - 1), key=self._id, reverse=reverse)
        unique = (at for place, at in enumerate(order) if place == 0 or self._id(order[place - 1]) != self._id(at))
        for page in _pages(unique):
            yield [(self._id(at), self._read(at)) for at in page]

    def _read(self, at: int) -> Datum:
        self._file.seek(self._begins[at])
        return read_planned(self._file.read(self._begins[at + 1] - self._begins[at])).inputs
