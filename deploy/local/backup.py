"""`datamill backup` and `restore`: an instance copied while it works, and made again elsewhere.

A backup is a folder: snapshots/<time>/ holds the databases as they were at one moment each, objects/ what they refer
to, and backup.json, written last, says which snapshot counts. Databases are taken in the order Jobs, PPS, PFS: what
an earlier one refers to is in a later one. Objects never change, so that the next backup copies only what is new; the
instance deletes none while one is made.
Not in it: streams of NATS (what they hold is made again from the databases), logs of processes, workers' scratch.
Elsewhere: why holding collections off is enough (docs/adr/0009).
"""

import hashlib
import json
import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc

from datamill.transport import Calls
from datamill.wire import upkeep_v1_pb2 as wire
from datamill.wire import upkeep_v1_pb2_grpc
from deploy.local import database, store
from deploy.local import layout as layouts
from deploy.local.layout import VERSION, CannotRun, Layout, write_whole

ROOT = Path(__file__).parents[2]
DATABASES = ("jobs", "pps", "pfs")  # in this order
FORMAT = 1
MANIFEST = "backup.json"
TTL, RENEW_SECONDS = timedelta(minutes=10), 60.0
PACKS = "SELECT name, kind FROM packs WHERE state IN ('live', 'moving')"


@dataclass
class Copied:
    """What a backup has copied, and what was there already."""

    objects: int = 0
    size_bytes: int = 0
    already: int = 0


def backup(data_dir: Path, target: Path) -> int:
    """Copy an instance into the folder `target`, which may hold an earlier backup of it. An exit code."""
    layout = layouts.resolve(data_dir)
    try:
        _check_source(layout)
        _check_target(target, layout)
        began = time.monotonic()
        with _held(layout):
            snapshot = target / "snapshots" / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
            for name in DATABASES:
                _copy_database(layout.data_dir / name / f"{name}.db", snapshot / f"{name}.db")
            copied, wanted = _copy_objects(layout, snapshot, target / "objects")
        os.sync()
        _publish(target, layout, snapshot)
        _prune(target, snapshot, wanted)
    except (CannotRun, grpc.RpcError, OSError, sqlite3.Error) as problem:
        text = problem.details() if isinstance(problem, grpc.RpcError) else str(problem)
        print(f"error: the backup is not complete: {text}", file=sys.stderr)
        return 1
    took = time.monotonic() - began
    print(
        f"backed up to {target}: {copied.objects} objects copied ({copied.size_bytes / 1e6:.1f} MB), "
        f"{copied.already} were there, {took:.1f} s"
    )
    return 0


def restore(source: Path, data_dir: Path) -> int:
    """Make a data directory out of a backup, and check everything in it. An exit code."""
    layout = layouts.resolve(data_dir)
    try:
        manifest = _manifest(source)
        if layout.data_dir.exists() and any(layout.data_dir.iterdir()):
            raise CannotRun(f"{layout.data_dir} is not empty: restore into a new directory")
        snapshot = source / "snapshots" / manifest["snapshot"]
        for name in DATABASES:
            if _digest(snapshot / f"{name}.db") != manifest["databases"][name]:
                raise CannotRun(f"the database {name} in {snapshot} is damaged")
        layouts.prepare(layout)
        for name in DATABASES:
            (layout.data_dir / name).mkdir(exist_ok=True)
            shutil.copyfile(snapshot / f"{name}.db", layout.data_dir / name / f"{name}.db")
        for folder, place in _places(layout):
            if (source / "objects" / folder).exists():
                shutil.copytree(source / "objects" / folder, place, dirs_exist_ok=True)
        os.sync()
        _verify(layout)
    except (CannotRun, OSError) as problem:
        print(f"error: the backup is not restored: {problem}", file=sys.stderr)
        return 1
    print(f"restored to {layout.data_dir}; start it with `datamill up --data-dir {layout.data_dir}`")
    return 0


def _check_source(layout: Layout) -> None:
    for choice, kept in (("PostgreSQL", database.kept(layout)), ("S3", store.kept(layout))):
        if kept:
            raise CannotRun(
                f"{layout.data_dir} keeps its data in {choice}, which `datamill backup` does not copy: "
                "use the tools of that server, the database's first and the store's after it"
            )
    for name in DATABASES:
        if not (layout.data_dir / name / f"{name}.db").exists():
            raise CannotRun(f"{layout.data_dir} holds no instance, or one that was never up")


def _check_target(target: Path, layout: Layout) -> None:
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not any(target.iterdir()):
        return
    if not (target / MANIFEST).exists():
        if {path.name for path in target.iterdir()} <= {"snapshots", "objects"}:
            return  # a first backup that was cut off
        raise CannotRun(f"{target} holds other things than a backup")
    if _manifest(target)["instance"] != _instance(layout):
        raise CannotRun(f"{target} holds the backup of another instance")


@contextmanager
def _held(layout: Layout) -> Iterator[None]:
    """Keep the instance from deleting anything; one that is down is kept from starting."""
    if layouts.holder(layout) is None:
        layout.run.mkdir(exist_ok=True)
        descriptor = layouts.lock(layout)
        try:
            yield
        finally:
            os.close(descriptor)
        return
    request = wire.HoldCollectionRequest(id=f"backup-{secrets.token_hex(8)}")
    request.ttl.FromTimedelta(TTL)
    ended = threading.Event()
    with Calls(layout.address_file.read_text().strip()) as calls:
        upkeep = upkeep_v1_pb2_grpc.UpkeepServiceStub(calls.channel)
        upkeep.HoldCollection(request, timeout=300)  # a collection that is going on ends first

        def renew() -> None:
            while not ended.wait(RENEW_SECONDS):
                upkeep.HoldCollection(request, timeout=300)

        renewing = threading.Thread(target=renew, daemon=True)
        renewing.start()
        try:
            yield
        finally:
            ended.set()
            upkeep.ReleaseCollection(wire.ReleaseCollectionRequest(id=request.id), timeout=60)


def _copy_database(source: Path, target: Path) -> None:
    """A consistent copy by SQLite itself; writers go on meanwhile."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
        new.execute("PRAGMA journal_mode=DELETE")
        (verdict,) = new.execute("PRAGMA quick_check").fetchone()
    if verdict != "ok":
        raise CannotRun(f"the database {source} is damaged: {verdict}")


def _copy_objects(layout: Layout, snapshot: Path, objects: Path) -> tuple[Copied, set[Path]]:
    copied, wanted = Copied(), set[Path]()
    for folder, place in _places(layout):
        keys = _keys(snapshot) if folder == "pfs" else _listed(place)
        for key in keys:
            goal = objects / folder / key
            wanted.add(goal)
            if goal.exists():  # objects never change, and a part is never seen under its own name
                copied.already += 1
                continue
            goal.parent.mkdir(parents=True, exist_ok=True)
            part = goal.with_name(f".{goal.name}.part")
            shutil.copyfile(place / key, part)
            copied.size_bytes += part.stat().st_size
            part.rename(goal)
            copied.objects += 1
    return copied, wanted


def _keys(snapshot: Path) -> Iterator[str]:
    """The objects that the snapshot of PFS refers to."""
    with closing(sqlite3.connect(snapshot / "pfs.db")) as pfs:
        for name, kind in pfs.execute(PACKS):
            text = name.hex()
            yield f"{'packs' if kind == 'content' else 'index'}/{text[:2]}/{text}"
    yield "packs/probe"


def _listed(place: Path) -> Iterator[str]:
    for folder, _, files in os.walk(place):
        relative = Path(folder).relative_to(place)
        if not any(part.startswith(".") for part in relative.parts):
            yield from (str(relative / name) for name in files if not name.startswith("."))


def _places(layout: Layout) -> list[tuple[str, Path]]:
    """The folders of objects: their names in a backup, and where the instance has them."""
    return [("pfs", layout.data_dir / "store"), ("jobs", layout.data_dir / "jobs" / "store")]


def _publish(target: Path, layout: Layout, snapshot: Path) -> None:
    manifest = {
        "format": FORMAT,
        "release": VERSION,
        "instance": _instance(layout),
        "made_at": datetime.now(UTC).isoformat(),
        "snapshot": snapshot.name,
        "databases": {name: _digest(snapshot / f"{name}.db") for name in DATABASES},
    }
    write_whole(target / MANIFEST, json.dumps(manifest, indent=2) + "\n")
    os.sync()


def _prune(target: Path, snapshot: Path, wanted: set[Path]) -> None:
    """Remove earlier snapshots, and what only they referred to."""
    for old in (target / "snapshots").iterdir():
        if old != snapshot:
            shutil.rmtree(old)
    for folder, _, files in os.walk(target / "objects"):
        for path in (Path(folder) / name for name in files):
            if path not in wanted:
                path.unlink()


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise CannotRun(f"{folder} holds no complete backup") from error
    if found.get("format") != FORMAT:
        raise CannotRun(f"{folder} was made by datamill {found.get('release')}, which this one cannot read")
    return found


def _instance(layout: Layout) -> str:
    """Which instance this is, as its own database says."""
    with closing(sqlite3.connect(f"file:{layout.data_dir / 'pfs' / 'pfs.db'}?mode=ro", uri=True)) as pfs:
        return "".join(value for (value,) in pfs.execute("SELECT value FROM instance ORDER BY name"))


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verify(layout: Layout) -> None:
    """Hold everything against its hashes. Raises CannotRun."""
    command = [sys.executable, "-P", "-m", "services.pfs.verify"]
    command += [f"sqlite:///{layout.data_dir / 'pfs' / 'pfs.db'}", (layout.data_dir / "store").as_uri()]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CannotRun(f"what was restored is damaged:\n{done.stdout}{done.stderr}")
