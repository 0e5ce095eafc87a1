"""Loads the example's plain scripts as modules and runs its DAG once, in process, over a folder laid out like /pfs."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLE = Path(__file__).parents[3] / "examples" / "image-quality"
MEASURES = ("vol", "sob", "fft")


def load(name: str) -> ModuleType:
    """The module at a path below the example, without its suffix; under a name that shadows no other module."""
    alias = f"image_quality_{name.replace('/', '_')}"
    if alias not in sys.modules:
        spec = importlib.util.spec_from_file_location(alias, EXAMPLE / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[alias] = module
        spec.loader.exec_module(module)
    return sys.modules[alias]


@dataclass(frozen=True)
class Dag:
    """Runs scripts over repos kept as folders, each in a /pfs made of links, as a worker makes it."""

    repos: Path
    pfs: Path

    def run(self, pipeline: str, *inputs: str) -> None:
        root = self.pfs / pipeline
        root.mkdir(parents=True)
        (self.repos / pipeline).mkdir()
        for name in inputs:
            (root / name).symlink_to(self.repos / name)
        (root / "out").symlink_to(self.repos / pipeline)
        load(f"scripts/{pipeline}").main(root)

    def run_all(self) -> None:
        for measure in MEASURES:
            self.run(measure, "images")
        self.run("features", *MEASURES)
        self.run("train", "features", "labels")
        self.run("classify", "features", "train")
        self.run("report", "classify", "labels")


def _make_pictures() -> ModuleType:
    sys.path.insert(0, str(EXAMPLE))  # it imports degrade, its neighbour, as any script does
    try:
        return load("make_pictures")
    finally:
        sys.path.remove(str(EXAMPLE))


@pytest.fixture(scope="session")
def make_pictures() -> ModuleType:
    return _make_pictures()


@pytest.fixture(scope="session")
def script() -> Callable[[str], ModuleType]:
    return load


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory, make_pictures: ModuleType) -> Path:
    """A folder with images/ and labels/ as the demo makes them."""
    folder = tmp_path_factory.mktemp("pictures")
    make_pictures.write_pictures(folder)
    return folder


@pytest.fixture(scope="session")
def dag(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Dag:
    """The whole DAG, run once over the pictures."""
    done = Dag(repos=pictures, pfs=tmp_path_factory.mktemp("pfs"))
    done.run_all()
    return done
