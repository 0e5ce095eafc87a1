"""One whole instance for these tests, through its gateway."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.servers import free_port
from tests.system.chaos.patient import Patient


@pytest.fixture(scope="module")
def dag(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patient]:
    """The stubs of a running instance."""
    folder, port = tmp_path_factory.mktemp("instance"), free_port()
    control = [sys.executable, "-m", "datamill.cli.main"]
    subprocess.run(
        [*control, "up", "--data-dir", str(folder), "--port", str(port), "--detach"], check=True, timeout=120
    )
    try:
        with Patient(f"grpc://localhost:{port}") as found:
            yield found
    finally:
        subprocess.run([*control, "down", "--data-dir", str(folder)], check=True, timeout=120)
