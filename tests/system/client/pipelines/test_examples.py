"""Each example does what its README says, by the very commands that stand there."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import CommandLine
from tests.support.servers import ROOT, unique

EXAMPLES = ROOT / "examples"
BLOCK = re.compile(r"^```\n(.*?)^```", re.DOTALL | re.MULTILINE)
Told = Callable[[str], "Example"]


class Example:
    """An example that was followed in a project of its own. folder: a copy of it, with what its commands made."""

    def __init__(self, line: CommandLine, folder: Path, project: str) -> None:
        self.folder = folder
        self.line = CommandLine(line.folder, line.address, {"DATAMILL_PROJECT": project})

    def follow(self, programs: Path) -> str:
        (block,) = BLOCK.findall((self.folder / "README.md").read_text())
        environ = self.line.environment()
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=self.folder,
            env={**environ, "PATH": f"{programs}:{environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def written(self, folder: str) -> dict[str, str]:
        return {path.name: path.read_text().strip() for path in (self.folder / folder).iterdir()}

    def job(self, pipeline: str) -> dict[str, Any]:
        """The pipeline's newest job, ended."""
        return self.line.ok("wait", "job", f"{pipeline}@master", "--raw").objects[0]


@pytest.fixture
def told(line: CommandLine, tmp_path: Path) -> Told:
    """Copies an example and follows its README."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "datamill").write_text(f'#!/bin/sh\nexec {sys.executable} -m datamill.cli.main "$@"\n')
    (programs / "datamill").chmod(0o755)

    def tell(name: str) -> Example:
        project = unique(name)
        line.ok("create", "project", project)
        folder = Path(shutil.copytree(EXAMPLES / name, tmp_path / name))
        example = Example(line, folder, project)
        (folder / "told").write_text(example.follow(programs))
        return example

    return tell


def test_word_count(told: Told) -> None:
    example = told("word-count")
    totals = (example.folder / "told").read_text().splitlines()[1:]
    assert [line for line in totals if line.endswith((" the", " boats", " nets", " bread", " gulls"))] == [
        "11 the", "3 boats", "3 gulls", "3 nets", "2 bread",
    ]  # fmt: skip
    line = example.line
    line.ok("put", "file", "texts@master:/evening/market.txt", stdin="The bread is gone.")
    line.ok("put", "file", "texts@master:/evening/silence.txt", stdin="... 12 ...")
    line.ok("wait", "commit", "totals@master")
    assert "3 bread\n" in line.ok("get", "file", "totals@master:/totals.txt").out
    words = example.job("words")
    assert (words["data_processed"], words["data_skipped"], words["data_total"]) == ("1", "4", "5")


def test_group(told: Told) -> None:
    example = told("group")
    assert example.written("means") == {
        "harbour.txt": "12.3 degrees over 2 days; Harbour wall, 3 m above the water",
        "hill.txt": "8.5 degrees over 3 days; Hill top, 212 m",
        "island.txt": "12.0 degrees over 1 days; a station that nobody described",
    }
    line = example.line
    line.ok("put", "file", "readings@master:/island_2026-05-03.txt", stdin="14.0\n")
    line.ok("wait", "commit", "means@master")
    assert "13.0 degrees over 2 days" in line.ok("get", "file", "means@master:/island.txt").out
    assert (example.job("means")["data_processed"], example.job("means")["data_skipped"]) == ("1", "2")


def test_join(told: Told) -> None:
    example = told("join")
    assert example.written("letters") == {
        "atlas_reader-17.txt": 'To Ada, 3 Mill Lane - please bring back "The Sea Atlas".',
        "bread_reader-17.txt": 'To Ada, 3 Mill Lane - please bring back "Bread at Home".',
        "clocks_reader-30.txt": 'To Chidi, 1 Low Road - please bring back "Clocks".',
    }
    assert example.written("gaps") == {"reader-21.txt": "has no loan", "dust_reader-99.txt": "no reader 99"}
    line = example.line
    line.ok("put", "file", "readers@master:/reader-99.txt", stdin="Dora, 5 Hill End\n")
    line.ok("wait", "commit", "gaps@master")
    assert [Path(info["file"]["path"]).name for info in line.ok("list", "file", "gaps@master", "--raw").objects] == [
        "reader-21.txt"
    ]
    line.ok("wait", "commit", "letters@master")
    assert "To Dora" in line.ok("get", "file", "letters@master:/dust_reader-99.txt").out


def test_clock(told: Told) -> None:
    example = told("clock")
    assert "goats: 2\nsheep: 3\n" in (example.folder / "told").read_text()
    line = example.line
    jobs = len(line.ok("list", "job", "census", "--raw").objects)
    line.ok("put", "file", "herd@master:/geese", stdin="Fay\n")
    line.ok("wait", "commit", "herd@master")
    assert len(line.ok("list", "job", "census", "--raw").objects) == jobs
    line.ok("run", "cron", "census")
    line.ok("wait", "commit", "census@master")
    assert line.ok("get", "file", "census@master:/census.txt").out == "geese: 1\ngoats: 2\nsheep: 3\n"


def test_spout(told: Told) -> None:
    example = told("spout")
    highest = (example.folder / "told").read_text()
    assert re.fullmatch(r"[0-3](\.[0-9])?\n", highest)
    commits = example.line.ok("list", "commit", "buoy@master", "--raw").objects
    assert {info["origin"]["kind"] for info in commits} == {"AUTO", "USER"}
    files = example.line.ok("list", "file", "buoy@master:/north", "--raw").objects
    assert all(re.fullmatch(r"/north/[-0-9]{17}\.txt", info["file"]["path"]) for info in files)
    assert example.line.ok("list", "pipeline", "--state", "paused", "--raw").objects[0]["pipeline"]["name"] == "buoy"
