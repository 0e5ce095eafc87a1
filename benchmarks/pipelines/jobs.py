"""From a finished commit to running user code; many small datums against GNU parallel and Dask.

Elsewhere: batched datums (batching.py); the tasks of Dask (dask_tasks.py), in the environment of the peers.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.instance import Instance, changes, instance, named, repo
from benchmarks.processor import Processor, said
from benchmarks.report import Figure, spread
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps

DATUMS = int(os.environ.get("BENCH_DATUMS", "2000"))
ROUNDS = 20
GOAL_SECONDS = 0.150
PEERS = Path(__file__).parents[2] / ".venv-peers/bin/python"
WORKERS = 2  # of which GNU parallel is to be half as quick


@dataclass(frozen=True)
class Copy:
    """A way to copy a file. ours: what a pipeline runs; theirs: what Dask runs, before the file and the target."""

    name: str
    ours: tuple[str, ...]
    theirs: tuple[str, ...]


CP = Copy("cp", ("cp", "-r", "/pfs/small/.", "/pfs/out/"), ("cp",))
SHELL = Copy("sh -c 'exec cp'", ("sh", "-c", 'exec cp "$small" /pfs/out/'), ("sh", "-c", 'exec cp "$0" "$1"'))


def pipeline(
    name: str, source: str, glob: str, command: str | Sequence[str], *, workers: int = 1
) -> pps.CreatePipelineRequest:
    """command: a script for a shell, or a program and its arguments."""
    return pps.CreatePipelineRequest(
        pipeline=named(name),
        transform=pps.Transform(cmd=["sh", "-c", command] if isinstance(command, str) else command),
        input=pps.Input(pfs=pps.PFSInput(repo=source, glob=glob)),
        parallelism_spec=pps.ParallelismSpec(constant=workers),
    )


def latency(up: Instance) -> list[Figure]:
    """User code notes the time it starts; the other end is the commit's `finished` time."""
    up.repo("nudges")
    up.pipeline(pipeline("note", "nudges", "/*", "date +%s.%N > /pfs/out/$(basename $nudges)"))
    up.idle("note")
    seconds = []
    for turn in range(ROUNDS + 2):
        id = up.commit("nudges", {f"/nudge-{turn}": b"x"})
        up.job("note", id)
        commit = pfs.Commit(repo=repo("nudges"), id=id)
        finished = up.pfs.InspectCommit(pfs.InspectCommitRequest(commit=commit)).finished.ToNanoseconds() / 1e9
        file = pfs.File(commit=pfs.Commit(repo=repo("note"), id=id), path=f"/nudge-{turn}")
        began = float(b"".join(part.value for part in up.pfs.GetFile(pfs.GetFileRequest(file=file))))
        seconds.append(began - finished)
    return [
        Figure(
            what="commit finished → user code of the dependent job running, warm worker",
            ours=spread(seconds[2:]),
            goal=f"≤ {GOAL_SECONDS * 1e3:.0f} ms",
            reached=median(seconds[2:]) <= GOAL_SECONDS,
        )
    ]


def rates(up: Instance) -> list[Figure]:
    """One small file a datum, by 1, 2 and 4 workers; each peer with as many over the same files."""
    contents = small_files(DATUMS)
    figures = []
    with laid_out(contents) as (source, target):
        for copy, workers in ((CP, 1), (CP, WORKERS), (CP, 4), (SHELL, WORKERS)):
            ours, processor = job(up, f"copy-{workers}", copy.ours, contents, workers=workers)
            what = f"{DATUMS:,} datums of one small file, user code `{copy.name}`, {workers} workers, whole job"
            for peer, theirs, goal in (
                ("GNU parallel", parallel_seconds(source, target, workers), 2.0 if workers == WORKERS else 0.0),
                ("Dask", dask_seconds(source, target, workers, copy.theirs), 0.0),
            ):
                ratio = theirs / ours
                figures.append(
                    Figure(
                        what=what,
                        ours=f"{DATUMS / ours:.0f} datums/s; processor per datum {said(processor)}",
                        peer=f"{peer} {DATUMS / theirs:.0f} tasks/s ({theirs:.2f} s)",
                        ratio=f"{ratio:.2f}×",
                        goal=f"≥ {goal:g}×" if goal else "–",
                        reached=ratio >= goal if goal else None,
                    )
                )
    return figures


def job(
    up: Instance,
    name: str,
    command: str | Sequence[str],
    contents: dict[str, bytes],
    *,
    workers: int,
    batching: bool = False,
) -> tuple[float, dict[str, float]]:
    """The job's own started → finished times in seconds, so that it includes planning, results and validation; and what
    each process took of a processor per datum, from the end of the commit on, in ms by role."""
    request = pipeline(name, "small", "/*", command, workers=workers)
    request.transform.datum_batching = batching
    if not any(info.repo.name == "small" for info in up.pfs.ListRepo(pfs.ListRepoRequest())):
        up.repo("small")
    up.commit("small", {"/f": b""})
    up.pipeline(request)
    up.idle(name)
    started = up.pfs.StartCommit(pfs.StartCommitRequest(branch=pfs.Branch(repo=repo("small"), name="master")))
    up.pfs.ModifyFile(changes(started, contents))
    processor = Processor.started(str(up.folder))
    up.pfs.FinishCommit(pfs.FinishCommitRequest(commit=started))
    info = up.job(name, started.id)
    taken = processor.per(len(contents))
    up.pps.DeletePipeline(pps.DeletePipelineRequest(pipeline=named(name)))
    up.pfs.DeleteRepo(pfs.DeleteRepoRequest(repo=repo("small")))
    assert info.data_processed + info.data_skipped >= len(contents), info
    return float(info.finished.ToNanoseconds() - info.started.ToNanoseconds()) / 1e9, taken


def small_files(count: int) -> dict[str, bytes]:
    return {f"/f{number:06d}": b"%d\n" % number for number in range(count)}


@contextmanager
def laid_out(contents: dict[str, bytes]) -> Iterator[tuple[Path, Path]]:
    """The same files in a folder, and an empty one beside it."""
    with tempfile.TemporaryDirectory(prefix="datamill-bench-") as name:
        source, target = Path(name) / "in", Path(name) / "out"
        source.mkdir()
        for path, content in contents.items():
            (source / path[1:]).write_bytes(content)
        yield source, target


def parallel_seconds(source: Path, target: Path, workers: int) -> float:
    """GNU parallel over the same files; it runs `cp` through a shell."""
    tool = shutil.which("parallel")
    if tool is None:
        raise SystemExit("GNU parallel is the peer of this benchmark: install it (Debian: apt-get install parallel)")
    command = [tool, "--will-cite", f"-j{workers}", "cp", "{}", str(target)]
    names = "\n".join(map(str, source.iterdir()))
    target.mkdir()
    begun = time.perf_counter()
    subprocess.run(command, input=names, text=True, check=True)
    return _done(source, target, time.perf_counter() - begun)


def dask_seconds(source: Path, target: Path, workers: int, copy: Sequence[str]) -> float:
    """A task for each file on a cluster of processes that is up already; each runs the same command."""
    if not PEERS.exists():
        raise SystemExit("the peer is missing: run `make peers`")
    target.mkdir()
    tasks = Path(__file__).parent / "dask_tasks.py"
    command = [str(PEERS), str(tasks), str(workers), str(source), str(target), *copy]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return _done(source, target, float(printed))


def _done(source: Path, target: Path, seconds: float) -> float:
    assert len(list(target.iterdir())) == len(list(source.iterdir()))
    shutil.rmtree(target)
    return seconds


def run() -> list[Figure]:
    with instance() as up:
        return latency(up) + rates(up)
