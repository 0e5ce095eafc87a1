"""What reading a tree costs: one file, a folder, a pattern, everything.

A listing of pfs_v2 is a message a file; trees.v1 sends thousands in one. Both are measured.
"""

import random
import time
from collections.abc import Callable

from benchmarks.goals.filling import FILES_A_FOLDER, path_of
from benchmarks.goals.places import Place, head
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import trees_v1_pb2 as trees

LOOKUPS = 500


def lookup(at: Place, name: str, files: int) -> list[float]:
    """Seconds of each InspectFile of a file, among few that were all asked for before."""
    draw = random.Random(1)
    known = [path_of(draw.randrange(files)) for _ in range(20)]
    return each(lambda number: at.pfs.InspectFile(_inspect(name, known[number % 20])), LOOKUPS)


def folder_size(at: Place, name: str, files: int) -> list[float]:
    """Seconds of each InspectFile of a folder, each another one."""
    draw = random.Random(2)
    known = [f"/class_{draw.randrange(files // FILES_A_FOLDER):05d}" for _ in range(200)]
    return each(lambda number: at.pfs.InspectFile(_inspect(name, known[number])), 200)


def whole_size(at: Place, name: str) -> list[float]:
    return each(lambda _: at.pfs.InspectFile(_inspect(name, "/")), 50)


def list_folder(at: Place, name: str, files: int) -> int:
    """ListFile of one folder; how many came."""
    folder = f"/class_{files // FILES_A_FOLDER // 2:05d}"
    return sum(1 for _ in at.pfs.ListFile(pfs.ListFileRequest(file=_file(name, folder))))


def walk(at: Place, name: str) -> int:
    return sum(1 for _ in at.pfs.WalkFile(pfs.WalkFileRequest(file=_file(name, "/"))))


def glob(at: Place, name: str, pattern: str) -> int:
    return sum(1 for _ in at.pfs.GlobFile(pfs.GlobFileRequest(commit=head(name), pattern=pattern)))


def glob_batched(at: Place, name: str, pattern: str) -> int:
    """GlobTree; how many came."""
    found = at.trees.GlobTree(trees.GlobTreeRequest(commit=head(name), pattern=pattern))
    return sum(len(batch.entries) for batch in found)


def each(work: Callable[[int], object], rounds: int) -> list[float]:
    """Seconds of each round, after some that warm up."""
    for number in range(min(rounds, 20)):
        work(number)
    seconds = list[float]()
    for number in range(rounds):
        begun = time.perf_counter()
        work(number)
        seconds.append(time.perf_counter() - begun)
    return seconds


def _file(name: str, path: str) -> pfs.File:
    return pfs.File(commit=head(name), path=path)


def _inspect(name: str, path: str) -> pfs.InspectFileRequest:
    return pfs.InspectFileRequest(file=_file(name, path))
