"""Bulk transfer by the command line: an unchanged folder put again, one big file in and out, many small files out.

Peers: git on the same folder, plain `cp` to and from the same disk with fsync, and raw gRPC (ModifyFile, GetFile).
A put ends when its commit is FINISHED. BENCH_BULK names the parts to run: again, small, big.
"""

import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median

from google.protobuf.wrappers_pb2 import BytesValue

from benchmarks.instance import Instance, instance, repo
from benchmarks.report import Figure
from benchmarks.transfers.folder_import import make_folder
from datamill.wire import pfs_v2_pb2 as pfs

FILES = int(os.environ.get("BENCH_IMPORT_FILES", "100000"))
SMALL = int(os.environ.get("BENCH_GET_FILES", "20000"))
BIG_BYTES = int(os.environ.get("BENCH_BIG_BYTES", str(4 << 30)))
PARTS = os.environ.get("BENCH_BULK", "again small big").split()
PIECE = 1 << 20
TIMES = 3


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="datamill-bench-") as name, instance() as up:
        os.environ["XDG_CACHE_HOME"] = f"{name}/cache"
        folder = Path(name)
        parts = {"again": _again, "small": _small, "big": _big}
        return [figure for part in PARTS for figure in parts[part](up, folder)]


def _seconds(work: Callable[[], object]) -> float:
    os.sync()
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _middle(work: Callable[[int], object]) -> float:
    """The median of some times."""
    return median(_seconds(partial(work, number)) for number in range(TIMES))


def _ran(command: list[str]) -> Callable[[], object]:
    return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _put(up: Instance, target: str, *words: str) -> Callable[[], object]:
    """Put, which waits until FINISHED."""
    return _ran(up.command("put", "file", target, *words))


def _again(up: Instance, folder: Path) -> Iterator[Figure]:
    pictures = folder / "pictures"
    make_folder(pictures, FILES)
    up.repo("again")
    put = _put(up, "again@master:/", "-r", "-f", str(pictures))
    first, again = _seconds(put), _middle(lambda _: put())
    changed = pictures / "class_00000" / "IMG_0000000.jpg"

    def put_one(number: int) -> None:
        changed.write_bytes(b"changed" * (number + 1))
        put()

    one = _middle(put_one)
    git = ["git", "-C", str(pictures), "-c", "user.name=b", "-c", "user.email=b@example.org", "-c", "gc.auto=0"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
        _ran([*git, *words])()

    def commit_one(number: int) -> None:
        changed.write_bytes(b"other" * (number + 1))
        for words in (["add", "-A"], ["commit", "-qm", "one"]):
            _ran([*git, *words])()

    theirs = _middle(commit_one)
    shutil.rmtree(pictures)
    yield Figure(
        what=f"put of {FILES:,} unchanged files of 10 KB, to FINISHED",
        ours=f"{again:.2f} s",
        peer=f"first put {first:.1f} s",
        ratio=f"{first / again:.1f}×",
    )
    yield Figure(
        what=f"put of the folder after 1 of {FILES:,} files changed",
        ours=f"{one:.2f} s",
        peer=f"git add && git commit {theirs:.2f} s",
        ratio=f"{theirs / one:.2f}×",
    )


def _small(up: Instance, folder: Path) -> Iterator[Figure]:
    small, out, copy = folder / "small", folder / "out", folder / "copy"
    make_folder(small, SMALL)
    up.repo("small")
    _put(up, "small@master:/", "-r", "-f", str(small))()
    get, copying = (
        up.command("get", "file", "-r", "small@master:/", "-o", str(out)),
        ["cp", "-r", str(small), str(copy)],
    )

    def anew(folder: Path, command: list[str]) -> float:
        shutil.rmtree(folder, ignore_errors=True)
        return _seconds(_ran(command))

    pairs = [(anew(out, get), anew(copy, copying)) for _ in range(TIMES)]  # in turn: a disk has moods
    ours, theirs = (median(times) for times in zip(*pairs, strict=True))
    again = _middle(lambda _: _ran(get)())
    for gone in (small, out, copy):
        shutil.rmtree(gone)
    yield Figure(
        what=f"get of {SMALL:,} files of 10 KB",
        ours=f"{ours:.2f} s, {SMALL / ours:,.0f} files/s",
        peer=f"cp -r {theirs:.2f} s",
        ratio=f"{theirs / ours:.2f}×",
    )
    yield Figure(what="the same again, all of it there", ours=f"{again:.2f} s, {SMALL / again:,.0f} files/s")


def _big(up: Instance, folder: Path) -> Iterator[Figure]:
    big, out, copy = folder / "big", folder / "big.out", folder / "big.copy"
    draw = random.Random(5)
    with open(big, "wb") as file:
        for _ in range(BIG_BYTES // (16 << 20)):
            file.write(draw.randbytes(16 << 20))
    up.repo("big")
    up.repo("raw")
    mb = BIG_BYTES / 1e6
    written = _seconds(_put(up, "big@master:/big", "-f", str(big)))
    raw_written = _seconds(lambda: _raw_put(up, big))
    copied = _seconds(lambda: [_ran(["cp", str(big), str(copy)])(), _ran(["sync", str(copy)])()])
    copy.unlink()
    read = _seconds(_ran(up.command("get", "file", "big@master:/big", "-o", str(out))))
    out.unlink()
    raw_read = _seconds(lambda: _raw_get(up, out))
    out.unlink()
    back = _seconds(_ran(["cp", str(big), str(copy)]))
    copy.unlink()
    size = f"{BIG_BYTES / 2**30:.0f} GiB"
    yield Figure(
        what=f"put of one file of {size}, to FINISHED",
        ours=f"{mb / written:,.0f} MB/s",
        peer=f"cp and sync {mb / copied:,.0f} MB/s",
        ratio=f"{copied / written:.2f}×",
        goal="≥ 400 MB/s",
        reached=mb / written >= 400,
    )
    yield Figure(
        what="the same against raw gRPC",
        ours=f"{mb / written:,.0f} MB/s",
        peer=f"ModifyFile {mb / raw_written:,.0f} MB/s",
        ratio=f"{raw_written / written:.1f}×",
    )
    yield Figure(
        what=f"get of one file of {size}",
        ours=f"{mb / read:,.0f} MB/s",
        peer=f"cp {mb / back:,.0f} MB/s",
        ratio=f"{back / read:.2f}×",
    )
    yield Figure(
        what="the same against raw gRPC",
        ours=f"{mb / read:,.0f} MB/s",
        peer=f"GetFile {mb / raw_read:,.0f} MB/s",
        ratio=f"{raw_read / read:.1f}×",
    )


def _raw_put(up: Instance, big: Path) -> None:
    branch = pfs.Branch(repo=repo("raw"), name="master")

    def requests() -> Iterator[pfs.ModifyFileRequest]:
        yield pfs.ModifyFileRequest(set_commit=pfs.Commit(branch=branch, repo=branch.repo))
        with open(big, "rb") as file:
            while data := file.read(PIECE):
                yield pfs.ModifyFileRequest(add_file=pfs.AddFile(path="/big", raw=BytesValue(value=data)))

    up.pfs.ModifyFile(requests())
    up.pfs.InspectCommit(
        pfs.InspectCommitRequest(commit=pfs.Commit(branch=branch, repo=branch.repo), wait=pfs.CommitState.FINISHED)
    )


def _raw_get(up: Instance, out: Path) -> None:
    branch = pfs.Branch(repo=repo("raw"), name="master")
    wanted = pfs.File(commit=pfs.Commit(branch=branch, repo=branch.repo), path="/big")
    with open(out, "wb") as file:
        for piece in up.pfs.GetFile(pfs.GetFileRequest(file=wanted)):
            file.write(piece.value)
