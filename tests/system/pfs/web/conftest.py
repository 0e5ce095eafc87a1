"""The same PFS asked over HTTP."""

import pytest

from tests.system.pfs.driver import Repo
from tests.system.pfs.web.asking import Site


@pytest.fixture
def site(http_port: int, a: Repo) -> Site:
    """Knows the test's repo, whose PFS is up."""
    return Site(http_port, a.name)
