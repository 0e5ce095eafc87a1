"""The pipeline files: each names a script that exists, reads repos that exist by then, and asks for what it needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import EXAMPLE

ORDER = ("vol", "sob", "fft", "features", "train", "classify", "report")


def _leaves(tree: dict[str, Any]) -> list[dict[str, Any]]:
    ((kind, inside),) = tree.items()
    return [inside] if kind == "pfs" else [leaf for child in inside for leaf in _leaves(child)]


def _spec(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads((EXAMPLE / "pipelines" / f"{name}.json").read_text())
    return spec


def test_there_is_a_file_and_a_script_for_each_and_no_other() -> None:
    assert {file.stem for file in (EXAMPLE / "pipelines").glob("*.json")} == set(ORDER)
    assert {file.stem for file in (EXAMPLE / "scripts").glob("*.py")} == set(ORDER)


@pytest.mark.parametrize("name", ORDER)
def test_a_pipeline_reads_only_what_comes_before_it(name: str) -> None:
    spec = _spec(name)
    repos = [leaf["repo"] for leaf in _leaves(spec["input"])]
    assert spec["pipeline"] == {"name": name}
    assert set(repos) <= {"images", "labels", "scripts", *ORDER[: ORDER.index(name)]}
    assert len(repos) == len(set(repos))


@pytest.mark.parametrize("name", ORDER)
def test_a_pipeline_runs_its_own_script_and_depends_on_no_other(name: str) -> None:
    spec = _spec(name)
    script = f"{name}.py"
    assert spec["transform"]["cmd"] == ["python3", f"/pfs/scripts/{script}"]
    assert [leaf["glob"] for leaf in _leaves(spec["input"]) if leaf["repo"] == "scripts"] == [f"/{script}"]


def test_judged_pictures_never_reach_training() -> None:
    assert {leaf["repo"]: leaf["glob"] for leaf in _leaves(_spec("train")["input"])} == {
        "features": "/train",
        "labels": "/train.csv",
        "scripts": "/train.py",
    }


def test_scripts_know_nothing_of_what_runs_them() -> None:
    for script in Path(EXAMPLE / "scripts").glob("*.py"):
        text = script.read_text().lower()
        assert "datamill" not in text
        assert "pachyderm" not in text
