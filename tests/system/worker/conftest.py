"""A real shim process in a sandbox as the process runtime makes it, and the double it talks to."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from datamill.wire import pps_v2_pb2 as pps
from services.pps.runtimes import sandbox
from tests.support.servers import SERVING, Running, running
from tests.system.worker.doubles import Double

Start = Callable[..., AbstractContextManager[Running]]


@pytest.fixture
def double(tmp_path: Path) -> Iterator[Double]:
    made = Double(tmp_path / "store")
    made.start()
    yield made
    made.stop()


def sandboxed(scratch: Path, inner: list[str]) -> list[str]:
    """`inner` in the sandbox of the process runtime."""
    return sandbox.command(scratch, inner, own_proc=sandbox.proc_of_its_own())


@pytest.fixture
def start(tmp_path: Path, double: Double) -> Start:
    """start(info, **settings): a running worker. disk: a folder to work in that is there already."""

    @contextmanager
    def begin(info: pps.PipelineInfo, *, disk: Path | None = None, **settings: Any) -> Iterator[Running]:
        (tmp_path / "spec").write_bytes(info.SerializeToString())
        scratch = disk or tmp_path / f"scratch-{os.urandom(4).hex()}"
        scratch.mkdir(exist_ok=True)
        env = {
            "WORKER_PFS": double.address,
            "WORKER_JOBS": double.address,
            "WORKER_SPEC": str(tmp_path / "spec"),
            "WORKER_NAME": "edges-v1-0",
            "WORKER_SERVICE_TOKEN": "a-secret-token",
            "WORKER_LEASE_WAIT": "5",
            **{f"WORKER_{key.upper()}": str(value) for key, value in settings.items()},
        }
        command = sandboxed(scratch, [sys.executable, "-m", "services.worker"])
        with running(command, env=env, ready=SERVING) as worker:
            yield worker

    return begin


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where no sandbox can be made there is nothing to test."""
    try:
        sandbox.proc_of_its_own()
    except sandbox.NoSandbox as why:
        for item in items:
            if "system/worker" in str(item.path):
                item.add_marker(pytest.mark.skip(str(why)))
