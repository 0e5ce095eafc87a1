"""One suite for SQLite and PostgreSQL: transactions, retries, news, leases, migrations."""

import asyncio
import secrets
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, select, text
from sqlalchemy.orm import Session

from services.kit.errors import Invalid, Refused, Unavailable
from services.kit.storage.database import Database, KitBase
from services.kit.storage.leases import LeaseRow, drop_lease, take_lease
from services.kit.storage.migrations import ForeignSchema, NewerSchema, migrate
from services.kit.storage.outbox import Outbox, OutboxRow
from services.kit.storage.revisions import write_revision
from services.pfs.__main__ import MIGRATIONS
from services.pfs.storage.tables import Base
from tests.support.postgres import Postgres
from tests.support.servers import free_port

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TTL = timedelta(seconds=10)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/kit.db"
    server: Postgres = request.getfixturevalue("postgres")
    return server.schema()


@pytest.fixture
def db(url: str) -> Iterator[Database]:
    with Database(url) as database:
        KitBase.metadata.create_all(database.engine)
        yield database


def _news(tx: Session, key: str) -> None:
    Outbox(tx).add("pfs.commit.started", key, at=NOW)


def _count(tx: Session) -> int:
    return len(tx.scalars(select(OutboxRow.seq)).all())


async def test_a_key_that_is_too_long_is_refused_for_good(db: Database) -> None:
    """SQLite takes any; what PostgreSQL cannot hold in an index is no outage, which callers would wait for."""
    key = secrets.token_hex(5000)
    if db.is_sqlite:
        assert await db.run(take_lease, key, "me", ttl=TTL, now=NOW)
        return
    with pytest.raises(Invalid, match="too long"):
        await db.run(take_lease, key, "me", ttl=TTL, now=NOW)


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


async def test_what_was_read_stays_so_for_writers_that_began_before(postgres: Postgres) -> None:
    """A writer that has seen the door open may not come in once somebody has seen it closed, and nobody inside."""
    entering, seen = threading.Event(), threading.Event()

    def close(tx: Session) -> None:
        tx.add(LeaseRow(duty="door", holder="closed", until=NOW))

    def enter(tx: Session) -> None:
        is_open = tx.scalars(select(LeaseRow).where(LeaseRow.duty == "door")).first() is None
        entering.set()
        seen.wait(120)
        if is_open:
            _news(tx, "inside")

    def look(tx: Session) -> tuple[bool, int]:
        return tx.scalars(select(LeaseRow).where(LeaseRow.duty == "door")).first() is not None, _count(tx)

    with Database(postgres.schema()) as db:
        KitBase.metadata.create_all(db.engine)
        coming = asyncio.ensure_future(db.run(enter))
        assert await asyncio.to_thread(entering.wait, 30)
        await db.run(close)
        assert await db.read(look) == (True, 0)
        seen.set()
        await coming
        assert await db.read(look) == (True, 0)


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


START = """
import sys, time
from pathlib import Path
from services.kit.storage.database import Database
from services.kit.storage.migrations import migrate
from services.pfs.__main__ import MIGRATIONS
from services.pfs.storage.tables import Base
print("ready", flush=True)
sys.stdin.readline()
with Database(sys.argv[1]) as db:
    migrate(db, MIGRATIONS, Base.metadata)
"""


def test_replicas_that_start_together_take_turns(url: str) -> None:
    """Three processes find an empty database, and a fourth one that is up to date."""
    command = [sys.executable, "-c", START, url]
    starting = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in starting:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in starting:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    ended = [process.communicate(timeout=60) for process in starting]
    assert [process.returncode for process in starting] == [0, 0, 0], ended
    with Database(url) as db:
        migrate(db, MIGRATIONS, Base.metadata)


def test_a_database_of_something_else_is_refused_by_what_is_wrong_with_it(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    write_revision(folder, KitBase.metadata, name="start")
    others = MetaData()
    Table("projects", others, Column("number", Integer, primary_key=True), Column("name", Text))
    with Database(url) as db:
        KitBase.metadata.create_all(db.engine)
        with pytest.raises(ForeignSchema, match=r"has tables that datamill did not make \(leases, outbox\)"):
            migrate(db, folder)
        KitBase.metadata.drop_all(db.engine)
        migrate(db, folder)
        with pytest.raises(ForeignSchema, match="lacks the table projects"):
            migrate(db, folder, others)
        with db.engine.begin() as connection:
            connection.execute(text("CREATE TABLE projects (number INTEGER)"))
        with pytest.raises(ForeignSchema, match=r"lacks the column projects\.name"):
            migrate(db, folder, others)


async def test_a_call_says_that_tables_are_missing(url: str) -> None:
    """Somebody took them away while the service was running."""
    with Database(url) as db, pytest.raises(Refused, match=r"does not have the tables .*outbox"):
        await db.run(_news, "a")


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no database " * 100)
    with Database(f"sqlite:///{path}") as db, pytest.raises(Unavailable, match=r"notes\.txt: file is not a database"):
        migrate(db, tmp_path)


def test_a_revision_holds_only_what_changed(tmp_path: Path) -> None:
    first = write_revision(tmp_path, KitBase.metadata, name="start")
    second = write_revision(tmp_path, KitBase.metadata, name="nothing")
    assert "create_table" in first.read_text()
    assert "create_table" not in second.read_text()
    assert 'down_revision = "0001"' in second.read_text()


def test_a_server_that_is_not_there_is_told_without_the_password() -> None:
    port = free_port()
    with pytest.raises(
        Unavailable, match=rf"cannot use the database postgresql://me:\*\*\*@127.0.0.1:{port}/x"
    ) as told:
        Database(f"postgresql://me:secret@127.0.0.1:{port}/x")
    assert "refused" in str(told.value)
    assert "secret" not in str(told.value)


async def test_a_call_waits_for_a_server_that_is_restarted(own_postgres: Postgres) -> None:
    with Database(own_postgres.schema()) as db:
        KitBase.metadata.create_all(db.engine)
        await db.run(_news, "a")
        own_postgres.stop()
        try:
            waiting = asyncio.ensure_future(db.run(_news, "b"))
            await asyncio.sleep(0)
        finally:
            await asyncio.to_thread(own_postgres.start)
        await waiting
        assert await db.read(_count) == 2


async def test_a_sqlite_file_that_others_have_locked_is_waited_for_and_then_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.kit.storage.database.LOCKED_SECONDS", 0.05)
    with Database(f"sqlite:///{tmp_path}/kit.db") as db, closing(sqlite3.connect(tmp_path / "kit.db")) as other:
        KitBase.metadata.create_all(db.engine)
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.ensure_future(db.run(_news, "a"))
        assert await db.read(_count) == 0, "who reads goes on"
        other.execute("ROLLBACK")
        await waiting
        monkeypatch.setattr("services.kit.storage.database.LOCKED_IN_ALL", 0.2)
        other.execute("BEGIN IMMEDIATE")
        for _ in range(2):
            with pytest.raises(Unavailable, match="cannot be reached or is busy"):
                await db.run(_news, "b")
        other.execute("ROLLBACK")
        await db.run(_news, "c")
        assert await db.read(_count) == 2
