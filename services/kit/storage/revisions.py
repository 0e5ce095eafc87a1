"""Taking a database of an earlier release to the tables of this one, by Alembic; and writing a revision.

Each service keeps its revisions in `storage/migrations/versions/`, one after the other: `NUMBER_NAME.py`.
`make migration SERVICE=pfs NAME=…` writes one from the difference between the tables in the code and those of all
revisions so far. Elsewhere: when a database is taken through them (migrations.py).
"""

import importlib
import sys
from pathlib import Path

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, create_engine
from sqlalchemy.engine import Connection

from services.kit.storage import leases, outbox  # noqa: F401 - tables that every service has
from services.kit.storage.database import KitBase
from services.kit.storage.tables import tables_of


def upgrade(connection: Connection, folder: Path) -> None:
    """Take a database through all the revisions that it has not seen, inside the caller's transaction."""
    _upgrade(connection, _script(folder))


def _script(folder: Path) -> ScriptDirectory:
    return ScriptDirectory(str(folder), version_locations=[str(folder / "versions")])


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
    script = _script(folder)
    number = len(list(script.walk_revisions())) + 1
    with create_engine("sqlite://").connect() as connection, connection.begin():
        if number > 1:
            _upgrade(connection, script)
        context = MigrationContext.configure(
            connection, opts={"render_as_batch": True, "target_metadata": list(metadata)}
        )
        changes = produce_migrations(context, list(metadata)).upgrade_ops  # type: ignore[arg-type]  # takes several too
        assert changes is not None
        body = render_python_code(changes, render_as_batch=True, migration_context=context)
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


if __name__ == "__main__":
    storage, name = sys.argv[1:3]
    folder = Path(importlib.import_module(storage).__path__[0]) / "migrations"
    print(write_revision(folder, KitBase.metadata, tables_of(storage), name=name))
