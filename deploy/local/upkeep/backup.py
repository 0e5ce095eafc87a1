"""`datamill backup`: an instance copied into a folder while it works.

Databases are taken at one moment each, in the order Jobs, PPS, PFS: what an earlier one refers to is in a later one.
They become files of SQLite whatever they are, and objects become files: it can be restored to another kind of server.
Objects never change, so the next backup copies only what is new; the instance deletes none while one is made.
Not in it: streams of NATS (what they hold is made again from the databases), logs of processes, workers' scratch.
Elsewhere: the folder (manifest.py); where things are kept (places.py); why holding collections off is enough
(docs/adr/0009).
"""

import os
import secrets
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc

from datamill.wire import upkeep_v1_pb2 as wire
from deploy.local import layout as layouts
from deploy.local.layout import CannotRun, Layout
from deploy.local.upkeep import manifest
from deploy.local.upkeep.calling import Upkeep, upkeep
from deploy.local.upkeep.places import DATABASES, STORES, Places, forget_processes, keys, schema
from services.kit.errors import Problem
from services.kit.objects import copying as objects
from services.kit.storage import copying as databases

TTL, RENEW_SECONDS, PATIENCE_SECONDS = timedelta(minutes=10), 60.0, 300.0


def backup(data_dir: Path, target: Path) -> int:
    """Copy an instance into the folder `target`, which may hold an earlier backup of it. An exit code."""
    layout = layouts.resolve(data_dir)
    places, began = Places.kept(layout), time.monotonic()
    try:
        _check_source(places)
        instance = _instance(places)
        manifest.check_target(target, instance)
        with _held(layout):
            snapshot = target / "snapshots" / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
            for name in DATABASES:
                databases.take(places.database(name), schema(name), snapshot / f"{name}.db")
                forget_processes(name, snapshot / f"{name}.db")
            copied, wanted = _copy_objects(places, snapshot, target / "objects")
        os.sync()
        digests = {name: manifest.digest(snapshot / f"{name}.db") for name in DATABASES}
        manifest.publish(target, manifest.Manifest(instance, snapshot.name, digests))
        manifest.prune(target, snapshot, wanted)
    except (CannotRun, Problem, grpc.RpcError, OSError, sqlite3.Error) as problem:
        text = problem.details() if isinstance(problem, grpc.RpcError) else str(problem)
        print(f"error: the backup is not complete: {text}", file=sys.stderr)
        return 1
    print(
        f"backed up to {target}: {copied.objects} objects copied ({copied.size_bytes / 1e6:.1f} MB), "
        f"{copied.already} were there, {time.monotonic() - began:.1f} s"
    )
    return 0


def _check_source(places: Places) -> None:
    held_here = places.database_url or all(places.file(name).exists() for name in DATABASES)
    if not held_here:
        raise CannotRun(f"{places.layout.data_dir} holds no instance, or one that was never up")


def _instance(places: Places) -> str:
    """Which instance this is, as its own database says."""
    rows = databases.facts(places.database("pfs"), "SELECT value FROM instance ORDER BY name")
    return "".join(value for (value,) in rows)


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
    with upkeep(layout.data_dir) as calls, _collections_held(calls):
        yield


@contextmanager
def _collections_held(calls: Upkeep) -> Iterator[None]:
    request = wire.HoldCollectionRequest(id=f"backup-{secrets.token_hex(8)}")
    request.ttl.FromTimedelta(TTL)
    ended, lost = threading.Event(), list[grpc.RpcError]()

    def hold() -> None:
        for service in (calls.pfs, calls.jobs):  # a collection that is going on ends first
            service.HoldCollection(request, metadata=calls.metadata, timeout=PATIENCE_SECONDS)

    def renew() -> None:
        since = time.monotonic()
        while not ended.wait(RENEW_SECONDS):
            try:
                hold()
                since = time.monotonic()
            except grpc.RpcError as error:  # a service that is started again is there in time for the next one
                if time.monotonic() - since > TTL.total_seconds() - 2 * RENEW_SECONDS:
                    lost.append(error)
                    return

    hold()
    renewing = threading.Thread(target=renew, daemon=True)
    renewing.start()
    try:
        yield
        if lost:
            raise lost[0]
    finally:
        ended.set()
        over = wire.ReleaseCollectionRequest(id=request.id)
        for service in (calls.pfs, calls.jobs):
            with suppress(grpc.RpcError):  # it ends by itself
                service.ReleaseCollection(over, metadata=calls.metadata, timeout=PATIENCE_SECONDS)


def _copy_objects(places: Places, snapshot: Path, folder: Path) -> tuple[objects.Copied, set[Path]]:
    copied, wanted = objects.Copied(), set[Path]()
    for name in STORES:
        needed = list(keys(name, snapshot / f"{name}.db"))
        some = objects.fetch(places.objects(name), needed, folder / name)
        copied.objects += some.objects
        copied.size_bytes += some.size_bytes
        copied.already += some.already
        wanted |= {folder / name / key for key in needed}
    return copied, wanted
