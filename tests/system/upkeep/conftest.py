"""A PFS of its own for tests that collect, damage and kill."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from datamill.wire import upkeep_v1_pb2 as wire
from datamill.wire import upkeep_v1_pb2_grpc
from tests.support.postgres import Postgres
from tests.support.seaweed import Seaweed
from tests.support.servers import SERVICE_TOKEN, SERVING, Running, channel, running, service_command, settings, unique
from tests.support.upkeep import upkeep_of

AT_ONCE = timedelta(0)


@dataclass
class Alone:
    """One process and its folder; `store` is what lies in it."""

    process: Running
    channel: grpc.Channel
    root: Path

    @property
    def upkeep(self) -> upkeep_v1_pb2_grpc.UpkeepServiceStub:
        return upkeep_of(self.channel)

    @property
    def store(self) -> Path:
        return self.root / "pfs/store"

    def collect(self, hold: timedelta = AT_ONCE, *, dry_run: bool = False) -> wire.CollectGarbageReport:
        request = wire.CollectGarbageRequest(dry_run=dry_run)
        request.hold.FromTimedelta(hold)
        *_, last = self.upkeep.CollectGarbage(request, timeout=120)
        assert last.HasField("report")
        return last.report

    def states(self) -> set[tuple[str, str]]:
        """In which states packs of which kinds are, by the rows in SQLite."""
        with closing(sqlite3.connect(self.root / "pfs/pfs.db")) as db:
            return set(db.execute("SELECT kind, state FROM packs WHERE state != 'writing'"))

    def packs(self, kind: str = "packs") -> set[str]:
        """Names of the objects of a kind, "packs" or "index"."""
        return {path.name for path in (self.store / kind).glob("*/*") if path.is_file()}


@contextmanager
def pfs_alone(root: Path, nats_url: str, **more: str) -> Iterator[Alone]:
    """more: settings, by their names without PFS_."""
    env = settings("pfs", root, nats_url=nats_url, token=SERVICE_TOKEN) | {
        "PFS_REPLICA": "one",
        "PFS_GC_EVERY": "0s",
        **{f"PFS_{name}": value for name, value in more.items()},
    }
    with (
        running(service_command("pfs"), env=env, ready=SERVING) as process,
        channel(process[1]) as opened,
    ):
        yield Alone(process, opened, root)


@pytest.fixture
def alone(tmp_path: Path, nats_url: str) -> Iterator[Alone]:
    with pfs_alone(tmp_path, nats_url) as found:
        yield found


@pytest.fixture
def in_cluster(tmp_path: Path, nats_url: str, postgres: Postgres, seaweed: Seaweed) -> Iterator[tuple[Alone, Alone]]:
    """Two replicas over PostgreSQL and S3."""
    shared = {"PFS_DATABASE_URL": postgres.schema(unique("gc").replace("-", "_")), "PFS_GC_EVERY": "0s"}
    shared |= {"PFS_STORE": seaweed.url(unique("gc")), **seaweed.environment}
    with ExitStack() as up:
        found = []
        for name in ("one", "two"):
            env = (
                settings("pfs", tmp_path / name, nats_url=nats_url, token=SERVICE_TOKEN)
                | shared
                | {"PFS_REPLICA": name}
            )
            process = up.enter_context(running(service_command("pfs"), env=env, ready=SERVING))
            found.append(Alone(process, up.enter_context(channel(process[1])), tmp_path / name))
        yield found[0], found[1]
