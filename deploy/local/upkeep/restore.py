"""`datamill restore`: a data directory, and what belongs to it elsewhere, made out of a backup and checked.

Objects go first and are checked against the databases of the backup; databases follow. So what fails in between has
made nothing that could be taken for an instance; what was cut off is known by a mark and is made anew.
Elsewhere: the folder of a backup (manifest.py); what databases and stores can be chosen (deploy/local/database.py,
deploy/local/store.py), which `up` remembers afterwards.
"""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

from deploy.local import database, store
from deploy.local import layout as layouts
from deploy.local.layout import CannotRun, Layout
from deploy.local.running.parts import ROOT
from deploy.local.upkeep import manifest
from deploy.local.upkeep.places import DATABASES, PROBE, STORES, Places, schema
from services.kit.errors import Problem
from services.kit.objects import copying as objects
from services.kit.storage import copying as databases


def restore(source: Path, data_dir: Path, *, database_url: str = "", store_url: str = "") -> int:
    """Make an instance out of a backup, of the kinds that are given, and check everything in it. An exit code."""
    layout = layouts.resolve(data_dir)
    try:
        snapshot = _snapshot(source)
        if layout.restoring_file.exists():
            _clear(layout)
        if layout.data_dir.exists() and any(layout.data_dir.iterdir()):
            raise CannotRun(f"{layout.data_dir} is not empty: restore into a new directory")
        places = _chosen(layout, database_url, store_url)
        try:
            _make(places, snapshot, source / "objects")
        except BaseException:
            _clear(layout)
            raise
    except (CannotRun, Problem, OSError, sqlite3.Error) as problem:
        print(f"error: the backup is not restored: {problem}", file=sys.stderr)
        return 1
    print(f"restored to {layout.data_dir}; start it with `datamill up --data-dir {layout.data_dir}`")
    return 0


def _make(places: Places, snapshot: Path, folder: Path) -> None:
    places.layout.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    places.layout.restoring_file.touch()
    layouts.prepare(places.layout)
    for name in DATABASES:
        places.file(name).parent.mkdir(exist_ok=True)
        shutil.copyfile(snapshot / f"{name}.db", places.file(name))
    for name in STORES:
        wanted = (key for key in objects.keys_in(folder / name) if key != PROBE)
        objects.bring(places.objects(name), wanted, folder / name)
    os.sync()
    for name in STORES:
        _verify(places, name)
    if places.database_url:
        _move_databases(places)
    objects.bring(places.objects("pfs"), [PROBE], folder / "pfs")  # by which a store is known to be somebody's
    database.keep(places.layout, places.database_url)
    store.keep(places.layout, places.store_url)
    os.sync()
    places.layout.restoring_file.unlink()


def _clear(layout: Layout) -> None:
    """Nothing that could be started must be left; the mark of a restore goes last."""
    for path in layout.data_dir.iterdir() if layout.data_dir.exists() else ():
        if path.is_dir():
            shutil.rmtree(path)
        elif path != layout.restoring_file:
            path.unlink()
    layout.restoring_file.unlink(missing_ok=True)


def _snapshot(source: Path) -> Path:
    found = manifest.read(source)
    snapshot = source / "snapshots" / found.snapshot
    for name in DATABASES:
        if manifest.digest(snapshot / f"{name}.db") != found.databases[name]:
            raise CannotRun(f"the database {name} in {snapshot} is damaged")
    return snapshot


def _chosen(layout: Layout, database_url: str, store_url: str) -> Places:
    """The servers that are to be used, which answer and hold no instance. Raises CannotRun."""
    places = Places(layout, database.choose(layout, database_url), store.choose(layout, store_url))
    trouble = database.check(places.database_url, ROOT) if places.database_url else None
    trouble = trouble or (store.check(places.store_url, ROOT) if places.store_url else None)
    if trouble:
        raise CannotRun(trouble)
    if places.database_url:
        for name in DATABASES:
            if databases.tables_there(places.database(name)):
                raise CannotRun(
                    f"{database.shown(places.database(name))} holds tables already: "
                    "choose another database, or another schema with `?schema=NAME`"
                )
    if places.store_url and places.objects("pfs").size(PROBE) is not None:
        raise CannotRun(f"{places.store_url} holds an instance already: choose another prefix")
    return places


def _verify(places: Places, name: str) -> None:
    """Hold all that a service refers to against its hashes. Raises CannotRun."""
    command = [sys.executable, "-P", "-m", f"services.{name}.verify"]
    command += [f"sqlite:///{places.file(name)}", places.store(name)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotRun(f"what was restored is damaged:\n{done.stdout}{done.stderr}")


def _move_databases(places: Places) -> None:
    """Into the server; nothing of them stays in the data directory."""
    try:
        for name in DATABASES:
            databases.give(places.file(name), places.database(name), schema(name))
    except BaseException:
        for name in DATABASES:
            databases.drop(places.database(name), schema(name))
        raise
    for name in DATABASES:
        for file in places.file(name).parent.glob(f"{name}.db*"):
            file.unlink()
