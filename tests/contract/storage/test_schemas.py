"""A service's tables are the same whether a database is made at once or comes through all the revisions."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, Table, inspect

from services.kit.storage.database import Database, KitBase
from services.kit.storage.migrations import migrate
from services.kit.storage.revisions import write_revision
from services.kit.storage.tables import tables_of
from tests.support.postgres import Postgres
from tests.support.servers import ROOT

Tables = dict[str, Any]


@pytest.fixture(params=["sqlite", "postgresql"])
def two(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Two empty databases."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/one.db", f"sqlite:///{tmp_path}/two.db"
    server: Postgres = request.getfixturevalue("postgres")
    return server.schema(), server.schema()


def _described(engine: Engine) -> Tables:
    """Every table with its columns, keys and indexes, as the database itself tells them."""
    found = inspect(engine)
    schema = found.default_schema_name
    parts: dict[str, Any] = {
        "columns": found.get_multi_columns(),
        "key": found.get_multi_pk_constraint(),
        "references": found.get_multi_foreign_keys(),
        "indexes": found.get_multi_indexes(),
        "unique": found.get_multi_unique_constraints(),
        "checks": found.get_multi_check_constraints(),
    }
    return {
        f"{name} {part}": _plain(told, schema) for part, tables in parts.items() for (_, name), told in tables.items()
    }


def _plain(told: Any, schema: str | None) -> Any:
    """In an order of its own, without the name of the schema, which the two do not share."""
    if isinstance(told, list):
        return sorted((_plain(each, schema) for each in told), key=repr)
    if isinstance(told, dict):
        return {key: _plain(each, schema) for key, each in told.items()}
    return str(told).replace(str(schema), "SCHEMA")


@pytest.mark.parametrize("service", ["pfs", "pps", "jobs"])
def test_new_databases_have_what_the_revisions_make(two: tuple[str, str], service: str) -> None:
    folder, tables = ROOT / f"services/{service}/storage/migrations", tables_of(f"services.{service}.storage")
    with Database(two[0]) as new, Database(two[1]) as old:
        migrate(new, folder, tables)
        migrate(old, folder)  # not told of any tables, it goes through the revisions
        described = _described(new.engine)
        assert len(described) > 20
        assert described == _described(old.engine)
        migrate(new, folder, tables)
        migrate(old, folder, tables)


def test_a_database_made_at_once_goes_through_later_revisions(two: tuple[str, str], tmp_path: Path) -> None:
    """As one does that was new in one release, when the next one starts on it."""
    folder, first, second = tmp_path / "migrations", MetaData(), MetaData()
    Table("projects", first, Column("number", Integer, primary_key=True))
    Table("projects", second, Column("number", Integer, primary_key=True), Column("rank", Integer))
    write_revision(folder, KitBase.metadata, first, name="start")
    with Database(two[0]) as db:
        migrate(db, folder, first)
        write_revision(folder, KitBase.metadata, second, name="rank")
        migrate(db, folder, second)
        assert {column["name"] for column in inspect(db.engine).get_columns("projects")} == {"number", "rank"}
