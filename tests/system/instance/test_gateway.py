"""Envoy itself accepts the configuration that the template gives."""

import subprocess
from pathlib import Path

import pytest

from deploy.envoy.render import Gateway, render
from deploy.local import binaries


@pytest.mark.parametrize("host", ["127.0.0.1", "pfs.datamill.svc"])
def test_envoy_accepts_the_configuration(tmp_path: Path, host: str) -> None:
    addresses = {name: f"{host}:{number}" for number, name in enumerate(("pfs", "pps", "jobs"), 7001)}
    path = tmp_path / "envoy.yaml"
    path.write_text(render(Gateway(listen="127.0.0.1:30650", access_log=tmp_path / 'a "b".log', **addresses)))
    command = [str(binaries.envoy()), "--mode", "validate", "--config-path", str(path), "--log-level", "error"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
