"""From a finished commit to running user code; and many small datums against GNU parallel on the same files."""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.instance import Instance, changes, instance, named, repo
from benchmarks.report import Figure, spread
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps

DATUMS = int(os.environ.get("BENCH_DATUMS", "2000"))
ROUNDS = 20
GOAL_SECONDS = 0.150


def pipeline(name: str, source: str, glob: str, script: str, *, workers: int = 1) -> pps.CreatePipelineRequest:
    return pps.CreatePipelineRequest(
        pipeline=named(name),
        transform=pps.Transform(cmd=["sh", "-c", script]),
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


def rate(up: Instance) -> list[Figure]:
    """The job's own started → finished times, so that it includes planning, results and validation."""
    up.repo("small")
    up.pipeline(pipeline("copy", "small", "/*", 'cp "$small" /pfs/out/', workers=2))
    up.idle("copy")
    contents = {f"/f{number:05d}": b"%d\n" % number for number in range(DATUMS)}
    started = up.pfs.StartCommit(pfs.StartCommitRequest(branch=pfs.Branch(repo=repo("small"), name="master")))
    up.pfs.ModifyFile(changes(started, contents))
    up.pfs.FinishCommit(pfs.FinishCommitRequest(commit=started))
    info = up.job("copy", started.id)
    ours = (info.finished.ToNanoseconds() - info.started.ToNanoseconds()) / 1e9
    theirs = parallel_seconds(contents)
    return [
        Figure(
            what=f"{DATUMS:,} datums of one small file, user code `sh -c cp`, 2 workers, whole job",
            ours=f"{DATUMS / ours:.0f} datums/s ({ours:.2f} s)",
            peer=f"GNU parallel -j2 {DATUMS / theirs:.0f} files/s ({theirs:.2f} s)",
            ratio=f"{theirs / ours:.2f}×",
            goal="≥ 1×",
            reached=theirs / ours >= 1,
        )
    ]


def parallel_seconds(contents: dict[str, bytes]) -> float:
    """GNU parallel over the same files; it runs `cp` through a shell too."""
    tool = shutil.which("parallel")
    if tool is None:
        raise SystemExit("GNU parallel is the peer of this benchmark: install it (Debian: apt-get install parallel)")
    with tempfile.TemporaryDirectory(prefix="datamill-bench-") as name:
        source, target = Path(name) / "in", Path(name) / "out"
        source.mkdir()
        target.mkdir()
        for path, content in contents.items():
            (source / path[1:]).write_bytes(content)
        names = "\n".join(str(source / path[1:]) for path in contents)
        begun = time.perf_counter()
        subprocess.run([tool, "--will-cite", "-j2", "cp", "{}", str(target)], input=names, text=True, check=True)
        seconds = time.perf_counter() - begun
        assert len(list(target.iterdir())) == len(contents)
    return seconds


def run() -> list[Figure]:
    with instance() as up:
        return latency(up) + rate(up)
