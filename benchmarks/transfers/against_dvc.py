"""A folder of 100,000 files of 10 KB: put, put again after one file changed, and compared, against DVC doing the same.

DVC comes from requirements/peers.in into an environment of its own; `make bench` makes it.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.instance import instance
from benchmarks.report import Figure
from benchmarks.transfers.folder_import import FILES, make_folder

DVC = Path(__file__).parents[2] / ".venv-peers/bin/dvc"
TIMES = 3


@dataclass(frozen=True)
class Dvc:
    """A repository of git and DVC around the folder."""

    root: Path

    def run(self, *words: str) -> None:
        subprocess.run([DVC, *words], cwd=self.root, check=True, stdout=subprocess.DEVNULL, env=_environment())

    def keep(self) -> None:
        """Commit what DVC wrote down, a few lines, with git."""
        git = ["git", "-C", str(self.root), "-c", "user.name=b", "-c", "user.email=b@example.org"]
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-qm", "one"], check=True)


def run() -> list[Figure]:
    if not DVC.exists():
        raise SystemExit("the peer is missing: run `make peers`")
    with tempfile.TemporaryDirectory(prefix="datamill-bench-") as name, instance() as up:
        root = Path(name)
        folder = root / "pictures"
        make_folder(folder, FILES)
        up.repo("pictures")
        put = up.command("put", "file", "-r", "pictures@master:/", "-f", str(folder))
        subprocess.run(["git", "init", "-q", name], check=True)
        dvc = Dvc(root)
        dvc.run("init", "--quiet")
        dvc.run("config", "core.analytics", "false")
        dvc.run("config", "core.check_update", "false")

        def add() -> None:
            dvc.run("add", "--quiet", "pictures")

        whole = _seconds(_ran(put)), _seconds(add)
        dvc.keep()
        changes = [_changed(folder, number, _ran(put), add, dvc) for number in range(TIMES)]
        diff = _ran(up.command("diff", "file", "pictures@master"))
        compared = [(_seconds(diff), _seconds(lambda: dvc.run("diff", "HEAD^", "HEAD"))) for _ in range(TIMES)]
    what = f"{FILES:,} files of 10 KB"
    return [
        _figure(f"put of {what}, to FINISHED", "dvc add", [whole]),
        _figure(f"put of {what} after 1 changed", "dvc add", changes),
        _figure(f"diff of two versions of {what}, 1 changed", "dvc diff", compared),
    ]


def _changed(
    folder: Path, number: int, put: Callable[[], None], add: Callable[[], None], dvc: Dvc
) -> tuple[float, float]:
    (folder / "class_00000/IMG_0000007.jpg").write_bytes(b"other" * (number + 1))
    times = _seconds(put), _seconds(add)
    dvc.keep()
    return times


def _figure(what: str, peer: str, times: Sequence[tuple[float, float]]) -> Figure:
    ours, theirs = (median(some) for some in zip(*times, strict=True))
    return Figure(what=what, ours=f"{ours:.2f} s", peer=f"{peer} {theirs:.2f} s", ratio=f"{theirs / ours:.1f}× faster")


def _ran(command: Sequence[str]) -> Callable[[], None]:
    def run() -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    return run


def _seconds(work: Callable[[], None]) -> float:
    os.sync()
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _environment() -> dict[str, str]:
    return {**os.environ, "DVC_NO_ANALYTICS": "1"}
