"""The two plans of a job whose base still runs: of the datums that the base cannot have, and of the rest at its end.

Which datums the base is going to have is known as soon as it is planned: what it took over, and the lines of its plan.
The second plan is that of a job which begins when its base has ended, without what has run already. Nothing of the
first is in any index that may become the base's, so whatever the second takes away was not written by the first.
Elsewhere: who makes the plans (../planning/); when each is made (steps.py); choosing the base (bases.py).
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy.orm import Session

from services.jobs.domain.errors import Superseded
from services.jobs.domain.sets import DatumSet
from services.jobs.operations.planning.drafts import ID_BYTES, Part
from services.jobs.operations.planning.indexing import changed
from services.jobs.operations.planning.sorting import Sorting
from services.jobs.operations.running.bases import Base
from services.jobs.storage.jobs import JobStore
from services.jobs.storage.objects import Indexes, read_directory
from services.jobs.storage.origins import Origins
from services.jobs.storage.sets import SetStore
from services.kit.sortedmap.packs import Reader
from services.kit.sortedmap.rows import NO_DIGEST, Root, Row
from services.kit.sortedmap.tree import get_many
from services.kit.storage.database import Database

SETS_AT_ONCE = 1_000
READ_AT_ONCE = 8 << 20
_ID = slice(2, 2 + 2 * ID_BYTES)
"""Where a line of a plan has the id (domain/records.py)."""

Stretch = tuple[str, int, int]
"""A plan object, the begin of a part of it, and its end."""


@dataclass(frozen=True, slots=True)
class _Start:
    """What a running job took over. indexed: whether its own datums are in the root already."""

    indexed: bool
    base: Base


async def expected(db: Database, indexes: Indexes, scratch: Path, number: int) -> Base:
    """What a job that is planned will know if it ends well; how each datum ended is open. Raises Superseded.

    The packs of this index are never published: what is written of it goes as other leftovers do.
    """
    start = await db.read(_start, number)
    if start.indexed:
        return start.base
    stretches = [stretch async for stretch in _stretches(db, number)]
    return await asyncio.to_thread(with_planned, indexes, start.base, stretches, scratch)


def with_planned(indexes: Indexes, taken_over: Base, stretches: Iterable[Stretch], scratch: Path) -> Base:
    """What a job knows that has run what these parts of plans hold. Blocks."""
    sorting = Sorting(scratch)
    try:
        sorting.add(Row(id, 0, 0, NO_DIGEST) for id in _ids(indexes, stretches))
        root, _ = changed(indexes, taken_over.root, sorting.rows())
        return replace(taken_over, root=root)
    finally:
        sorting.close()


def _start(tx: Session, number: int) -> _Start:
    jobs = JobStore(tx)
    if jobs.get(number) is None:
        raise Superseded(f"job {number} was deleted")
    base = Base(jobs.root(number), number, origin=Origins(tx).find(number))
    return _Start(jobs.is_indexed(number), base)


def _ids(indexes: Indexes, stretches: Iterable[Stretch]) -> Iterator[bytes]:
    """Of the datums in these parts of plans."""
    for plan, begin, stop in stretches:
        for line in indexes.objects.get_range(plan, begin, stop - begin).splitlines():
            yield bytes.fromhex(line[_ID].decode())


async def _stretches(db: Database, number: int) -> AsyncIterator[Stretch]:
    """What the sets of a job cover; neighbours are read in one go."""
    at, begin, stop, last = "", 0, 0, -1
    while some := await db.read(_sets_after, number, last):
        for plan, one in some:
            if plan != at or one.begin != stop or stop - begin > READ_AT_ONCE:
                if stop > begin:
                    yield at, begin, stop
                at, begin = plan, one.begin
            stop, last = one.begin + one.length, one.index
    if stop > begin:
        yield at, begin, stop


def _sets_after(tx: Session, number: int, last: int) -> list[tuple[str, DatumSet]]:
    jobs = JobStore(tx)
    return [(jobs.plan_of(number, one.index), one) for one in SetStore(tx).above(number, last, SETS_AT_ONCE)]


def only_new(reader: Reader, older: Root) -> Part:
    """What the first plan holds. older: the index of the base, should the one that runs end badly."""

    def known(ids: Iterable[bytes]) -> Iterator[bool]:
        return (row is not None for row in get_many(reader, older, ids))

    return Part(new_only=True, others=known)


@contextmanager
def without_done(indexes: Indexes, records: Iterable[str], scratch: Path) -> Iterator[Part]:
    """What the second plan holds. records: objects with what has run by the first. Blocks."""
    sorting = Sorting(scratch)

    def done(ids: Iterable[bytes]) -> Iterator[bool]:
        rows = sorting.rows()
        row = next(rows, None)
        for id in ids:
            while row is not None and row.key < id:
                row = next(rows, None)
            yield row is not None and row.key == id

    try:
        for name in records:
            sorting.add(read_directory(indexes.objects, name))
        yield Part(new_only=False, others=done)
    finally:
        sorting.close()
