"""One code path to SQLite and PostgreSQL: a transaction is a plain function of a `Session`, run whole in a thread.

`Database.run` repeats the function on a serialization failure, so it must touch nothing but the database. News added
to the outbox inside it is announced after the commit. A service owns its database (a file or a schema) alone.
Elsewhere: the outbox table and its relay (outbox.py), leases (leases.py), migrations (migrations.py).
"""

import asyncio
import logging
import random
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import DateTime, Dialect, Engine, MetaData, TypeDecorator, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.pool import PoolProxiedConnection

from services.kit.errors import Exhausted, Unavailable

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")
ATTEMPTS = 12
WRITES = "datamill writes"  # said of a connection before its next transaction; taken for granted when it is not
# Serialization failure, deadlock, lock not available; unique violation, which two writers that both saw no row meet.
RETRY_SQLSTATES = {"40001", "40P01", "55P03", "23505"}


class UtcTime(TypeDecorator[datetime]):
    """An aware UTC time, also where the database keeps no zone (SQLite)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class KitBase(DeclarativeBase):
    """Tables that every service's database has."""

    metadata = MetaData()


class Database:
    """A service's own database.

    url: SQLAlchemy's form; `sqlite:////path/file.db`, or `postgresql+psycopg://…?schema=pfs` (made when missing).
    """

    def __init__(self, url: str, *, readers: int = 4) -> None:
        self.url = url
        self.engine = _engine(url, pool=readers + 2)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        # SQLite has one writer: one thread queues writes in order instead of letting them contend for the file lock.
        self._writers = ThreadPoolExecutor(1 if self.is_sqlite else readers, thread_name_prefix="db-write")
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="db-read")
        self._after: list[Callable[[list[Any]], None]] = []

    def __enter__(self) -> "Database":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writers.shutdown(wait=True)
        self._readers.shutdown(wait=True)
        self.engine.dispose()

    def on_commit(self, hear: Callable[[list[Any]], None]) -> None:
        """After each commit that added news, call `hear(news)`, with (row number, news) pairs, on the event loop."""
        self._after.append(hear)

    async def run(self, work: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work(tx, …)` in one serializable transaction, and commit it; undone when `work` raises."""
        loop = asyncio.get_running_loop()
        result, news = await loop.run_in_executor(self._writers, lambda: self._attempt(True, work, *args, **kwargs))
        if news:
            for hear in self._after:
                hear(news)
        return result

    async def read(self, work: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work(tx, …)` on one snapshot; it must not write."""
        loop = asyncio.get_running_loop()
        result, _ = await loop.run_in_executor(self._readers, lambda: self._attempt(False, work, *args, **kwargs))
        return result

    def run_here(self, work: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Like `run`, on the calling thread, for code that already is on one. News waits for the relay's next look."""
        return self._attempt(True, work, *args, **kwargs)[0]

    def _attempt(
        self, write: bool, work: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> tuple[T, list[Any]]:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with self.engine.connect() as connection, Session(connection, expire_on_commit=False) as tx:
                    connection.info[WRITES] = write
                    result = work(tx, *args, **kwargs)
                    if write:
                        tx.commit()
                    return result, tx.info.get("news", [])
            except DBAPIError as error:
                if attempt < ATTEMPTS and _may_repeat(error):
                    time.sleep(random.uniform(0, 0.002 * 2 ** min(attempt, 8)))  # spreads writers that met
                    continue
                raise _translated(error) from error
        raise Unavailable("the database kept refusing this transaction; try again")


def _may_repeat(error: DBAPIError) -> bool:
    if isinstance(error.orig, sqlite3.OperationalError):
        return "locked" in str(error.orig) or "busy" in str(error.orig)
    return getattr(error.orig, "sqlstate", None) in RETRY_SQLSTATES or error.connection_invalidated


def _translated(error: DBAPIError) -> Exception:
    text = str(error.orig)
    if "disk is full" in text or getattr(error.orig, "sqlstate", None) == "53100":
        return Exhausted("the disk of the database is full: free some space and try again")
    if isinstance(error, OperationalError):
        log.error("database trouble: %s", text)
        return Unavailable("the database cannot be reached or is busy; try again")
    return error


def _engine(url: str, *, pool: int) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(
            parsed, pool_size=pool, max_overflow=0, connect_args={"timeout": 10, "check_same_thread": False}
        )
        event.listen(engine, "connect", _sqlite_connect)
        # Not the engine's event "begin": an engine with any event pays for all of them at every statement.
        setattr(engine.dialect, "do_begin", _sqlite_begin)  # noqa: B010
        return engine
    schema = str(parsed.query.get("schema", "public"))
    parsed = parsed.difference_update_query(["schema"])
    engine = create_engine(
        parsed,
        pool_size=pool,
        max_overflow=0,
        pool_pre_ping=True,
        isolation_level="SERIALIZABLE",
        connect_args={"options": f"-csearch_path={schema}", "connect_timeout": 10},
    )
    with engine.begin() as connection:
        connection.exec_driver_sql(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
    return engine


def _sqlite_connect(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun by us, below
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY", "cache_size=-8192"):
        connection.execute(f"PRAGMA {pragma}")


def _sqlite_begin(connection: PoolProxiedConnection) -> None:
    # Taking the write lock first keeps a read-then-write transaction from failing half-way.
    connection.cursor().execute("BEGIN IMMEDIATE" if connection.info.pop(WRITES, True) else "BEGIN")
