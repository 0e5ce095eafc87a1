"""PPS over the session's PFS, for the tests that need no Jobs and no database of their own.

Not for longer than a module: another PPS over the same PFS would put in force what that one is to find after a crash.
"""

from collections.abc import Iterator

import pytest

from tests.system.pps.changes.test_pipelines import Side, started


@pytest.fixture(scope="module")
def side(
    tmp_path_factory: pytest.TempPathFactory, nats_url: str, service_token: str, pfs_address: str
) -> Iterator[Side]:
    with started(tmp_path_factory.mktemp("pps"), nats_url, service_token, pfs_address) as found:
        yield found
