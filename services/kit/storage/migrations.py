"""Bringing a service's database to the schema of its code, and refusing one that is not what this code can work with.

Processes that start together take turns: the first brings the database up, the others find it done. A new database
gets the tables of the code at once, as the revisions of all releases would make them (a test compares the two); so a
revision changes tables, and what must stand in them is written by the service itself.
Elsewhere: taking an older database through the revisions, and writing them (revisions.py).
"""

import logging
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import Column, MetaData, PrimaryKeyConstraint, String, Table, inspect, select, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from services.kit.errors import Unavailable
from services.kit.storage.database import Database, KitBase
from services.kit.storage.leases import LeaseRow
from services.kit.storage.outbox import OutboxRow

log = logging.getLogger(__name__)
LOCKS = int.from_bytes(b"dmil")  # the kind of advisory lock, apart from those of other programs
KIT_TABLES = (LeaseRow, OutboxRow)  # named so that KitBase knows them wherever a database or a revision is made
# As Alembic has it: the one row says which revision the tables are those of.
STAMP = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


class WrongSchema(Exception):
    """The database is not one that this code can work with; the sentence says what is wrong with it."""


class NewerSchema(WrongSchema):
    """The database was written by a newer datamill."""

    def __init__(self, url: str, found: str) -> None:
        super().__init__(
            f"the database {url} has schema revision {found}, which this version of datamill does not know: "
            "it was used by a newer version, or by another program; "
            "run that version, or restore a backup made before the upgrade"
        )


class ForeignSchema(WrongSchema):
    """The database holds tables that are not this service's, or that are not as this version has them."""

    def __init__(self, url: str, trouble: str) -> None:
        super().__init__(
            f"the database {url} is not one that this version of datamill can use: {trouble}; "
            "it may belong to another service or program, or to another version; give this service one of its own"
        )


def migrate(db: Database, folder: Path, *tables: MetaData) -> None:
    """Bring `db` up to the newest revision in `folder` (one that holds `versions/`).

    tables: what the service expects to find afterwards, besides the tables of the kit.
    Raises NewerSchema, ForeignSchema, Unavailable.
    """
    known = sorted(path.name.partition("_")[0] for path in (folder / "versions").glob("[0-9]*_*.py"))
    url = db.engine.url.render_as_string(hide_password=True)
    # What the others did must be visible once the lock is there: a serializable transaction would not see it.
    options = {} if db.is_sqlite else {"isolation_level": "READ COMMITTED"}
    try:
        with db.engine.connect().execution_options(**options) as connection, connection.begin():
            if not db.is_sqlite:  # there the transaction itself is the lock
                _take_turns(connection)
            current = _current(connection)
            _check_before(connection, current, known, url, tables)
            if current is None and tables:
                _make(connection, known[-1], tables)
            elif current != known[-1]:
                # Only then: Alembic takes longer to import than all else that a start does.
                from services.kit.storage.revisions import upgrade  # noqa: PLC0415

                upgrade(connection, folder)
            if missing := _missing(connection, (*tables, KitBase.metadata)):
                raise ForeignSchema(url, f"it lacks {', '.join(missing)}")
    except DBAPIError as error:
        raise Unavailable(f"cannot use the database {url}: {error.orig}") from error


def _current(connection: Connection) -> str | None:
    """The revision that the database says it has; None: none yet."""
    if not inspect(connection).has_table(STAMP.name):
        return None
    return connection.scalar(select(STAMP.c.version_num))


def _check_before(
    connection: Connection, current: str | None, known: list[str], url: str, tables: Iterable[MetaData]
) -> None:
    if current is not None and current not in known:
        raise NewerSchema(url, current)
    ours = {name for metadata in (KitBase.metadata, *tables) for name in metadata.tables}
    if current is None and (taken := sorted(ours & set(inspect(connection).get_table_names()))):
        raise ForeignSchema(url, f"it has tables that datamill did not make ({', '.join(taken)})")


def _make(connection: Connection, newest: str, tables: Iterable[MetaData]) -> None:
    """Everything at once, in a database that has nothing yet, but maybe an empty table of the stamp."""
    for metadata in (KitBase.metadata, *tables):
        metadata.create_all(connection, checkfirst=False)
    STAMP.create(connection, checkfirst=True)
    connection.execute(STAMP.insert().values(version_num=newest))


def _take_turns(connection: Connection) -> None:
    """Hold, until the transaction ends, the lock that all processes on this schema take before they change it."""
    key = f"{LOCKS}, hashtext(current_schema())"
    if not connection.scalar(text(f"SELECT pg_try_advisory_xact_lock({key})")):
        log.info("another process brings the database up; waiting for it")
        connection.execute(text(f"SELECT pg_advisory_xact_lock({key})"))


def _missing(connection: Connection, expected: Iterable[MetaData]) -> list[str]:
    """Tables and columns that should be there and are not."""
    found = {name: columns for (_, name), columns in inspect(connection).get_multi_columns().items()}
    missing = list[str]()
    for metadata in expected:
        for name, table in metadata.tables.items():
            if name not in found:
                missing.append(f"the table {name}")
                continue
            there = {column["name"] for column in found[name]}
            missing += [f"the column {name}.{column.name}" for column in table.columns if column.name not in there]
    return missing
