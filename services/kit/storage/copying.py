"""A service's database as a file of SQLite, taken at one moment while it works, and made again from such a file.

The file is the same whether the database is SQLite or PostgreSQL, so that a copy of one can become the other. Numbers
that databases give out go on where they were. Elsewhere: objects (objects/copying.py); what a backup is (deploy/local).
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Column, MetaData, Table, func, insert, inspect, select, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from services.kit.errors import Corrupt, Refused, Unavailable
from services.kit.storage.database import Database, KitBase
from services.kit.storage.migrations import migrate
from services.kit.storage.tables import tables_of

A_BATCH = 1000


@dataclass(frozen=True)
class Schema:
    """What a service's database is made of. storage: its package, such as "services.pfs.storage"."""

    storage: str
    migrations: Path

    @property
    def metadata(self) -> MetaData:
        return tables_of(self.storage)

    @property
    def tables(self) -> list[Table]:
        """All of them, those that others refer to first."""
        return [*KitBase.metadata.sorted_tables, *self.metadata.sorted_tables]


def take(url: str, schema: Schema, target: Path) -> None:
    """Copy a database into a new file, as it is at one moment; writers go on. Raises Unavailable, Refused, Corrupt."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with Database(url) as db:
        if db.is_sqlite:
            _online_copy(Path(str(db.engine.url.database)), target)
            return
        with Database(f"sqlite:///{target}") as new:
            migrate(new, schema.migrations, schema.metadata)
            try:
                _taken(db, new, schema)
            except DBAPIError as error:
                raise Unavailable(f"the database went away while it was copied: {error.orig}") from error
    _settled(target)


def give(source: Path, url: str, schema: Schema) -> None:
    """Make a database from such a file; there must be none yet. Raises Refused, Unavailable, Corrupt."""
    with Database(f"sqlite:///{source}") as old, Database(url) as db:
        migrate(old, schema.migrations, schema.metadata)  # it may have been taken by an earlier release
        migrate(db, schema.migrations, schema.metadata)
        try:
            with _reading(old) as reading, db.engine.connect() as writing:
                _unchecked(db, writing)
                with writing.begin():
                    _refuse_full(writing, schema)
                    _copied(reading, writing, schema)
        except DBAPIError as error:
            raise Unavailable(f"the database cannot be filled: {error.orig}") from error


def facts(url: str, statement: str) -> list[tuple[Any, ...]]:
    """The answer to a question. Raises Unavailable."""
    with Database(url) as db:
        return db.run_here(lambda tx: [tuple(row) for row in tx.execute(text(statement))])


def drop(url: str, schema: Schema) -> None:
    """Take away the tables that `give` has made. Raises Unavailable."""
    with Database(url) as db, db.engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
        for table in reversed(schema.tables):
            table.drop(connection, checkfirst=True)


def tables_there(url: str) -> list[str]:
    """The tables of a database. Raises Unavailable."""
    with Database(url) as db, db.engine.connect() as connection:
        return inspect(connection).get_table_names()


def _online_copy(source: Path, target: Path) -> None:
    """SQLite does it by itself."""
    with closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
    _settled(target)


def _settled(path: Path) -> None:
    """One file without a journal beside it, whole. Raises Corrupt."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=DELETE")
        (verdict,) = db.execute("PRAGMA quick_check").fetchone()
        if verdict != "ok" or db.execute("PRAGMA foreign_key_check").fetchone() is not None:
            raise Corrupt(f"the copy {path} of a database is damaged: {verdict}")


def _taken(db: Database, new: Database, schema: Schema) -> None:
    with _reading(db) as reading, new.engine.connect() as writing:
        _unchecked(new, writing)
        with writing.begin():
            mine, theirs = _revision(writing), _revision(reading)
            if mine != theirs:
                raise Refused(f"the database has schema revision {theirs}, this release {mine}: start it with this one")
            _copied(reading, writing, schema)


def _copied(reading: Connection, writing: Connection, schema: Schema) -> None:
    for table in schema.tables:
        _insert(writing, table, _rows(reading, table))
        _check_count(reading, writing, table)
        _go_on_from(writing, table, _last_number(reading, table))


def _reading(db: Database) -> Connection:
    """A connection that sees one moment of the database, however long it takes."""
    connection = db.engine.connect()
    if not db.is_sqlite:
        connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return connection


def _rows(reading: Connection, table: Table) -> Iterator[Sequence[Any]]:
    ordered = select(table).order_by(*table.primary_key.columns)
    with reading.execution_options(yield_per=A_BATCH).execute(ordered) as found:
        yield from found.partitions()


def _unchecked(db: Database, writing: Connection) -> None:
    """Rows refer to rows that come later; all is checked in the end."""
    if db.is_sqlite:
        cast("sqlite3.Connection", writing.connection.driver_connection).execute("PRAGMA foreign_keys=OFF")


def _insert(writing: Connection, table: Table, batches: Iterable[Sequence[Any]]) -> None:
    if writing.dialect.name == "sqlite":
        for some in batches:
            writing.execute(insert(table), [row._asdict() for row in some])
        return
    names = ", ".join(writing.dialect.identifier_preparer.format_column(column) for column in table.columns)
    encode = [_encoder(column, writing) for column in table.columns]
    cursor = cast("Any", writing.connection.cursor())  # of psycopg
    # One statement a table: references within it are checked when it ends.
    with cursor.copy(f"COPY {writing.dialect.identifier_preparer.format_table(table)} ({names}) FROM STDIN") as copy:
        for some in batches:
            for row in some:
                copy.write_row([one(value) for one, value in zip(encode, row, strict=True)])


def _encoder(column: Column[Any], writing: Connection) -> Any:
    found = column.type.dialect_impl(writing.dialect).bind_processor(writing.dialect)
    return found if found is not None else lambda value: value


def _check_count(reading: Connection, writing: Connection, table: Table) -> None:
    count = select(func.count()).select_from(table)
    there, here = reading.scalar(count), writing.scalar(count)
    if there != here:
        raise Corrupt(f"table {table.name}: {there} rows were read and {here} written")


def _refuse_full(writing: Connection, schema: Schema) -> None:
    for table in schema.tables:
        if writing.execute(select(table).limit(1)).first() is not None:
            raise Refused(f"the database holds rows already ({table.name}): restore into an empty one")


def _numbered(table: Table) -> Column[Any] | None:
    """The column that the database numbers by itself."""
    return table.autoincrement_column


def _last_number(reading: Connection, table: Table) -> int:
    """The highest number that the table ever gave; 0 for none."""
    column = _numbered(table)
    if column is None:
        return 0
    highest = reading.scalar(select(func.coalesce(func.max(column), 0))) or 0
    if reading.dialect.name == "sqlite":
        if inspect(reading).has_table("sqlite_sequence"):
            kept = reading.execute(text("SELECT seq FROM sqlite_sequence WHERE name = :name"), {"name": table.name})
            highest = max(highest, kept.scalar() or 0)
        return int(highest)
    sequence = _sequence(reading, table, column)
    if sequence:
        last, called = reading.execute(text(f"SELECT last_value, is_called FROM {sequence}")).one()
        highest = max(highest, last if called else 0)
    return int(highest)


def _go_on_from(writing: Connection, table: Table, number: int) -> None:
    column = _numbered(table)
    if column is None or not number:
        return
    if writing.dialect.name == "sqlite":
        if table.dialect_options["sqlite"]["autoincrement"]:
            writing.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), {"name": table.name})
            values = {"name": table.name, "number": number}
            writing.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :number)"), values)
        return
    if sequence := _sequence(writing, table, column):
        writing.execute(
            text("SELECT setval(CAST(:sequence AS regclass), :number)"), {"sequence": sequence, "number": number}
        )


def _sequence(connection: Connection, table: Table, column: Column[Any]) -> str | None:
    name = connection.dialect.identifier_preparer.format_table(table)
    asked = text("SELECT pg_get_serial_sequence(:table, :column)")
    found: str | None = connection.scalar(asked, {"table": name, "column": column.name})
    return found


def _revision(connection: Connection) -> str | None:
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found
