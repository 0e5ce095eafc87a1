"""Where PFS keeps its data in a measurement: SQLite and a folder, or PostgreSQL and S3. PFS is asked without a gateway.

Elsewhere: what is measured (table.py).
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import psutil
from minio import Minio

import datamill
from datamill.wire import content_v1_pb2_grpc as content_grpc
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pfs_v2_pb2_grpc as pfs_grpc
from datamill.wire import trees_v1_pb2_grpc as trees_grpc
from deploy.local.running.parts import FRUGAL
from tests.support.postgres import Postgres
from tests.support.seaweed import BUCKET, Seaweed
from tests.support.servers import SERVING, channel, nats_command, running, service_command, settings

FINISHED = pfs.CommitState.FINISHED
LOCAL, FAR = "SQLite + folder", "PostgreSQL + S3"


@dataclass(frozen=True)
class Place:
    """One running PFS. far: over S3."""

    name: str
    far: bool
    address: str
    pid: int
    channel: grpc.Channel
    client: datamill.Client
    pfs: Any
    content: Any
    trees: Any
    stored: Callable[[str], int]
    """How many bytes lie below a prefix of the store."""

    def repo(self, name: str) -> None:
        self.pfs.CreateRepo(pfs.CreateRepoRequest(repo=repo(name)))

    def start(self, name: str) -> pfs.Commit:
        started: pfs.Commit = self.pfs.StartCommit(pfs.StartCommitRequest(branch=branch(name)))
        return started

    def finish(self, commit: pfs.Commit) -> pfs.CommitInfo:
        """Close it, and wait until it is FINISHED."""
        self.pfs.FinishCommit(pfs.FinishCommitRequest(commit=commit))
        return self.wait(commit)

    def wait(self, commit: pfs.Commit) -> pfs.CommitInfo:
        info: pfs.CommitInfo = self.pfs.InspectCommit(pfs.InspectCommitRequest(commit=commit, wait=FINISHED))
        assert not info.error, info.error
        return info

    def forget_peak(self) -> None:
        """Let the peak of resident memory begin anew."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    @property
    def processor_seconds(self) -> float:
        """What PFS has used so far, of all cores."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    @property
    def peak_bytes(self) -> int:
        """The largest that PFS has been."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


def repo(name: str) -> pfs.Repo:
    return pfs.Repo(name=name, type="user", project=pfs.Project(name="default"))


def branch(name: str) -> pfs.Branch:
    return pfs.Branch(repo=repo(name), name="master")


def head(name: str) -> pfs.Commit:
    return pfs.Commit(branch=branch(name), repo=repo(name))


@contextmanager
def place(name: str, root: Path) -> Iterator[Place]:
    """Start PFS with what it needs below `root`, and stop it at the end."""
    with ExitStack() as up:
        nats = up.enter_context(running(nats_command(root / "nats"), ready=r"client connections on (\S+)"))
        env = settings("pfs", root, nats_url=f"nats://{nats[1]}", token="bench") | FRUGAL
        stored: Callable[[str], int] = partial(_in_folder, root / "pfs" / "store")
        if name == FAR:
            weed, postgres = Seaweed(root / "weed"), Postgres(root / "postgres")
            for server in (weed, postgres):
                server.start()
                up.callback(server.stop)
            env |= weed.environment | {"PFS_STORE": weed.url("pfs"), "PFS_DATABASE_URL": postgres.schema("pfs")}
            stored = partial(_on_s3, weed.client())
        found = up.enter_context(running(service_command("pfs"), env=env, ready=SERVING))
        open_channel = up.enter_context(channel(found[1]))
        client = up.enter_context(datamill.Client(f"grpc://{found[1]}"))
        yield Place(
            name, name == FAR, found[1], found.process.pid, open_channel, client, pfs_grpc.APIStub(open_channel),
            content_grpc.ContentServiceStub(open_channel), trees_grpc.TreeServiceStub(open_channel), stored,
        )  # fmt: skip


def _in_folder(store: Path, prefix: str) -> int:
    return sum((Path(at) / name).stat().st_size for at, _, names in os.walk(store / prefix) for name in names)


def _on_s3(store: Minio, prefix: str) -> int:
    return sum(each.size or 0 for each in store.list_objects(BUCKET, f"pfs/{prefix}/", recursive=True))
