"""A database becomes a file and a database again, of whatever kinds: rows, and the numbers given out."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import delete, select

from services.jobs.domain.jobs import JobKey
from services.jobs.storage.jobs import JobStore
from services.jobs.storage.ledger import Ledger
from services.jobs.storage.tables import JobRow
from services.kit.errors import Refused
from services.kit.storage import copying
from services.kit.storage.copying import Schema
from services.kit.storage.database import Database
from services.kit.storage.migrations import migrate
from tests.support.postgres import Postgres
from tests.support.servers import ROOT, unique

JOBS = Schema("services.jobs.storage", ROOT / "services/jobs/storage/migrations")
NOW = datetime(2026, 11, 21, 14, 30, 5, 123456, UTC)
Fresh = Callable[[], str]


@pytest.fixture(params=["sqlite", "postgres"])
def one(request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres) -> Fresh:
    return _fresh(request.param, tmp_path, postgres)


@pytest.fixture(params=["sqlite", "postgres"])
def other(request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres) -> Fresh:
    return _fresh(request.param, tmp_path, postgres)


def _fresh(kind: str, folder: Path, postgres: Postgres) -> Fresh:
    if kind == "sqlite":
        return lambda: f"sqlite:///{folder / unique('db')}"
    return lambda: postgres.schema(unique("copied").replace("-", "_"))


def job(db: Database, id: str) -> int:
    key = JobKey("default", "edges", id)
    more = {"pipeline_made": NOW, "version": 1, "output_branch": "master", "traceparent": "", "now": NOW}
    return db.run_here(lambda tx: JobStore(tx).add(key, **more).number)  # type: ignore[arg-type]


def filled(url: str) -> None:
    with Database(url) as db:
        migrate(db, JOBS.migrations, JOBS.metadata)
        numbers = [job(db, str(number) * 32) for number in range(3)]
        db.run_here(lambda tx: JobStore(tx).keep_spec("default", "edges", NOW, 1, bytes(range(256))))
        db.run_here(lambda tx: Ledger(tx).reserve((f"{number:032x}" for number in range(2500)), NOW))
        db.run_here(lambda tx: tx.execute(delete(JobRow).where(JobRow.number == numbers[-1])))


def rows(url: str) -> dict[str, list[tuple[object, ...]]]:
    with Database(url) as db:
        return {
            table.name: db.run_here(lambda tx, table=table: [tuple(row) for row in tx.execute(select(table))])  # type: ignore[misc]
            for table in JOBS.tables
        }


def test_rows_and_numbers_go_on_elsewhere(one: Fresh, other: Fresh, tmp_path: Path) -> None:
    here, file, there = one(), tmp_path / "taken/jobs.db", other()
    filled(here)
    copying.take(here, JOBS, file)
    copying.give(file, there, JOBS)
    assert {name: sorted(found) for name, found in rows(there).items()} == {
        name: sorted(found) for name, found in rows(here).items()
    }
    assert rows(here)["jobs"][0][10] is not None
    with Database(there) as db:
        assert job(db, "f" * 32) == 4, "3 was given out, and its job deleted"
    with pytest.raises(Refused, match="holds rows already"):
        copying.give(file, there, JOBS)
    copying.drop(there, JOBS)
    assert [name for name in copying.tables_there(there) if name != "sqlite_sequence"] == []
    copying.give(file, there, JOBS)
    assert len(rows(there)["jobs"]) == 2


def test_a_copy_is_of_one_moment(one: Fresh, tmp_path: Path) -> None:
    here = one()
    filled(here)
    copying.take(here, JOBS, tmp_path / "first.db")
    with Database(here) as db:
        job(db, "e" * 32)
    copying.take(here, JOBS, tmp_path / "second.db")
    counts = [len(rows(f"sqlite:///{tmp_path}/{name}.db")["jobs"]) for name in ("first", "second")]
    assert counts == [2, 3]
