"""PFS, PPS and Jobs without workers: PPS starts /bin/false in their place, and the tests do the work."""

import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire.pfs_v2_pb2_grpc import APIStub as PfsStub
from tests.support.postgres import Postgres
from tests.support.servers import (
    SERVING,
    Running,
    channel,
    free_port,
    nats_command,
    running,
    service_command,
    settings,
    unique,
)
from tests.system.jobs.hands import Bench, repo

SECOND = {"other": "jobs", "other-pps": "pps"}


@dataclass
class Instance:
    """The processes; each can be killed and started again at the same address, on the same data.

    "other" is a second replica of "jobs", "other-pps" one of "pps"; they run when a test starts them.
    """

    root: Path
    token: str
    at: dict[str, str]
    nats_port: int
    up: dict[str, tuple[ExitStack, Running]]
    postgres: Postgres | None = None  # else SQLite
    seal_logs_after: str = "3600s"  # what is stored is only what a test has made
    keep_sealed_logs: str = "0s"
    keep_log_bytes: int = 1 << 30
    more: Mapping[str, str] = field(default_factory=dict)  # other settings

    def start(self, name: str) -> None:
        stack = ExitStack()
        if name == "nats":
            command, env, ready = nats_command(self.root / "nats", self.nats_port), {}, r"Server is ready"
        else:
            service = SECOND.get(name, name)
            command, ready = service_command(service), SERVING
            nats_url = f"nats://127.0.0.1:{self.nats_port}"
            env = settings(service, self.root, nats_url=nats_url, token=self.token, listen=self.at[name])
            env |= {
                "JOBS_PFS": self.at["pfs"],
                "JOBS_PPS": self.at["pps"],
                "JOBS_REPLICA": name,
                "JOBS_SEAL_LOGS_AFTER": self.seal_logs_after,
                "JOBS_KEEP_SEALED_LOGS": self.keep_sealed_logs,
                "JOBS_KEEP_LOG_BYTES": str(self.keep_log_bytes),
                "PPS_PFS": self.at["pfs"],
                "PPS_JOBS": self.at["jobs"],
                "PPS_RUNTIME_DIR": str(self.root / name / "runtime"),
                "PPS_REPLICA": name,
                "PPS_WORKER_PYTHON": "/bin/false",
                "PFS_URL_FOLDERS": str(self.outside),
            }
            env |= self.more
            if self.postgres is not None:
                env[f"{service.upper()}_DATABASE_URL"] = self.postgres.schema(f"{self.root.name}-{service}")
        self.up[name] = stack, stack.enter_context(running(command, env=env, ready=ready))

    def kill(self, name: str) -> None:
        stack, process = self.up.pop(name)
        process.kill()
        stack.close()

    @contextmanager
    def hanging(self, name: str) -> Iterator[None]:
        """A process that does nothing during the block, but is there."""
        process = self.up[name][1]
        process.kill(signal.SIGSTOP)
        try:
            yield
        finally:
            process.kill(signal.SIGCONT)

    def restart(self, name: str) -> None:
        self.kill(name)
        self.start(name)

    @property
    def outside(self) -> Path:
        """A folder that callers may name in URLs."""
        folder = self.root / "outside"
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def jobs_database(self) -> str:
        """Its address."""
        if self.postgres is not None:
            return self.postgres.schema(f"{self.root.name}-jobs")
        return f"sqlite:///{self.root / 'jobs/jobs.db'}"

    def log(self, name: str) -> str:
        return self.up[name][1].log

    def stop(self) -> None:
        for name in list(self.up)[::-1]:
            self.up.pop(name)[0].close()


@pytest.fixture(scope="module")
def instance(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, service_token: str
) -> Iterator[Instance]:
    """Over SQLite, or over the server whose fixture a module names: `parametrize("instance", …, indirect=True)`."""
    server = getattr(request, "param", "sqlite")
    postgres: Postgres | None = None if server == "sqlite" else request.getfixturevalue(server)
    at = {name: f"127.0.0.1:{free_port()}" for name in ("pfs", "jobs", "pps", "other")}
    found = Instance(tmp_path_factory.mktemp("jobs"), service_token, at, free_port(), {}, postgres)
    try:
        for name in ("nats", "pfs", "jobs", "pps"):
            found.start(name)
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="module")
def channels(instance: Instance) -> Iterator[dict[str, grpc.Channel]]:
    with ExitStack() as stack:
        made = {name: stack.enter_context(channel(instance.at[name])) for name in instance.up if name != "nats"}
        for one in made.values():
            grpc.channel_ready_future(one).result(120)
        yield made


@pytest.fixture
def bench(instance: Instance, channels: dict[str, grpc.Channel]) -> Bench:
    """A repo and a name for a pipeline, new for each test."""
    made = Bench(channels["pfs"], channels["pps"], channels["jobs"], instance.token, unique("p"), unique("in"))
    PfsStub(channels["pfs"]).CreateRepo(pfs.CreateRepoRequest(repo=repo(made.source)))
    return made
