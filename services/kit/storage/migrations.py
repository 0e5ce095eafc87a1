"""Bringing a service's database to the schema of its code, and refusing one that newer code has already changed.

Each service keeps Alembic revisions in `storage/migrations/versions/`; `make migration SERVICE=pfs NAME=…` writes one
from the difference between the tables in the code and those of all revisions so far.
"""

import importlib
import pkgutil
import sys
from pathlib import Path

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, create_engine
from sqlalchemy.engine import Connection
from sqlalchemy.orm import DeclarativeBase

from services.kit.storage.database import Database, KitBase
from services.kit.storage.leases import LeaseRow
from services.kit.storage.outbox import OutboxRow

KIT_TABLES = (LeaseRow, OutboxRow)  # named so that KitBase knows them wherever a revision is written


class NewerSchema(Exception):
    """The database was written by a newer datamill."""

    def __init__(self, url: str, found: str) -> None:
        super().__init__(
            f"the database {url} has schema revision {found}, which this version of datamill does not know: "
            "it was used by a newer version; run that version, or restore a backup made before the upgrade"
        )


def migrate(db: Database, folder: Path) -> None:
    """Bring `db` up to the newest revision in `folder` (one that holds `versions/`). Raises NewerSchema."""
    script = ScriptDirectory(str(folder), version_locations=[str(folder / "versions")])
    with db.engine.connect() as connection, connection.begin():
        current = MigrationContext.configure(connection).get_current_revision()
        known = {revision.revision for revision in script.walk_revisions()}
        if current is not None and current not in known:
            raise NewerSchema(db.engine.url.render_as_string(hide_password=True), current)
        _upgrade(connection, script)


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


def _tables_of(storage: str) -> MetaData:
    """The tables of a service: `Base` of its `tables` module, after every module that may add to it is imported."""
    package = importlib.import_module(storage)
    for module in pkgutil.walk_packages(package.__path__, f"{storage}."):
        importlib.import_module(module.name)
    base: type[DeclarativeBase] = importlib.import_module(f"{storage}.tables").Base
    return base.metadata


if __name__ == "__main__":
    storage, name = sys.argv[1:3]
    folder = Path(importlib.import_module(storage).__path__[0]) / "migrations"
    print(write_revision(folder, KitBase.metadata, _tables_of(storage), name=name))
