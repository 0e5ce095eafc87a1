"""A PFS of its own for tests that collect, damage and kill."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from datamill.wire import upkeep_v1_pb2 as wire
from datamill.wire import upkeep_v1_pb2_grpc
from tests.support.servers import (
    SERVING,
    Running,
    channel,
    running,
    service_command,
    settings,
)

AT_ONCE = timedelta(0)


@dataclass
class Alone:
    """One process and its folder; `store` is what lies in it."""

    process: Running
    channel: grpc.Channel
    root: Path

    @property
    def upkeep(self) -> upkeep_v1_pb2_grpc.UpkeepServiceStub:
        return upkeep_v1_pb2_grpc.UpkeepServiceStub(self.channel)

    @property
    def store(self) -> Path:
        return self.root / "pfs/store"

    def collect(self, hold: timedelta = AT_ONCE, *, dry_run: bool = False) -> wire.CollectGarbageReport:
        request = wire.CollectGarbageRequest(dry_run=dry_run)
        request.hold.FromTimedelta(hold)
        *_, last = self.upkeep.CollectGarbage(request, timeout=120)
        assert last.HasField("report")
        return last.report

    def packs(self, kind: str = "packs") -> set[str]:
        """Names of the objects of a kind, "packs" or "index"."""
        return {path.name for path in (self.store / kind).glob("*/*") if path.is_file()}


@contextmanager
def pfs_alone(root: Path, nats_url: str) -> Iterator[Alone]:
    env = settings("pfs", root, nats_url=nats_url, token="t") | {
        "PFS_REPLICA": "one",
        "PFS_GC_EVERY": "0s",
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
