"""What SQLite makes of the real statements: those that run for each set, kill or page find their rows by an index."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from services.jobs.operations import reading
from services.jobs.operations.reading import JobFilter
from services.jobs.storage.jobs import JobStore
from services.jobs.storage.sets import SetStore
from services.jobs.storage.tables import Base
from services.kit.storage.database import Database

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EDGES = "default", "edges"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database(f"sqlite:///{tmp_path}/jobs.db") as database:
        Base.metadata.create_all(database.engine)
        yield database


def plans(db: Database, work: Callable[[Session], object]) -> list[str]:
    """How each statement of a transaction finds its rows."""
    found = list[str]()

    def explain(connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        cursor = connection.connection.cursor()
        cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        found.append("; ".join(row[3] for row in cursor.fetchall()))

    event.listen(db.engine, "before_cursor_execute", explain)
    db.run_here(work)
    return found


@pytest.mark.parametrize(
    ("work", "index"),
    [
        (lambda tx: SetStore(tx).held(1), "sets_held"),
        (lambda tx: SetStore(tx).forget(1), "sets_held"),
        (lambda tx: SetStore(tx).held_by("w", *EDGES), "sets_by_worker"),
        (lambda tx: JobStore(tx).unclosed(*EDGES), "jobs_open"),
        (lambda tx: JobStore(tx).of_others(*EDGES, NOW, 9, 9), "jobs_of_pipeline"),
        (lambda tx: reading.jobs_since(tx, *EDGES, 9), "jobs_of_pipeline"),
        (lambda tx: reading.list_jobs(tx, JobFilter(EDGES), 9, 9), "jobs_of_pipeline"),
    ],
)
def test_rows_are_found_by_an_index_and_come_in_its_order(
    db: Database, work: Callable[[Session], object], index: str
) -> None:
    (plan,) = plans(db, work)
    assert f" INDEX {index} " in plan
    assert "SCAN" not in plan
    assert "B-TREE" not in plan
