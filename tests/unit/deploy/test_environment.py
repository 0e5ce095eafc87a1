"""What the parts of an instance inherit of the environment in which it was started, and user code from them."""

import os
from pathlib import Path

import pytest

from deploy.local import binaries
from deploy.local.layout import Layout
from deploy.local.running.parts import environment


def test_the_users_own_programs_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/home/me/bin:/usr/bin")
    assert environment(Layout(tmp_path))["PATH"] == f"/home/me/bin:/usr/bin:{binaries.SCRIPTS}"


def test_a_path_that_has_datamill_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = os.pathsep.join([str(binaries.SCRIPTS), "/usr/bin"])
    monkeypatch.setenv("PATH", path)
    assert environment(Layout(tmp_path))["PATH"] == path
