"""One changed file in a big repo: StartCommit, ModifyFile, FinishCommit, wait for FINISHED, all through the gateway."""

import hashlib
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import grpc
from blake3 import blake3

from benchmarks.instance import FINISHED, Instance, instance, repo
from benchmarks.report import Figure, spread
from datamill.wire import content_v1_pb2 as content
from datamill.wire import content_v1_pb2_grpc as content_grpc
from datamill.wire import pfs_v2_pb2 as pfs

SIZES = [int(size) for size in os.environ.get("BENCH_COMMIT_SIZES", "100000,1000000").split(",")]
ROUNDS = 40
GOAL_SECONDS, GOAL_GROWTH = 0.020, 2.0


def path_of(number: int) -> str:
    return f"/class_{number // 1000:05d}/IMG_{number:07d}.jpg"


def fill(up: Instance, name: str, files: int) -> None:
    """A repo of many empty files, by entries: their contents do not matter to the cost of a change."""
    empty = content.Content(size_bytes=0, digest=blake3(b"").digest())

    def batches() -> Iterator[content.PutEntriesRequest]:
        for start in range(0, files, 5000):
            numbers = range(start, min(files, start + 5000))
            yield content.PutEntriesRequest(entries=[content.Entry(path=path_of(n), content=empty) for n in numbers])

    up.repo(name)
    with grpc.insecure_channel(up.address) as channel:
        made = content_grpc.ContentServiceStub(channel).PutEntries(batches())
    started = up.pfs.StartCommit(pfs.StartCommitRequest(branch=pfs.Branch(repo=repo(name), name="master")))
    up.pfs.AddFileSet(pfs.AddFileSetRequest(commit=started, file_set_id=made.file_set_id))
    up.pfs.FinishCommit(pfs.FinishCommitRequest(commit=started))
    up.pfs.InspectCommit(pfs.InspectCommitRequest(commit=started, wait=FINISHED))


def changes(up: Instance, name: str, files: int) -> list[float]:
    """Seconds of each of ROUNDS one-file commits, after a few that warm up."""
    seconds = []
    for turn in range(ROUNDS + 5):
        number = int.from_bytes(hashlib.sha256(f"{turn}".encode()).digest()[:6], "big") % files
        begun = time.perf_counter()
        up.commit(name, {path_of(number): b"changed %d" % turn})
        seconds.append(time.perf_counter() - begun)
    return seconds[5:]


def synced_transactions() -> list[float]:
    """The peer: as many synced SQLite transactions as a commit needs at least (start, write, finish, publish)."""
    seconds = []
    with tempfile.TemporaryDirectory(prefix="datamill-bench-") as name:
        connection = sqlite3.connect(Path(name) / "peer.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE t (value TEXT)")
        for turn in range(ROUNDS):
            begun = time.perf_counter()
            for _ in range(4):
                connection.execute("INSERT INTO t VALUES (?)", (str(turn),))
            seconds.append(time.perf_counter() - begun)
        connection.close()
    return seconds


def run() -> list[Figure]:
    figures, medians, peer = [], list[float](), synced_transactions()
    with instance() as up:
        for files in SIZES:
            fill(up, f"files-{files}", files)
            seconds = changes(up, f"files-{files}", files)
            medians.append(median(seconds))
            figures.append(
                Figure(
                    what=f"one changed file of {files:,}, by API to FINISHED",
                    ours=spread(seconds),
                    peer=f"4 synced SQLite transactions {spread(peer)}",
                    ratio=f"{median(seconds) / median(peer):.1f}× slower",
                    goal=f"≤ {GOAL_SECONDS * 1e3:.0f} ms" if files == SIZES[0] else "–",
                    reached=medians[0] <= GOAL_SECONDS if files == SIZES[0] else None,
                )
            )
    if len(SIZES) > 1:
        growth = medians[-1] / medians[0]
        what = f"growth of that from {SIZES[0]:,} to {SIZES[-1]:,} files"
        goal = f"≤ {GOAL_GROWTH:.0f}×"
        figures.append(Figure(what=what, ours=f"{growth:.2f}×", goal=goal, reached=growth <= GOAL_GROWTH))
    return figures
