"""Two repos of a test's own."""

import grpc
import pytest

from tests.system.pfs.driver import Repo


@pytest.fixture
def a(pfs_channel: grpc.Channel) -> Repo:
    return Repo(pfs_channel)


@pytest.fixture
def b(pfs_channel: grpc.Channel) -> Repo:
    return Repo(pfs_channel)
