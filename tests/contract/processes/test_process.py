"""How a service's process ends when something stands in its way that an operator can put right."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.servers import Spine, service_command, settings


@pytest.mark.parametrize("name", ["pfs", "jobs", "pps"])
def test_a_port_in_use_is_told_without_a_traceback(name: str, spine: Spine, tmp_path: Path) -> None:
    taken = spine.pfs
    env = settings(name, tmp_path, nats_url=spine.nats_url, token=spine.token, listen=taken)
    peers = {"JOBS_PFS": spine.pfs, "JOBS_PPS": spine.pps, "PPS_PFS": spine.pfs, "PPS_JOBS": spine.jobs}
    done = subprocess.run(
        service_command(name),
        env={**os.environ, **env, **peers},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.endswith(f"cannot listen on {taken}: is the port in use?\n")
    assert "Traceback" not in done.stderr


def test_every_wrong_setting_is_told() -> None:
    env = {**os.environ, "PFS_DRAIN": "soon"}
    done = subprocess.run(
        [sys.executable, "-m", "services.pfs"], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert "PFS_DATABASE_URL is not set" in done.stderr
    assert "PFS_DRAIN='soon'" in done.stderr
