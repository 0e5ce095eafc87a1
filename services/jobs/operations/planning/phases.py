"""The two plans of a job whose base still runs: of the datums that the base cannot have, and of the rest at its end.

Which datums the base is going to have is known as soon as it is planned: what it took over, and the lines of its plan;
or, while it awaits a base itself, the index that was kept with its first plan.
The second plan is that of a job which begins when its base has ended, without what has run already. Nothing of the
first is in any index that may become the base's, so whatever the second takes away was not written by the first.
Elsewhere: who makes the plans (planner.py); when each is made (../running/steps.py); choosing the base
(../running/bases.py).
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import tee
from pathlib import Path
from tempfile import TemporaryFile

from sqlalchemy.orm import Session

from services.jobs.domain.errors import Superseded
from services.jobs.domain.jobs import Job
from services.jobs.domain.planning.origins import Origin
from services.jobs.domain.sets import DatumSet
from services.jobs.operations.planning.drafts import ID_BYTES, Part, Plan
from services.jobs.operations.planning.indexing import changed
from services.jobs.operations.planning.sorting import Sorting
from services.jobs.operations.running.bases import Base, Running
from services.jobs.storage.jobs import JobStore
from services.jobs.storage.objects import Indexes, read_directory
from services.jobs.storage.origins import Origins
from services.jobs.storage.sets import SetStore
from services.kit.sortedmap.packs import Reader
from services.kit.sortedmap.rows import EMPTY, NO_DIGEST, Root, Row
from services.kit.sortedmap.tree import get_many
from services.kit.storage.database import Database

SETS_AT_ONCE = 1_000
READ_AT_ONCE = 8 << 20
_ID = slice(2, 2 + 2 * ID_BYTES)
"""Where a line of a plan has the id (domain/records.py)."""

Stretch = tuple[str, int, int]
"""A plan object, the begin of a part of it, and its end."""


@dataclass(frozen=True, slots=True)
class Awaited:
    """A job that runs, as it was when another was planned on it: what that plan was made from stays while it is so.

    packs: what was written for the plan of the index that the job will have.
    """

    job: Job
    indexed: bool
    base: Base
    packs: tuple[bytes, ...] = ()

    def stands(self, tx: Session) -> bool:
        """Whether nothing that matters here has changed."""
        now = JobStore(tx).get(self.job.number)
        return now is not None and (now.awaits, JobStore(tx).is_indexed(now.number)) == (self.job.awaits, self.indexed)


async def expected(db: Database, indexes: Indexes, scratch: Path, number: int) -> Awaited:
    """What a job that is planned will know if it ends well; how each datum ended is open. Raises Superseded."""
    start = await db.read(_start, number)
    if start.indexed or start.job.awaits is not None:
        return start
    stretches = [stretch async for stretch in _stretches(db, number)]
    base, packs = await asyncio.to_thread(with_planned, indexes, start.base, stretches, scratch)
    return replace(start, base=base, packs=tuple(packs))


def _start(tx: Session, number: int) -> Awaited:
    jobs, origin = JobStore(tx), Origins(tx).find(number)
    job = jobs.get(number)
    if job is None:
        raise Superseded(f"job {number} was deleted")
    root = jobs.root(number) if job.awaits is None or origin is None else origin.wanted
    return Awaited(job, jobs.is_indexed(number), Base(root, number, origin=origin))


async def first_part(db: Database, indexes: Indexes, scratch: Path, running: Running) -> tuple[Awaited, Part]:
    """On what the first plan is made, and what it holds: nothing that any job knows which may become the base."""
    roots, older = list[Root](), running.older
    while isinstance(older, Running):
        roots.append((await expected(db, indexes, scratch, older.job.number)).base.root)
        older = older.older
    return await expected(db, indexes, scratch, running.job.number), only_new(indexes.reader, [*roots, older.root])


def planned_first(plan: Plan, awaited: Awaited) -> Plan:
    """A first plan as it is kept: nothing is taken over yet, and the job after it can tell what this one wants."""
    origin = replace(plan.origin or Origin("", ()), wanted=plan.root)
    return replace(plan, root=EMPTY, origin=origin, packs=(*plan.packs, *awaited.packs))


def with_planned(
    indexes: Indexes, taken_over: Base, stretches: Iterable[Stretch], scratch: Path
) -> tuple[Base, list[bytes]]:
    """What a job knows that has run what these parts of plans hold, and the packs written for it. Blocks."""
    with TemporaryFile(dir=scratch) as file:
        sorting = Sorting(file)
        sorting.add(Row(id, 0, 0, NO_DIGEST) for id in _ids(indexes, stretches))
        root, packs = changed(indexes, taken_over.root, sorting.rows())
        return replace(taken_over, root=root), packs


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


def only_new(reader: Reader, older: Sequence[Root]) -> Part:
    """What the first plan holds. older: indexes of the jobs that may be the base when the one that runs ends badly."""

    def known(ids: Iterable[bytes]) -> Iterator[bool]:
        rows = [get_many(reader, root, some) for root, some in zip(older, tee(ids, len(older)), strict=True)]
        return (any(row is not None for row in found) for found in zip(*rows, strict=True))

    return Part(new_only=True, others=known)


@asynccontextmanager
async def rest_part(indexes: Indexes, records: Iterable[str], scratch: Path) -> AsyncIterator[Part]:
    """What the second plan holds. records: objects with what has run by the first."""
    with TemporaryFile(dir=scratch) as file:
        done = Sorting(file)

        def read() -> None:
            for name in records:
                done.add(read_directory(indexes.objects, name))

        await asyncio.to_thread(read)
        yield but(done)


def but(done: Sorting) -> Part:
    """All but what has run."""

    def others(ids: Iterable[bytes]) -> Iterator[bool]:
        rows = done.rows()
        row = next(rows, None)
        for id in ids:
            while row is not None and row.key < id:
                row = next(rows, None)
            yield row is not None and row.key == id

    return Part(new_only=False, others=others)
