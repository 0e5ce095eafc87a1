"""The leases of the jobs that a process drives: one transaction keeps all; what is not its own any more is dropped."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from math import inf
from pathlib import Path

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from services.jobs.domain.errors import Superseded
from services.jobs.domain.jobs import JobKey, JobState
from services.jobs.duties import keeper
from services.jobs.duties.keeper import Hold, Keeper
from services.jobs.operations.running import moving
from services.jobs.storage.tables import Base
from services.kit.storage.database import Database, KitBase
from services.kit.storage.leases import LeaseRow
from services.kit.time.clock import SystemClock

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Counting(Database):
    """Counts what it writes."""

    runs = 0

    async def run(self, work, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        self.runs += 1
        return await super().run(work, *args, **kwargs)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Counting]:
    database = Counting(f"sqlite:///{tmp_path}/jobs.db")
    with database:
        KitBase.metadata.create_all(database.engine)
        Base.metadata.create_all(database.engine)
        yield database


def made(tx: Session, count: int) -> list[int]:
    keys = [JobKey("default", "edges", f"{at:032x}") for at in range(count)]
    wanted = [moving.Wanted(key, NOW, 1, "master", b"spec", "") for key in keys]
    return [job.number for job in moving.create_jobs(tx, wanted, now=NOW)]


@asynccontextmanager
async def driven(keeper: Keeper, number: int) -> AsyncIterator[tuple[Hold, "asyncio.Task[None]"]]:
    """A task that has a job in hand, and does nothing with it."""
    taken = asyncio.get_running_loop().create_future()

    async def drive() -> None:
        taken.set_result(await keeper.take(number))
        await asyncio.Event().wait()

    task = asyncio.create_task(drive())
    hold = await taken
    assert hold is not None
    try:
        yield hold, task
    finally:
        task.cancel()
        await keeper.let_go(hold)


def stolen(tx: Session, number: int) -> None:
    tx.execute(update(LeaseRow).where(LeaseRow.duty == f"job/{number}").values(holder="other"))


async def test_one_transaction_keeps_all_and_says_what_is_to_be_dropped(db: Counting) -> None:
    one = Keeper(db, SystemClock(), "one")
    kept, killed, taken, gone = db.run_here(made, 4)
    async with (
        driven(one, kept) as (hold, stays),
        driven(one, killed) as (_, first),
        driven(one, taken) as (_, second),
        driven(one, gone) as (_, third),
    ):
        assert hold.fresh
        assert hold.job.state is JobState.STARTING
        assert hold.document == b"spec"
        other = Keeper(db, SystemClock(), "two")
        assert await other.take(kept) is None, "somebody has it"
        assert 0 < await other.free_in(kept) <= keeper.LEASE.total_seconds() + keeper.SURELY
        assert await one.free_in(kept) == inf, "it is its own"
        db.run_here(lambda tx: moving.end(tx, killed, JobState.KILLED, now=NOW, reason=""))
        db.run_here(stolen, taken)
        job = db.run_here(moving.get_job, gone)
        assert job is not None
        db.run_here(lambda tx: moving.remove(tx, job, now=NOW))
        before = db.runs
        held = list(one._held.values())
        assert await one.renew(held) == {kept, killed}
        assert db.runs == before + 1
        await asyncio.wait([first, second, third])
        assert all(task.cancelled() for task in (first, second, third))
        assert not stays.done()
        before = db.runs
        await hold.keep()
        assert db.runs == before, "it was renewed a moment ago"


async def test_a_lease_that_was_not_renewed_lately_is_looked_at(db: Counting) -> None:
    one = Keeper(db, SystemClock(), "one")
    (number,) = db.run_here(made, 1)
    async with driven(one, number) as (hold, task):
        hold.seen -= keeper.FRESH_SECONDS + 1
        await hold.keep()
        db.run_here(stolen, number)
        hold.seen -= keeper.FRESH_SECONDS + 1
        with pytest.raises(Superseded):
            await hold.keep()
        await asyncio.wait([task])


async def test_a_killed_job_is_taken_to_be_closed(db: Counting) -> None:
    one = Keeper(db, SystemClock(), "one")
    (number,) = db.run_here(made, 1)
    db.run_here(lambda tx: moving.end(tx, number, JobState.KILLED, now=NOW, reason=""))
    async with driven(one, number) as (hold, task):
        await one.renew([hold])
        await asyncio.sleep(0)
        assert not task.done(), "that it is killed is what it was taken for"
    db.run_here(lambda tx: moving.close(tx, number, now=NOW))
    assert await one.take(number) is None


async def test_leases_that_a_killed_process_has_left_of_jobs_that_are_over_go(db: Counting) -> None:
    def left(tx: Session) -> None:
        tx.add(LeaseRow(duty="job/1", holder="one killed", until=NOW))
        tx.add(LeaseRow(duty="collecting", holder="other", until=NOW))

    db.run_here(left)
    await Keeper(db, SystemClock(), "one").take_over()
    assert db.run_here(lambda tx: list(tx.scalars(select(LeaseRow.duty)))) == ["collecting"]
