"""Where an instance keeps things, for copying them: the database and the store of each service, by their addresses.

Elsewhere: choosing and remembering them (deploy/local/database.py, deploy/local/store.py).
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from deploy.local import database, store
from deploy.local.layout import CannotRun, Layout
from deploy.local.running.parts import ROOT
from services.kit.config import ConfigError
from services.kit.objects.opening import open_store
from services.kit.objects.port import Objects
from services.kit.storage.copying import Schema

DATABASES = ("jobs", "pps", "pfs")
"""In the order in which they are copied: what an earlier one refers to is in a later one."""
STORES = ("pfs", "jobs")
PROBE = "packs/probe"
KEPT_BY_PFS = "SELECT name, kind FROM packs WHERE state = 'live'"
KEPT_BY_JOBS = "SELECT name, kind FROM objects WHERE state = 'live'"


@dataclass(frozen=True)
class Places:
    """database_url: "" for files of SQLite; store_url: "" for folders."""

    layout: Layout
    database_url: str
    store_url: str

    @classmethod
    def kept(cls, layout: Layout) -> "Places":
        """Of the instance that lives on a data directory."""
        return cls(layout, database.kept(layout), store.kept(layout))

    def file(self, name: str) -> Path:
        """Where SQLite has a service's database."""
        return self.layout.data_dir / name / f"{name}.db"

    def database(self, name: str) -> str:
        return database.of_service(name, self.database_url) if self.database_url else f"sqlite:///{self.file(name)}"

    def store(self, name: str) -> str:
        return store.of_service(self.layout, name, self.store_url)

    def objects(self, name: str) -> Objects:
        """A service's store. Raises CannotRun, Unavailable."""
        try:
            return open_store(self.store(name))
        except ConfigError as mistake:
            raise CannotRun(str(mistake)) from mistake


def schema(name: str) -> Schema:
    """What a service's database is made of."""
    return Schema(f"services.{name}.storage", ROOT / "services" / name / "storage" / "migrations")


def forget_processes(name: str, snapshot: Path) -> None:
    """Nothing that runs now will be there when this file is a database again: nobody is to wait for it."""
    with closing(sqlite3.connect(snapshot)) as db, db:
        db.execute("DELETE FROM leases")
        if name == "pfs":
            db.execute("DELETE FROM sessions")


def keys(name: str, snapshot: Path) -> Iterator[str]:
    """The objects that a service's database refers to, as of a file of it."""
    with closing(sqlite3.connect(f"file:{snapshot}?mode=ro", uri=True)) as db:
        if name == "jobs":
            for text, kind in db.execute(KEPT_BY_JOBS):
                yield f"jobs/{kind}/{text[:2]}/{text}"
            return
        for raw, kind in db.execute(KEPT_BY_PFS):
            text = raw.hex()
            yield f"{'packs' if kind == 'content' else 'index'}/{text[:2]}/{text}"
    yield PROBE
