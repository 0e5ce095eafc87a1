"""A whole instance behind its gateway, as foreign clients meet it, and the environment that they are installed in."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.command_line import CommandLine
from tests.support.servers import ROOT

PYTHON = ROOT / ".venv-compat" / "bin" / "python"


@dataclass(frozen=True)
class Instance:
    """Where a running instance is."""

    host: str
    port: int

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """Started by the command line, as a user starts it."""
    line = CommandLine(tmp_path_factory.mktemp("instance"))
    up = line.run("up", "--port", "0", "--detach")
    try:
        assert up.code == 0, up
        host, port = up.out.split("grpc://")[1].split()[0].rsplit(":", 1)
        yield Instance(host, int(port))
    finally:
        line.run("down")


@pytest.fixture(scope="session")
def foreign_python() -> Path:
    """The interpreter of the environment that holds foreign clients and nothing of datamill."""
    if not PYTHON.exists():
        pytest.fail(f"no {PYTHON.relative_to(ROOT)}: `make compat` makes it, and `make test` calls that")
    return PYTHON


@pytest.fixture
def foreign_environ(instance: Instance) -> dict[str, str]:
    """An environment that leads to the instance, and to none of this process's own packages."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("DATAMILL_", "PYTHON", "PYTEST_", "PACH", "PPS_"))
    }
    return {**kept, "COMPAT_HOST": instance.host, "COMPAT_PORT": str(instance.port), "PYTHONDONTWRITEBYTECODE": "1"}
