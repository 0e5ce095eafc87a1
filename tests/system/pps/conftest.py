"""PPS over the session's PFS, for the tests that need no Jobs and no database of their own."""

from collections.abc import Iterator

import pytest

from tests.system.pps.test_pipelines import Side, started


@pytest.fixture(scope="session")
def side(
    tmp_path_factory: pytest.TempPathFactory, nats_url: str, service_token: str, pfs_address: str
) -> Iterator[Side]:
    with started(tmp_path_factory.mktemp("pps"), nats_url, service_token, pfs_address) as found:
        yield found
