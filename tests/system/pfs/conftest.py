"""PFS as a laptop has it and as a cluster has it: every test runs on both. And two repos of a test's own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import grpc
import pytest

from tests.support.postgres import Postgres
from tests.support.seaweed import Seaweed
from tests.support.servers import SERVING, channel, free_port, nats_command, running, service_command, settings
from tests.system.pfs.driver import Repo

LAPTOP, CLUSTER = "sqlite-folder", "postgresql-s3"


@dataclass(frozen=True)
class Served:
    """A PFS process. http_port: where it offers files over HTTP."""

    channel: grpc.Channel
    http_port: int


@pytest.fixture(scope="session")
def pfs_of_kind(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, service_token: str
) -> Iterator[Callable[[str], Served]]:
    """The PFS of a kind, started by the first test that wants it; it stays up while tests go from kind to kind."""
    found: dict[str, Served] = {}
    with ExitStack() as up:

        def of_kind(kind: str) -> Served:
            if kind not in found:
                folder, port = tmp_path_factory.mktemp(kind), free_port()
                nats = up.enter_context(running(nats_command(folder / "nats"), ready=r"client connections on (\S+)"))
                env = settings("pfs", folder, nats_url=f"nats://{nats[1]}", token=service_token)
                env |= {"PFS_HTTP_LISTEN": f"127.0.0.1:{port}", "PFS_HTTP_ORIGINS": "https://app.example.org"}
                if kind == CLUSTER:
                    postgres: Postgres = request.getfixturevalue("postgres")
                    seaweed: Seaweed = request.getfixturevalue("seaweed")
                    env |= {"PFS_DATABASE_URL": postgres.schema("pfs"), "PFS_STORE": seaweed.url("pfs")}
                    env |= seaweed.environment
                process = up.enter_context(running(service_command("pfs"), env=env, ready=SERVING))
                found[kind] = Served(up.enter_context(channel(process[1])), port)
            return found[kind]

        yield of_kind


@pytest.fixture(scope="session", params=[LAPTOP, CLUSTER])
def served(request: pytest.FixtureRequest, pfs_of_kind: Callable[[str], Served]) -> Served:
    """The PFS process that the tests of one run share."""
    return pfs_of_kind(request.param)


@pytest.fixture(scope="session")
def pfs_channel(served: Served) -> grpc.Channel:
    return served.channel


@pytest.fixture(scope="session")
def http_port(served: Served) -> int:
    return served.http_port


@pytest.fixture
def a(pfs_channel: grpc.Channel) -> Repo:
    return Repo(pfs_channel)


@pytest.fixture
def b(pfs_channel: grpc.Channel) -> Repo:
    return Repo(pfs_channel)
