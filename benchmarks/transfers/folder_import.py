"""100,000 files of 10 KB: `datamill put file -r` against `git add && git commit` of the same folder."""

import os
import random
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.instance import instance, repo
from benchmarks.report import Figure
from datamill.wire import pfs_v2_pb2 as pfs

FILES = int(os.environ.get("BENCH_IMPORT_FILES", "100000"))
FILE_BYTES = 10_000
GOAL = 3.0


def make_folder(folder: Path, files: int) -> None:
    """Folders of 1,000 files with contents that do not compress and do not repeat."""
    draw = random.Random(7)
    for number in range(files):
        if number % 1000 == 0:
            inner = folder / f"class_{number // 1000:05d}"
            inner.mkdir(parents=True)
        (inner / f"IMG_{number:07d}.jpg").write_bytes(draw.randbytes(FILE_BYTES))


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="datamill-bench-") as name, instance() as up:
        folder = Path(name) / "pictures"
        make_folder(folder, FILES)
        up.repo("pictures")
        os.sync()
        begun = time.perf_counter()
        subprocess.run(up.command("put", "file", "-r", "pictures@master:/", "-f", str(folder)), check=True)
        ours = time.perf_counter() - begun
        head = pfs.Commit(branch=pfs.Branch(repo=repo("pictures"), name="master"), repo=repo("pictures"))
        assert up.pfs.InspectCommit(pfs.InspectCommitRequest(commit=head)).HasField("finished"), "put waits for it"
        os.sync()
        begun = time.perf_counter()
        git = ["git", "-C", str(folder), "-c", "user.name=b", "-c", "user.email=b@example.org", "-c", "gc.auto=0"]
        subprocess.run(["git", "init", "-q", str(folder)], check=True)
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-qm", "all"], check=True)
        theirs = time.perf_counter() - begun
    return [
        Figure(
            what=f"import of {FILES:,} files of 10 KB through the command line, to FINISHED",
            ours=f"{ours:.1f} s",
            peer=f"git add && git commit {theirs:.1f} s",
            ratio=f"{theirs / ours:.1f}× faster",
            goal=f"≥ {GOAL:.0f}×",
            reached=theirs / ours >= GOAL,
        )
    ]
