"""An instance of its own for each module of commands, found by its data directory as a user's is."""

from collections.abc import Iterator

import pytest

from tests.support.command_line import CommandLine
from tests.support.servers import unique


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    line = CommandLine(tmp_path_factory.mktemp("datamill"))
    up = line.run("up", "--port", "0", "--detach")
    try:
        assert up.code == 0, up
        assert "is up at grpc://" in up.out
        yield line
    finally:
        down = line.run("down")
    assert (down.code, down.out) == (0, "stopped\n"), down
    assert line.run("status").code == 1


@pytest.fixture
def repo(line: CommandLine) -> str:
    name = unique("repo").replace("-", "_")
    line.ok("create", "repo", name, "-d", "some words")
    return name
