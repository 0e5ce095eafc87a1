"""PFS as a laptop has it and as a cluster has it: every test runs on both. And two repos of a test's own."""

from collections.abc import Iterator

import grpc
import pytest

from tests.support.postgres import Postgres
from tests.support.seaweed import Seaweed
from tests.support.servers import SERVING, channel, free_port, running, service_command, settings
from tests.system.pfs.driver import Repo

LAPTOP, CLUSTER = "sqlite-folder", "postgresql-s3"


@pytest.fixture(scope="session")
def http_port() -> int:
    """Where the PFS under test offers files over HTTP."""
    return free_port()


@pytest.fixture(scope="session", params=[LAPTOP, CLUSTER])
def pfs_channel(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    nats_url: str,
    service_token: str,
    http_port: int,
) -> Iterator[grpc.Channel]:
    """A channel to a PFS process that the tests of one run share."""
    env = settings("pfs", tmp_path_factory.mktemp("pfs"), nats_url=nats_url, token=service_token)
    env |= {"PFS_HTTP_LISTEN": f"127.0.0.1:{http_port}", "PFS_HTTP_ORIGINS": "https://app.example.org"}
    if request.param == CLUSTER:
        postgres: Postgres = request.getfixturevalue("postgres")
        seaweed: Seaweed = request.getfixturevalue("seaweed")
        env |= {"PFS_DATABASE_URL": postgres.schema("pfs"), "PFS_STORE": seaweed.url("pfs"), **seaweed.environment}
    with running(service_command("pfs"), env=env, ready=SERVING) as found, channel(found[1]) as opened:
        yield opened


@pytest.fixture
def a(pfs_channel: grpc.Channel) -> Repo:
    return Repo(pfs_channel)


@pytest.fixture
def b(pfs_channel: grpc.Channel) -> Repo:
    return Repo(pfs_channel)
