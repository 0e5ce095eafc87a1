"""A PFS that can be killed and started again on its data, at the same address; as a laptop has it, and a cluster."""

import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack

import grpc
import pytest

from tests.support.postgres import Postgres
from tests.support.seaweed import Seaweed
from tests.support.servers import SERVING, Running, channel, free_port, running, service_command, settings, unique

CLIENTS = 3
LAPTOP, CLUSTER = "sqlite-folder", "postgresql-s3"


class KillablePfs:
    """environment: the settings, with a fixed port."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._up = ExitStack()
        self._process: Running | None = None
        self.channels: list[grpc.Channel] = []

    @property
    def address(self) -> str:
        return self._environment["PFS_LISTEN"]

    @property
    def log(self) -> str:
        assert self._process is not None
        return self._process.log

    def start(self) -> None:
        """Returns once it serves. Channels are new: old ones would wait before they look again."""
        up = self._up = ExitStack()
        self._process = up.enter_context(running(service_command("pfs"), env=self._environment, ready=SERVING))
        self.channels = [up.enter_context(channel(self._process[1])) for _ in range(CLIENTS)]

    def kill(self) -> None:
        """As `kill -9`; returns once it is dead."""
        assert self._process is not None
        self._process.kill(signal.SIGKILL)
        self._process.process.wait()

    def restart(self) -> None:
        """After a kill."""
        self._up.close()
        self.start()

    def stop(self) -> None:
        self._up.close()


@pytest.fixture(scope="module", params=[LAPTOP, CLUSTER])
def killable_pfs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, nats_url: str, service_token: str
) -> Iterator[KillablePfs]:
    """One for the tests of a module."""
    root, at = tmp_path_factory.mktemp("killed"), f"127.0.0.1:{free_port()}"
    env = settings("pfs", root, nats_url=nats_url, token=service_token, listen=at)
    env["PFS_GC_GAIN_BYTES"] = "1"  # small packs of trees are rewritten, too
    env["PFS_REPLICA"] = "one"  # the one that starts again takes over at once what the killed one held
    if request.param == CLUSTER:
        postgres: Postgres = request.getfixturevalue("postgres")
        seaweed: Seaweed = request.getfixturevalue("seaweed")
        store = seaweed.url(unique("killed"))
        env |= {"PFS_DATABASE_URL": postgres.schema(), "PFS_STORE": store, **seaweed.environment}
    found = KillablePfs(env)
    found.start()
    yield found
    found.stop()
