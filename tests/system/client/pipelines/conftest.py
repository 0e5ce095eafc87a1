"""One instance for all that is told of pipelines at the command line."""

from collections.abc import Iterator

import pytest

from tests.support.command_line import CommandLine


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    line = CommandLine(tmp_path_factory.mktemp("datamill"))
    up = line.run("up", "--port", "0", "--detach")
    try:
        assert up.code == 0, up
        yield line
    finally:
        line.run("down")
