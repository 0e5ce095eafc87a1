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

from sqlalchemy import DateTime, Dialect, Engine, MetaData, TypeDecorator, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DataError, DBAPIError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.schema import CreateSchema

from services.kit.errors import Exhausted, Invalid, Refused, Unavailable
from services.kit.storage.recall import NOTHING, Recall

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")
ATTEMPTS = 12
LOCKED_SECONDS = 10  # how long a transaction waits for another process to let go of a SQLite file
LOCKED_IN_ALL = 20.0  # as OUTAGE_SECONDS, of a call that waits for it again and again
OUTAGE_SECONDS = 5.0  # so long a call waits for a server that went away; afterwards calls fail at once until it is back
WRITES = "datamill writes"  # said of a connection before its next transaction; taken for granted when it is not
# Serialization failure, deadlock, lock not available; unique violation, which two writers that both saw no row meet.
RETRY_SQLSTATES = {"40001", "40P01", "55P03", "23505"}
OTHER_TABLES = {"42P01", "42703", "3F000"}  # no such table, column, schema
FORBIDDEN = {"42501", "25006"}  # no privilege; a server that takes no writes


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

    url: `sqlite:////path/file.db`, or `postgresql://…?schema=pfs` (the schema is made when missing).
    Raises Unavailable when the server cannot be reached.
    """

    def __init__(self, url: str, *, readers: int = 4) -> None:
        self.url = url
        self.engine = _engine(url, pool=readers + 2)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        # SQLite has one writer: one thread queues writes in order instead of letting them contend for the file lock.
        self._writers = ThreadPoolExecutor(1 if self.is_sqlite else readers, thread_name_prefix="db-write")
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="db-read")
        self._after: list[Callable[[list[Any]], None]] = []
        self._recall = Recall(self._own_connection) if self.is_sqlite else None
        self._lost_at: float | None = None  # when the database was first found to be away; the monotonic clock

    def __enter__(self) -> "Database":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writers.shutdown(wait=True)
        self._readers.shutdown(wait=True)
        if self._recall is not None:
            self._recall.close()
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

    async def recall(self, work: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Like `read`, but what was answered before is answered again, at once, if nobody has committed anything since.

        Arguments are hashable; nobody changes the answer. Where the database does not tell, it is read every time.
        """
        version = None if self._recall is None else self._recall.version()
        if self._recall is None or version is None:
            return await self.read(work, *args, **kwargs)
        key = (work, args, *kwargs.items())
        kept = self._recall.get(key, version)
        if kept is NOTHING:
            kept = await self.read(work, *args, **kwargs)
            if self._recall.version() == version:
                self._recall.keep(key, version, kept)
        answer: T = kept
        return answer

    def _own_connection(self) -> sqlite3.Connection:
        """A connection beside the pool's, that waits for nobody."""
        where, options = self.engine.dialect.create_connect_args(self.engine.url)
        calm: dict[str, Any] = {**options, "timeout": 0, "check_same_thread": False, "isolation_level": None}
        connection: sqlite3.Connection = sqlite3.connect(str(where[0]), **calm)
        return connection

    def run_here(self, work: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Like `run`, on the calling thread, for code that already is on one. News waits for the relay's next look."""
        return self._attempt(True, work, *args, **kwargs)[0]

    def _attempt(
        self, write: bool, work: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> tuple[T, list[Any]]:
        attempt = 0
        while True:
            committing = False
            try:
                with self.engine.connect() as connection, Session(connection, expire_on_commit=False) as tx:
                    if not self.is_sqlite:
                        self._lost_at = None
                    connection.info[WRITES] = write
                    result = work(tx, *args, **kwargs)
                    if write:
                        committing = True
                        tx.commit()
                        self._lost_at = None
                    elif not self.is_sqlite:
                        # Only what is committed counts for PostgreSQL when it looks for changes that do not agree with
                        # what was read; and after a rollback the driver prepares every statement of old anew.
                        connection.commit()
                    return result, tx.info.get("news", [])
            except DBAPIError as error:
                attempt += 1
                if self._outage_passes(error):
                    time.sleep(0.1)
                elif attempt < ATTEMPTS and _may_repeat(error, committing):
                    time.sleep(random.uniform(0, 0.002 * 2 ** min(attempt, 8)))  # spreads writers that met
                else:
                    raise _translated(error) from error

    def _outage_passes(self, error: DBAPIError) -> bool:
        """Whether the server, or the lock on SQLite's file, could not be had, but waiting is still worth it."""
        if self.is_sqlite:
            away, patience = _is_locked(error), LOCKED_IN_ALL
        else:
            away, patience = not error.connection_invalidated and _is_unreachable(error), OUTAGE_SECONDS
        if not away:
            return False
        now = time.monotonic()
        if self._lost_at is None:
            self._lost_at = now
        return now - self._lost_at < patience


def _may_repeat(error: DBAPIError, committing: bool) -> bool:
    if error.connection_invalidated:
        return not committing  # it may have been committed; only the caller can find out
    return getattr(error.orig, "sqlstate", None) in RETRY_SQLSTATES


def _is_locked(error: DBAPIError) -> bool:
    """Somebody else writes to the file, or has it for himself."""
    text = str(error.orig)
    return isinstance(error.orig, sqlite3.OperationalError) and ("locked" in text or "busy" in text)


def _is_unreachable(error: DBAPIError) -> bool:
    """Nobody listens (no SQLSTATE then), or the server is just starting or stopping (57P03)."""
    return isinstance(error, OperationalError) and getattr(error.orig, "sqlstate", None) in {None, "57P03"}


def _translated(error: DBAPIError) -> Exception:
    said, state = str(error.orig), getattr(error.orig, "sqlstate", None)
    if "disk is full" in said or state == "53100":
        return Exhausted("the disk of the database is full: free some space and try again")
    if isinstance(error, DataError) and "NUL" in said:
        return Invalid("a text holds the character NUL, which no name or reference has")
    if state == "54000":  # an index of PostgreSQL holds entries of up to 2,700 bytes
        return Invalid("a name or key is too long for the database")
    if state in OTHER_TABLES or (state is None and said.startswith(("no such table", "no such column"))):
        log.error("the database has not the tables of this version: %s", said)
        return Refused(f"the database does not have the tables that this version of datamill needs: {_line(said)}")
    if state in FORBIDDEN or "readonly database" in said:
        log.error("database trouble: %s", said)
        return Refused(f"the database does not let datamill do what it must: {_line(said)}")
    if isinstance(error, OperationalError):
        log.error("database trouble: %s", said)
        return Unavailable("the database cannot be reached or is busy; try again")
    return error


def _line(said: str) -> str:
    return said.partition("\n")[0]


def _engine(url: str, *, pool: int) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(
            parsed, pool_size=pool, max_overflow=0, connect_args={"timeout": LOCKED_SECONDS, "check_same_thread": False}
        )
        event.listen(engine, "connect", _sqlite_connect)
        # Not the engine's event "begin": an engine with any event pays for all of them at every statement.
        setattr(engine.dialect, "do_begin", _sqlite_begin)  # noqa: B010
        return engine
    schema = str(parsed.query.get("schema", "public"))
    engine = create_engine(
        with_driver(parsed).difference_update_query(["schema"]),
        pool_size=pool,
        max_overflow=0,  # a connection that was cut shows at its first statement, and the transaction is repeated
        pool_use_lifo=True,  # the one used last has the statements prepared
        isolation_level="SERIALIZABLE",
        connect_args={"options": f"-csearch_path={schema}", "connect_timeout": 10, "prepare_threshold": 2},
    )
    try:
        with engine.begin() as connection:
            if not inspect(connection).has_schema(schema):  # asked first: who may not make one may still use it
                connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:it, 0))"), {"it": schema})
                connection.execute(CreateSchema(schema, if_not_exists=True))  # some other process may just have done
    except DBAPIError as error:
        engine.dispose()
        raise Unavailable(f"cannot use the database {parsed.render_as_string()}: {error.orig}") from error
    return engine


def with_driver(url: URL) -> URL:
    """`postgresql://` and `postgres://`, as everybody writes them, with the driver that is installed."""
    return url.set(drivername="postgresql+psycopg") if url.drivername in {"postgresql", "postgres"} else url


def _sqlite_connect(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun by us, below
    _keep_journal(connection)
    for pragma in ("synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY", "cache_size=-8192"):
        connection.execute(f"PRAGMA {pragma}")


def _keep_journal(connection: sqlite3.Connection) -> None:
    """Switch a new file to WAL. SQLite does not wait for another process that does the same: it is tried again."""
    end = time.monotonic() + LOCKED_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(random.uniform(0.005, 0.05))


def _sqlite_begin(connection: PoolProxiedConnection) -> None:
    # Taking the write lock first keeps a read-then-write transaction from failing half-way.
    connection.cursor().execute("BEGIN IMMEDIATE" if connection.info.pop(WRITES, True) else "BEGIN")
