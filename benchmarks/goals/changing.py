"""What commits cost on trees of several sizes, and what comparing their trees costs."""

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median

from google.protobuf.wrappers_pb2 import BytesValue

from benchmarks.goals.filling import Contents, in_messages, path_of, scattered
from benchmarks.goals.places import Place
from datamill.wire import content_v1_pb2 as content
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import trees_v1_pb2 as trees

WARM = 3


@dataclass(frozen=True)
class Change:
    """Commits of one kind: their seconds, the last one, and what the last one wrote."""

    seconds: list[float]
    commit: pfs.Commit
    index_bytes: int
    peak_bytes: int

    @property
    def median(self) -> float:
        return median(self.seconds)


def one_file(at: Place, name: str, files: int, rounds: int) -> Change:
    """StartCommit, ModifyFile of one file with new bytes, FinishCommit, wait until FINISHED."""
    draw, seconds = random.Random(files), list[float]()
    at.forget_peak()
    for turn in range(rounds + WARM):
        path, data = path_of(draw.randrange(files)), b"changed %d" % turn
        before = at.stored("index") if turn == rounds + WARM - 1 else 0
        begun = time.perf_counter()
        commit = at.start(name)
        at.pfs.ModifyFile(iter(overwriting(commit, path, data)))
        at.finish(commit)
        seconds.append(time.perf_counter() - begun)
    return Change(seconds[WARM:], commit, at.stored("index") - before, at.peak_bytes)


def overwriting(commit: pfs.Commit, path: str, data: bytes) -> Iterable[pfs.ModifyFileRequest]:
    yield pfs.ModifyFileRequest(set_commit=commit)
    yield pfs.ModifyFileRequest(delete_file=pfs.DeleteFile(path=path))
    yield pfs.ModifyFileRequest(add_file=pfs.AddFile(path=path, raw=BytesValue(value=data)))


def many_files(at: Place, known: Contents, name: str, files: int, many: int, rounds: int) -> Change:
    """PutEntries of scattered changes, StartCommit, AddFileSet, FinishCommit, wait until FINISHED."""
    seconds, wrote = list[float](), 0
    at.forget_peak()
    for turn in range(rounds):
        messages = list(in_messages(scattered(known, files, many, turn)))
        before = at.stored("index")
        begun = time.perf_counter()
        commit = _commit(at, name, messages)
        seconds.append(time.perf_counter() - begun)
        wrote = at.stored("index") - before
    return Change(seconds, commit, wrote, at.peak_bytes)


def _commit(at: Place, name: str, messages: list[content.PutEntriesRequest]) -> pfs.Commit:
    made = at.content.PutEntries(iter(messages))
    commit: pfs.Commit = at.start(name)
    at.pfs.AddFileSet(pfs.AddFileSetRequest(commit=commit, file_set_id=made.file_set_id))
    at.finish(commit)
    return commit


def timed(work: Callable[[], int], rounds: int) -> tuple[float, int]:
    """Median seconds of `work`, after one go that warms up if it is more than one, and what it counted."""
    seconds, count = list[float](), work() if rounds > 1 else 0
    for _ in range(rounds):
        begun = time.perf_counter()
        count = work()
        seconds.append(time.perf_counter() - begun)
    return median(seconds), count


def plan(at: Place, commit: pfs.Commit) -> int:
    """DiffTree: which files a planner has to look at; how many."""
    found = at.trees.DiffTree(trees.DiffTreeRequest(new_commit=commit, pattern="/*/*"))
    return sum(len(batch.changes) for batch in found)


def diff(at: Place, commit: pfs.Commit) -> int:
    """DiffFile of a commit against its parent; how many differences, directories included."""
    found = at.pfs.DiffFile(pfs.DiffFileRequest(new_file=pfs.File(commit=commit, path="/")))
    return sum(1 for _ in found)
