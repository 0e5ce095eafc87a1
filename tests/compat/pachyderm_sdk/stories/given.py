"""What every story starts from: a client of the SDK on the instance that is named in the environment, names of its own.

Loaded as a pytest plugin inside the foreign environment; nothing of datamill is importable there.
"""

import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from pachyderm_sdk import Client
from pachyderm_sdk.api import pfs


def unique(prefix: str) -> str:
    """A name that no other story uses."""
    return f"{prefix}_{secrets.token_hex(4)}"


def eventually(look: Callable[[], Any], *, within: float = 120.0) -> Any:
    """Call `look` until it returns something true, and return that."""
    deadline = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {within:.0f} s; last seen: {found!r}"
        time.sleep(0.1)
    return found


def refusal(call: Callable[[], Any]) -> tuple[str, str]:
    """How a call was refused: the name of its status code, and the sentence."""
    with pytest.raises(grpc.RpcError) as raised:
        call()
    error: Any = raised.value
    return error.code().name, error.details()


@pytest.fixture
def client() -> Client:
    return Client(host=os.environ["COMPAT_HOST"], port=int(os.environ["COMPAT_PORT"]))


@pytest.fixture
def repo(client: Client) -> pfs.Repo:
    repo = pfs.Repo.from_uri(unique("repo"))
    client.pfs.create_repo(repo=repo, description="a story's own")
    return repo


@pytest.fixture
def branch(repo: pfs.Repo) -> pfs.Branch:
    return pfs.Branch(repo=repo, name="master")


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port where nobody listens: bound, so that nobody comes to listen there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]
