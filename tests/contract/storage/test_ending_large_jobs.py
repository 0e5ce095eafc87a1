"""What stopping and deleting a job costs does not follow the number of its datums; what is left goes some at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.orm import Session

from services.jobs.domain.jobs import Job, JobKey, JobState
from services.jobs.operations.running import killing, moving
from services.jobs.operations.upkeep import sweeping
from services.jobs.storage.sets import SetStore
from services.jobs.storage.tables import Base, LeftRow, SetRow
from services.kit.storage.database import Database, KitBase

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FEW, MANY = 10, 1_000


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/jobs.db"


@pytest.fixture
def db(url: str) -> Iterator[Database]:
    with Database(url) as database:
        KitBase.metadata.create_all(database.engine)
        Base.metadata.create_all(database.engine)
        yield database


@dataclass
class Cost:
    """Of transactions: rows that each statement has written, one after another."""

    rows: list[int] = field(default_factory=list)

    def note(self, _connection: Any, cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.startswith("SELECT"):
            self.rows.append(cursor.rowcount)


@contextmanager
def counting(db: Database) -> Iterator[Cost]:
    found = Cost()
    event.listen(db.engine, "after_cursor_execute", found.note)
    try:
        yield found
    finally:
        event.remove(db.engine, "after_cursor_execute", found.note)


def running(tx: Session, name: str, sets: int) -> Job:
    """A job that runs, with one of its sets at a worker."""
    wanted = moving.Wanted(JobKey("default", "edges", name * 32), NOW, 1, "master", b"", "")
    (made,) = moving.create_jobs(tx, [wanted], now=NOW)
    moving.move(tx, made.number, JobState.STARTING, of=JobState.CREATED, now=NOW)
    job = moving.move(tx, made.number, JobState.RUNNING, of=JobState.STARTING, now=NOW)
    SetStore(tx).add(job.number, [(at, 1, 1) for at in range(sets)])
    lease = {"worker": "w", "incarnation": "1", "lease": "l", "until": NOW}
    SetStore(tx).lease(job.number, 0, **lease)  # type: ignore[arg-type]  # as named
    return job


def left(db: Database) -> tuple[int, int]:
    """(sets, deleted jobs that have left some)."""

    def count(tx: Session) -> tuple[int, int]:
        rows = [tx.scalar(select(func.count()).select_from(table)) or 0 for table in (SetRow, LeftRow)]
        return rows[0], rows[1]

    return db.run_here(count)


@pytest.mark.parametrize("how", ["stop", "delete", "delete the pipeline"])
def test_the_cost_is_that_of_a_small_job(db: Database, how: str) -> None:
    def end(job: Job) -> list[int]:
        with counting(db) as cost:
            db.run_here(lambda tx: moving.end(tx, job.number, JobState.KILLED, now=NOW, reason="enough"))
            db.run_here(lambda tx: moving.close(tx, job.number, now=NOW))
            if how == "delete":
                db.run_here(lambda tx: moving.remove(tx, job, now=NOW))
            elif how == "delete the pipeline":
                db.run_here(lambda tx: killing.forget(tx, killing.others(tx, "default", "edges", None, 9), now=NOW))
        return cost.rows

    small = end(db.run_here(running, "a", FEW))
    if how == "stop":
        db.run_here(lambda tx: moving.remove(tx, moving.get_job(tx, 1) or pytest.fail("it is there"), now=NOW))
    assert end(db.run_here(running, "b", MANY)) == small
    assert sum(small) < FEW


def test_what_is_left_goes_some_at_a_time_and_after_a_crash(
    db: Database, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "AT_ONCE", 100)
    gone, stays = db.run_here(running, "a", MANY), db.run_here(running, "b", FEW)
    db.run_here(lambda tx: moving.remove(tx, gone, now=NOW))
    assert db.run_here(sweeping.any_left)
    with counting(db) as cost:
        assert db.run_here(sweeping.sweep, "one", NOW)
        assert not db.run_here(sweeping.sweep, "other", NOW), "one process at a time"
    assert max(cost.rows) == 100
    assert left(db) == (MANY - 100 + FEW, 1)
    with Database(url) as after:  # another process, later
        while after.run_here(sweeping.sweep, "other", NOW + timedelta(minutes=1)):
            pass
        assert left(after) == (FEW, 0)
        assert not after.run_here(sweeping.any_left)
        assert after.run_here(lambda tx: len(SetStore(tx).above(stays.number, -1, MANY))) == FEW
    later = db.run_here(running, "c", 1)
    assert later.number > stays.number, "sets in the queue go by the number"
