"""Bringing a service's database to the schema of its code, and refusing one that is not what this code can work with.

Processes that start together take turns: the first brings the database up, the others find it done. Each service
keeps Alembic revisions in `storage/migrations/versions/`; `make migration SERVICE=pfs NAME=…` writes one from the
difference between the tables in the code and those of all revisions so far.
"""

import importlib
import logging
import pkgutil
import sys
from collections.abc import Iterable
from pathlib import Path

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, create_engine, inspect, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase

from services.kit.errors import Unavailable
from services.kit.storage.database import Database, KitBase
from services.kit.storage.leases import LeaseRow
from services.kit.storage.outbox import OutboxRow

log = logging.getLogger(__name__)
LOCKS = int.from_bytes(b"dmil")  # the kind of advisory lock, apart from those of other programs
KIT_TABLES = (LeaseRow, OutboxRow)  # named so that KitBase knows them wherever a revision is written


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
    script = ScriptDirectory(str(folder), version_locations=[str(folder / "versions")])
    url = db.engine.url.render_as_string(hide_password=True)
    # What the others did must be visible once the lock is there: a serializable transaction would not see it.
    options = {} if db.is_sqlite else {"isolation_level": "READ COMMITTED"}
    try:
        with db.engine.connect().execution_options(**options) as connection, connection.begin():
            if not db.is_sqlite:  # there the transaction itself is the lock
                _take_turns(connection)
            _check_before(connection, script, url, tables)
            _upgrade(connection, script)
            if missing := _missing(connection, (*tables, KitBase.metadata)):
                raise ForeignSchema(url, f"it lacks {', '.join(missing)}")
    except DBAPIError as error:
        raise Unavailable(f"cannot use the database {url}: {error.orig}") from error


def _check_before(connection: Connection, script: ScriptDirectory, url: str, tables: Iterable[MetaData]) -> None:
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in {revision.revision for revision in script.walk_revisions()}:
        raise NewerSchema(url, current)
    ours = {name for metadata in (KitBase.metadata, *tables) for name in metadata.tables}
    if current is None and (taken := sorted(ours & set(inspect(connection).get_table_names()))):
        raise ForeignSchema(url, f"it has tables that datamill did not make ({', '.join(taken)})")


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


def _upgrade(connection: Connection, script: ScriptDirectory) -> None:
    with EnvironmentContext(
        Config(), script, fn=lambda revision, _: script._upgrade_revs("head", revision), destination_rev="head"
    ) as environment:
        environment.configure(connection=connection, render_as_batch=True, transactional_ddl=True)
        environment.run_migrations()


def write_revision(folder: Path, *metadata: MetaData, name: str) -> Path:
    """Write the revision that takes all earlier ones to the tables in `metadata`, and return its file."""
    versions = folder / "versions"
    versions.mkdir(parents=True, exist_ok=True)
    script = ScriptDirectory(str(folder), version_locations=[str(versions)])
    number = len(list(script.walk_revisions())) + 1
    with create_engine("sqlite://").connect() as connection, connection.begin():
        if number > 1:
            _upgrade(connection, script)
        context = MigrationContext.configure(
            connection, opts={"render_as_batch": True, "target_metadata": list(metadata)}
        )
        upgrade = produce_migrations(context, list(metadata)).upgrade_ops  # type: ignore[arg-type]  # takes several too
        assert upgrade is not None
        body = render_python_code(upgrade, render_as_batch=True, migration_context=context)
    down = f'"{number - 1:04d}"' if number > 1 else "None"
    path = versions / f"{number:04d}_{name}.py"
    path.write_text(REVISION.format(title=name.replace("_", " "), revision=f"{number:04d}", down=down, body=body))
    return path


REVISION = '''"""Schema revision {revision}: {title}."""

import services.kit.storage.database
import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = {down}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the revision; there is no way back but a backup."""
    {body}
'''


def tables_of(storage: str) -> MetaData:
    """The tables of a service: `Base` of its `tables` module, after every module that may add to it is imported."""
    package = importlib.import_module(storage)
    for module in pkgutil.walk_packages(package.__path__, f"{storage}."):
        importlib.import_module(module.name)
    base: type[DeclarativeBase] = importlib.import_module(f"{storage}.tables").Base
    return base.metadata


if __name__ == "__main__":
    storage, name = sys.argv[1:3]
    folder = Path(importlib.import_module(storage).__path__[0]) / "migrations"
    print(write_revision(folder, KitBase.metadata, tables_of(storage), name=name))
