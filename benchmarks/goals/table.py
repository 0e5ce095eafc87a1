"""The rows: each goal, what was measured for it in each place, and its peer in the same run.

BENCH_GOALS_SIZES and BENCH_GOALS_PLACES (local, s3) choose a part; 10 million files take a quarter of an hour a place.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.goals import changing, crowds, reading
from benchmarks.goals.changing import Change, diff, plan, timed
from benchmarks.goals.filling import FILES_A_FOLDER, Contents, contents, fill, scattered
from benchmarks.goals.git_peer import FILES as GIT_FILES
from benchmarks.goals.git_peer import git
from benchmarks.goals.places import FAR, LOCAL, Place, place
from benchmarks.goals.raw_grpc import Raw, raw_grpc
from benchmarks.report import Figure, spread
from benchmarks.small_commit import synced_transactions

SIZES = [int(size) for size in os.environ.get("BENCH_GOALS_SIZES", "100000,1000000,10000000").split(",")]
PLACES = os.environ.get("BENCH_GOALS_PLACES", "local,s3").split(",")
NAMES = {"local": LOCAL, "s3": FAR}
MIB = 1 << 20
FEW, MANY = 100, 10_000
PAGED = 1_000_000
"""Files of the tree that is globbed and walked whole."""
RAW_MESSAGES = 100_000
"""Of raw gRPC at most so many are sent; more take as much longer."""


def run() -> list[Figure]:
    figures: list[Figure] = []
    with raw_grpc() as raw:
        for short in PLACES:
            name = NAMES[short]
            with tempfile.TemporaryDirectory(prefix="datamill-bench-") as folder, place(name, Path(folder)) as at:
                for figure in _measured(at, raw):
                    print(f"  {figure.what}: {figure.ours} ({figure.peer})", file=sys.stderr, flush=True)
                    figures.append(figure)
    return figures


def _measured(at: Place, raw: Raw) -> Iterator[Figure]:
    known, ones = contents(at), dict[int, float]()
    for files in SIZES:
        yield from _import(at, known, f"files-{files}", files)
    for files in SIZES:
        name = f"files-{files}"
        one = changing.one_file(at, name, files, 40)
        ones[files] = one.median
        yield _one(at, files, one)
        yield from _readings(at, raw, name, files)
        yield from _differences(at, raw, known, name, files, one)
    if len(SIZES) > 1:
        growth = ones[SIZES[-1]] / ones[SIZES[0]]
        what = f"growth of the one-file commit from {SIZES[0]:,} to {SIZES[-1]:,} files"
        yield _figure(at, what, f"{growth:.2f}×", goal="≤ 2×", reached=growth <= 2)
    yield from _crowds(at)


def _figure(
    at: Place, what: str, ours: str, *, peer: str = "–", ratio: str = "–", goal: str = "–", reached: bool | None = None
) -> Figure:
    return Figure(what=f"{at.name}: {what}", ours=ours, peer=peer, ratio=ratio, goal=goal, reached=reached)


def _import(at: Place, known: Contents, name: str, files: int) -> Iterator[Figure]:
    found = fill(at, known, name, files)
    whole = found.put_seconds + found.finish_seconds
    rate = files / found.processor_seconds
    yield _figure(
        at, f"import of {files:,} entries, to FINISHED",
        f"{rate:,.0f} entries a second of one core, {files / whole:,.0f} by the clock "
        f"(taken {found.put_seconds:.1f} s, finished {found.finish_seconds:.1f} s)",
        goal="≥ 1,000,000 a second of one core", reached=rate >= 1e6,
    )  # fmt: skip
    yield _figure(
        at, f"peak resident size of PFS meanwhile ({files:,})", f"{found.peak_bytes / MIB:.0f} MiB",
        goal="≤ 400 MiB", reached=found.peak_bytes <= 400 * MIB,
    )  # fmt: skip
    yield _figure(
        at, f"index written for them, staging included ({files:,})", f"{found.index_bytes / files:.0f} bytes a file"
    )


def _one(at: Place, files: int, one: Change) -> Figure:
    peer = synced_transactions()
    goal = 0.025 if at.far else 0.005
    return _figure(
        at, f"one changed file of {files:,}, to FINISHED", f"{spread(one.seconds)}, {one.index_bytes / 1e3:.1f} KB",
        peer=f"4 synced SQLite transactions {median(peer) * 1e3:.1f} ms", ratio=f"{median(peer) / one.median:.2f}×",
        goal=f"≤ {goal * 1e3:.0f} ms", reached=one.median <= goal,
    )  # fmt: skip


def _readings(at: Place, raw: Raw, name: str, files: int) -> Iterator[Figure]:
    alone = median(reading.each(lambda _: raw.one(), reading.LOOKUPS))
    seconds = reading.lookup(at, name, files)
    yield _figure(
        at, f"InspectFile of a file, warm ({files:,})", spread(seconds), peer=f"raw gRPC {alone * 1e3:.2f} ms",
        ratio=f"{alone / median(seconds):.2f}×",
    )  # fmt: skip
    for what, seconds in (
        ("a folder", reading.folder_size(at, name, files)),
        ("the root", reading.whole_size(at, name)),
    ):
        yield _figure(
            at, f"size of {what} ({files:,})", spread(seconds), peer=f"raw gRPC {alone * 1e3:.2f} ms",
            ratio=f"{alone / median(seconds):.2f}×", goal="≤ 1 ms beside the call",
            reached=median(seconds) - alone <= 1e-3,
        )  # fmt: skip
    yield from _streams(at, raw, name, files)


def _streams(at: Place, raw: Raw, name: str, files: int) -> Iterator[Figure]:
    folder = f"/class_{files // FILES_A_FOLDER // 2:05d}"
    yield _streamed(at, raw, f"ListFile of 1,000 of {files:,}", lambda: reading.list_folder(at, name, files), 0.002, 10)
    ours, count = timed(lambda: reading.glob_batched(at, name, f"{folder}/*"), 10)
    yield _figure(at, f"the same by GlobTree, batched ({count:,})", f"{ours * 1e3:.1f} ms", goal="≤ 2 ms",
                  reached=ours <= 0.002)  # fmt: skip
    if files != PAGED:
        return
    yield _streamed(at, raw, f"GlobFile /*/*.jpg of {files:,}", lambda: reading.glob(at, name, "/*/*.jpg"), 1.0, 1)
    ours, count = timed(lambda: reading.glob_batched(at, name, "/*/*.jpg"), 1)
    yield _figure(at, f"GlobTree /*/*.jpg, batched ({count:,})", f"{ours:.2f} s", goal="≤ 1 s", reached=ours <= 1)
    yield _streamed(at, raw, f"WalkFile of {files:,}", lambda: reading.walk(at, name), 0.4, 1)


def _streamed(at: Place, raw: Raw, what: str, work: Callable[[], int], goal: float, rounds: int) -> Figure:
    ours, count = timed(work, rounds)
    some = min(count, RAW_MESSAGES)
    peer = timed(lambda: raw.many(some), rounds)[0] * count / some
    return _figure(
        at, f"{what}: {count:,} messages", f"{ours * 1e3:,.1f} ms", peer=f"raw gRPC, as many {peer * 1e3:,.1f} ms",
        ratio=f"{peer / ours:.2f}×", goal=f"≤ {goal * 1e3:,.0f} ms", reached=ours <= goal,
    )  # fmt: skip


def _differences(at: Place, raw: Raw, known: Contents, name: str, files: int, one: Change) -> Iterator[Figure]:
    ours, count = timed(lambda: diff(at, one.commit), 20)
    yield _figure(
        at, f"DiffFile after 1 of {files:,} changed, {count} messages", f"{ours * 1e3:.1f} ms", goal="≤ 2 ms",
        reached=ours <= 0.002,
    )  # fmt: skip
    yield _planned(at, one, ours, f"1 of {files:,}", 20)
    for many, rounds, seconds, room in ((FEW, 10, 0.060, 0.5e6), (MANY, 3, 2.5 if files > PAGED else 1.2, 10e6)):
        found = changing.many_files(at, known, name, files, many, rounds)
        yield _figure(
            at, f"commit of {many:,} scattered changes of {files:,}",
            f"{spread(found.seconds)}, {found.index_bytes / 1e6:.2f} MB",
            goal=f"≤ {seconds * 1e3:,.0f} ms, ≤ {room / 1e6:g} MB",
            reached=found.median <= seconds and found.index_bytes <= room,
        )  # fmt: skip
        yield _figure(
            at, f"peak resident size of PFS meanwhile ({many:,} of {files:,})", f"{found.peak_bytes / MIB:.0f} MiB",
            goal="≤ 256 MiB", reached=found.peak_bytes <= 256 * MIB,
        )  # fmt: skip
        ours, count = timed(partial(diff, at, found.commit), 3)
        peer, _ = timed(partial(raw.many, count), 3)
        yield _figure(
            at, f"DiffFile of them, {count:,} messages ({many:,} of {files:,})", f"{ours * 1e3:,.1f} ms",
            peer=f"raw gRPC, as many {peer * 1e3:,.1f} ms", ratio=f"{peer / ours:.2f}×",
            goal="≤ 3 s" if many == MANY else "–", reached=ours <= 3 if many == MANY else None,
        )  # fmt: skip
        yield _planned(at, found, ours, f"{many:,} of {files:,}", 3)
    if files == GIT_FILES:
        yield from _beside_git(at, known, name, files)


def _planned(at: Place, change: Change, diffed: float, what: str, rounds: int) -> Figure:
    ours, count = timed(lambda: plan(at, change.commit), rounds)
    return _figure(
        at, f"what a planner needs of them: DiffTree, {count:,} files ({what})", f"{ours * 1e3:,.1f} ms",
        peer=f"DiffFile {diffed * 1e3:,.1f} ms", ratio=f"{diffed / ours:.1f}×", goal="≤ 2× DiffFile",
        reached=ours <= 2 * diffed,
    )  # fmt: skip


def _beside_git(at: Place, known: Contents, name: str, files: int) -> Iterator[Figure]:
    changes = [scattered(known, files, many, 0) for many in (MANY, 1)]
    one = changing.many_files(at, known, name, files, 1, 1)
    with git(changes) as peer:
        for what, ours, theirs in (
            ("diff after 1 changed", timed(lambda: diff(at, one.commit), 5)[0],
             peer.seconds("diff", "--name-status", "HEAD~1", "HEAD")),
            ("list of everything", timed(lambda: reading.walk(at, name), 1)[0], peer.seconds("ls-tree", "-r", "HEAD")),
            ("list of everything, batched", timed(lambda: reading.glob_batched(at, name, "/*/*"), 1)[0],
             peer.seconds("ls-tree", "-r", "HEAD")),
        ):  # fmt: skip
            yield _figure(
                at, f"{what} ({files:,})", f"{ours * 1e3:,.1f} ms", peer=f"git {theirs * 1e3:,.1f} ms",
                ratio=f"{theirs / ours:.2f}×",
            )  # fmt: skip


def _crowds(at: Place) -> Iterator[Figure]:
    one = crowds.alone_and_apart(at, 1, 100)
    yield _figure(at, "commits of one file from 1 client", f"{one:.0f} /s")
    eight = crowds.alone_and_apart(at, 8, 25)
    yield _figure(
        at, "the same from 8 clients, a repo each", f"{eight:.0f} /s", ratio=f"{eight / one:.1f}× of 1 client"
    )
    crowd = crowds.one_shots(at, 8, 25)
    yield _figure(at, "one-shot commits from 8 clients on one branch", f"{crowd:.0f} /s")
    grown, plain = crowds.inserted_byte(at)
    yield _figure(
        at, "one byte more at the front of a file of 256 MiB, put again", f"{grown / MIB:.1f} MiB new",
        goal="≤ 4 MiB", reached=grown <= 4 * MIB, peer=f"by ModifyFile {plain / MIB:.1f} MiB",
    )  # fmt: skip
