"""What is taken away from a job's commits, and that nobody does it who does not drive the job any more."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from services.jobs.domain.datums import DatumState
from services.jobs.domain.errors import Superseded
from services.jobs.domain.jobs import Stats
from services.jobs.domain.records import Ended, planned_line, record_line
from services.jobs.operations.running.removing import A_FEW, Removals, take_away
from services.jobs.peers.pfs import CommitFacts, CommitRef, Pfs
from services.jobs.storage.objects import Indexes, read_directory, write_records
from services.kit.objects.local import LocalObjects

OUTPUT, META = (CommitRef("default", "edges", type, "c" * 32) for type in ("user", "meta"))


@dataclass(frozen=True)
class Noting(Pfs):
    """Notes which commits are changed, and by how much."""

    changed: list[tuple[str, int]] = field(default_factory=list)

    async def commit(self, ref: CommitRef, *, finished: bool = False) -> CommitFacts:
        above = None if ref.id == "b" * 32 else replace(ref, id="b" * 32)
        return CommitFacts(ref, "", True, above is not None, above is None, "", above, ())

    async def removal(self, entries: AsyncIterator[tuple[str, str]]) -> str:
        return str(len([entry async for entry in entries]))

    async def add_file_set(self, ref: CommitRef, file_set: str) -> None:
        self.changed.append((ref.type, int(file_set)))

    async def delete(self, ref: CommitRef, paths: Iterable[tuple[str, str]]) -> None:
        self.changed.append((ref.type, len(list(paths))))

    async def entries(self, ref: CommitRef) -> AsyncIterator[tuple[str, str]]:
        for number in range(3):
            yield f"/{number}", "d"


def removed(indexes: Indexes, count: int) -> Removals:
    """Datums that have written a file each."""
    ids = [number.to_bytes(32, "big") for number in range(count)]
    entries = [(id, id, DatumState.SUCCESS, record_line(planned_line(id, id, ()), _ended(id.hex()))) for id in ids]
    found = Removals()
    for row in read_directory(indexes.objects, write_records(indexes.objects, indexes.fresh(), entries)):
        found.add(row)
    return found


def _ended(id: str) -> Ended:
    return Ended(id, "j", DatumState.SUCCESS, "", Stats(), (f"/{id}",))


@pytest.mark.parametrize("count", [A_FEW, A_FEW + 1])
@pytest.mark.parametrize("looks", range(5))
def test_whoever_does_not_drive_the_job_any_more_takes_nothing_away(tmp_path: Path, count: int, looks: int) -> None:
    """looks: how often the lease is still there."""
    indexes, pfs, left = Indexes.over(LocalObjects(tmp_path)), Noting(None), iter(range(looks))  # type: ignore[arg-type]

    async def keep() -> None:
        if next(left, None) is None:
            raise Superseded("another process drives it")

    async def take() -> None:
        await take_away(pfs, indexes, (OUTPUT, META), True, removed(indexes, count), keep)

    few = count <= A_FEW
    steps = [("user", 3)], [("meta", 3)], [("meta", 2 * count), *([("user", count)] if few else [])], [("user", count)]
    if looks >= 4 - few:
        asyncio.run(take())
        assert sorted(pfs.changed) == [("meta", 3), ("meta", 2 * count), ("user", 3), ("user", count)]
    else:
        with pytest.raises((Superseded, ExceptionGroup)):
            asyncio.run(take())
        assert set(pfs.changed) <= {change for step in steps[:looks] for change in step}
