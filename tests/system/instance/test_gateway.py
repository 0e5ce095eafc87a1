"""Envoy itself accepts the configuration that the template gives."""

import subprocess
from pathlib import Path

import pytest

from deploy.envoy.descriptors import descriptors
from deploy.envoy.render import Gateway, render
from deploy.local import binaries


@pytest.mark.parametrize("host", ["127.0.0.1", "pfs.datamill.svc"])
@pytest.mark.parametrize("beyond", ["", "0.0.0.0", "::", "192.0.2.1"])
def test_envoy_accepts_the_configuration(tmp_path: Path, host: str, beyond: str) -> None:
    gateway = Gateway(
        listen="127.0.0.1:30650",
        pfs=f"{host}:7001",
        pps=f"{host}:7002",
        jobs=f"{host}:7003",
        web=f"{host}:7004",
        descriptors=tmp_path / "methods.pb",
        access_log=tmp_path / 'a "b".log',
        beyond=beyond,
        origins=("https://a.example", "http://localhost:3000") if beyond else (),
        admin="gateway.sock" if beyond else "",
    )
    (tmp_path / "methods.pb").write_bytes(descriptors())
    path = tmp_path / "envoy.yaml"
    path.write_text(render(gateway))
    command = [str(binaries.envoy()), "--mode", "validate", "--config-path", str(path), "--log-level", "error"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
