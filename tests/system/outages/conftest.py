"""A PFS of its own, over whatever a test takes away."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from tests.support.seaweed import Seaweed
from tests.support.servers import SERVICE_TOKEN, SERVING, Running, channel, running, service_command, settings


@dataclass
class Pfs:
    """One process; root: its folder."""

    process: Running
    channel: grpc.Channel
    root: Path


StartPfs = Callable[[dict[str, str]], Pfs]


@pytest.fixture
def start_pfs(tmp_path: Path, nats_url: str) -> Iterator[StartPfs]:
    """Start it with these settings besides the usual ones."""
    with ExitStack() as up:

        def start(more: dict[str, str]) -> Pfs:
            env = settings("pfs", tmp_path, nats_url=nats_url, token=SERVICE_TOKEN) | {"PFS_REPLICA": "one"} | more
            process = up.enter_context(running(service_command("pfs"), env=env, ready=SERVING))
            return Pfs(process, up.enter_context(channel(process[1])), tmp_path / "pfs")

        yield start


@pytest.fixture
def own_seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """A server that a test may kill and start."""
    server = Seaweed(tmp_path_factory.mktemp("own-weed"))
    server.start()
    yield server
    server.stop()
