"""One instance for all kinds of pipelines: their user code speaks with it through its gateway, as a user's does."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.seaweed import KEY, SECRET, Seaweed
from tests.support.servers import ROOT, free_port
from tests.system.chaos.patient import Patient


@pytest.fixture(scope="package")
def instance(tmp_path_factory: pytest.TempPathFactory, seaweed: Seaweed) -> Iterator[Patient]:
    """The client of a running instance, which may write to the bucket of a real S3 server."""
    account = {"MINIO_ENDPOINT": seaweed.endpoint, "MINIO_ID": KEY, "MINIO_SECRET": SECRET, "MINIO_SECURE": "0"}
    folder, port = tmp_path_factory.mktemp("instance"), free_port()
    control = [sys.executable, "-m", "datamill.cli.main"]
    where = ["--data-dir", str(folder)]
    up = [*control, "up", *where, "--port", str(port), "--detach"]
    subprocess.run(up, check=True, timeout=240, cwd=ROOT, env={**os.environ, **account})
    try:
        with Patient(f"grpc://localhost:{port}") as found:
            yield found
    finally:
        subprocess.run([*control, "down", *where], check=True, timeout=120, cwd=ROOT)
