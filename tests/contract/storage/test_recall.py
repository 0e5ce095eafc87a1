"""What is recalled is what a read would say now, whoever has changed the database since."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from services.kit.storage.database import Database, KitBase
from services.kit.storage.outbox import Outbox, OutboxRow
from services.kit.storage.recall import MOST
from tests.support.postgres import Postgres

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def replicas(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Database, Database]]:
    """Two processes' worth of one database."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/kit.db"
    else:
        server: Postgres = request.getfixturevalue("postgres")
        url = server.schema()
    with Database(url) as one, Database(url) as other:
        KitBase.metadata.create_all(one.engine)
        yield one, other


def _add(tx: Session) -> None:
    Outbox(tx).add("pfs.commit.started", "a", at=NOW)


class Counting:
    """Reads, and knows how often it did."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, tx: Session, more: int = 0) -> int:
        self.times += 1
        return (tx.scalar(select(func.count()).select_from(OutboxRow)) or 0) + more


async def test_what_this_process_or_another_commits_is_seen_at_once(replicas: tuple[Database, Database]) -> None:
    here, there = replicas
    read = Counting()
    for turn in range(1, 6):
        await (here if turn % 2 else there).run(_add)
        assert [await here.recall(read) for _ in range(3)] == [turn] * 3
        assert await there.recall(read, 10) == turn + 10
    if here.is_sqlite:
        assert read.times == 10, "each of the two questions is read once after each commit"


async def test_a_failed_change_and_other_arguments_are_told_apart(replicas: tuple[Database, Database]) -> None:
    here, there = replicas
    read = Counting()

    def fails(tx: Session) -> None:
        _add(tx)
        raise ValueError("no")

    assert await here.recall(read) == 0
    with pytest.raises(ValueError, match="no"):
        await there.run(fails)
    assert (await here.recall(read), await here.recall(read, 1), await here.recall(read, more=2)) == (0, 1, 2)


async def test_what_is_kept_is_bounded_and_an_error_is_not_kept(tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path}/kit.db") as db:
        KitBase.metadata.create_all(db.engine)
        read, failing = Counting(), [True]
        for number in range(MOST + 2):
            await db.recall(read, number)
        assert await db.recall(read, 0) == 0
        assert read.times == MOST + 3, "the first was let go of when there was no room"

        def fails(tx: Session) -> int:
            if failing:
                raise ValueError(failing.pop())
            return 7

        with pytest.raises(ValueError, match="True"):
            await db.recall(fails)
        assert await db.recall(fails) == 7
