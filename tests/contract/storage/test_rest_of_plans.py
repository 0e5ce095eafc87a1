"""The rest of a large plan in the database: laid out by several transactions, any of which may be the last."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from services.jobs.domain.errors import Superseded
from services.jobs.domain.jobs import Job, JobKey, JobState
from services.jobs.operations.planning.drafts import Plan, Ranges
from services.jobs.operations.planning.phases import Awaited, expected
from services.jobs.operations.running import bases, moving
from services.jobs.operations.running.removing import Removals
from services.jobs.storage.jobs import JobStore
from services.jobs.storage.ledger import DYING, LIVE, Ledger, ObjectRow
from services.jobs.storage.objects import PLANS, Indexes, key_of
from services.jobs.storage.sets import SetStore
from services.jobs.storage.tables import Base
from services.kit.objects.local import LocalObjects
from services.kit.sortedmap.rows import EMPTY
from services.kit.storage.database import Database, KitBase

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BASE, JOB = JobKey("default", "edges", "a" * 32), JobKey("default", "edges", "b" * 32)


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setattr(moving, "SETS_AT_ONCE", 2)
    with Database(f"sqlite:///{tmp_path}/jobs.db") as database:
        KitBase.metadata.create_all(database.engine)
        Base.metadata.create_all(database.engine)
        yield database


def planned(tx: Session, name: str, sets: int) -> Plan:
    """A plan with one datum a set."""
    Ledger(tx).reserve([name], NOW)
    return Plan(key_of(PLANS, name), Ranges((at, 1, 1) for at in range(sets)), sets, 0, EMPTY, (), Removals())


def started(tx: Session, key: JobKey) -> Job:
    (made,) = moving.create_jobs(tx, [moving.Wanted(key, NOW, 1, "master", b"", "")], now=NOW)
    return moving.move(tx, made.number, JobState.STARTING, of=JobState.CREATED, now=NOW)


def test_a_rest_that_was_laid_out_in_part_is_planned_again(db: Database) -> None:
    base = db.run_here(started, BASE)
    db.run_here(lambda tx: moving.run(tx, base.number, planned(tx, "a1" * 16, 1), base=None, now=NOW))
    job = db.run_here(started, JOB)
    awaited = Awaited(base, False, bases.Base(EMPTY))
    first = db.run_here(planned, "b1" * 16, 1)
    db.run_here(lambda tx: moving.run(tx, job.number, first, base=None, now=NOW, awaited=awaited))
    given_up, rest = db.run_here(planned, "b2" * 16, 3), db.run_here(planned, "b3" * 16, 3)
    db.run_here(lambda tx: moving.lay_out(tx, job.number, given_up, 0, now=NOW))
    db.run_here(moving.begun_anew, job.number)
    while db.run_here(moving.drop_unplanned, job.number):
        pass
    assert len(sets_of(db, job)) == 1, "nobody leases what may be planned otherwise"
    db.run_here(lambda tx: moving.lay_out(tx, job.number, rest, 0, now=NOW))
    with pytest.raises(Superseded):
        db.run_here(lambda tx: moving.go_on(tx, job.number, given_up, base=None, now=NOW))
    db.run_here(lambda tx: moving.lay_out(tx, job.number, rest, 2, now=NOW))
    ended = db.run_here(lambda tx: moving.go_on(tx, job.number, rest, base=base.number, now=NOW))
    assert (ended.awaits, ended.counters.total, ended.restart) == (None, 3, 1)
    assert sets_of(db, job) == [(0, first.key, 0), *((1 + at, rest.key, at) for at in range(3))]
    states = {"a1": LIVE, "b1": LIVE, "b2": DYING, "b3": LIVE}
    assert db.run_here(lambda tx: {row.name[:2]: row.state for row in tx.query(ObjectRow)}) == states
    db.run_here(lambda tx: moving.end(tx, job.number, JobState.KILLED, now=NOW, reason=""))
    db.run_here(lambda tx: moving.close(tx, job.number, now=NOW))
    states |= {"b1": DYING, "b3": DYING}
    assert db.run_here(lambda tx: {row.name[:2]: row.state for row in tx.query(ObjectRow)}) == states


def sets_of(db: Database, job: Job) -> list[tuple[int, str, int]]:
    """(number, plan object, begin)."""
    return db.run_here(
        lambda tx: [
            (one.index, JobStore(tx).plan_of(job.number, one.index), one.begin)
            for one in SetStore(tx).above(job.number, -1, 100)
        ]
    )


async def test_a_job_does_not_start_on_what_has_moved_on(db: Database, tmp_path: Path) -> None:
    """What only the awaited job referred to may be collected by then."""
    base = db.run_here(started, BASE)
    plan = db.run_here(planned, "a1" * 16, 0)
    db.run_here(lambda tx: moving.run(tx, base.number, plan, base=None, now=NOW))
    awaited = await expected(db, Indexes.over(LocalObjects(tmp_path / "store")), tmp_path, base.number)
    db.run_here(lambda tx: moving.ran(tx, base.number, EMPTY, [], JobState.FINISHING, now=NOW))
    job = db.run_here(started, JOB)
    first = db.run_here(planned, "b1" * 16, 1)
    with pytest.raises(Superseded, match="is not as it was"):
        db.run_here(lambda tx: moving.run(tx, job.number, first, base=None, now=NOW, awaited=awaited))
    assert db.run_here(lambda tx: JobStore(tx).plan(job.number)) == "", "nothing of that start stays"
