"""Plans of jobs: of everything, and of what has changed; over a glob, a cross and a join. This process is the worker.

BENCH_PLAN_FILES scales all of it: a million files under a glob, a thousandth of it on either side of a cross, a tenth
on either side of a join.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datamill
from benchmarks.goals.changing import overwriting
from benchmarks.goals.filling import Contents, contents, fill, path_of
from benchmarks.goals.places import Place
from benchmarks.report import Figure, spread
from datamill.wire import content_v1_pb2_grpc as content_grpc
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pfs_v2_pb2_grpc as pfs_grpc
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import trees_v1_pb2_grpc as trees_grpc
from datamill.wire import work_v1_pb2 as work
from tests.support.servers import channel, free_port
from tests.system.jobs.conftest import Instance
from tests.system.jobs.hands import Bench, job

FILES = int(os.environ.get("BENCH_PLAN_FILES", "1000000"))
ROUNDS = 10
FULL_SECONDS, CHANGE_SECONDS, STOP_SECONDS, MEMORY_MIB = 20.0, 1.0, 2.0, 500.0
PLANNING_SECONDS = 2.0  # so long a job has been planned when it is stopped


@dataclass(frozen=True)
class Planned:
    """How long a plan took, by the clock and of the processor, and the largest that Jobs was."""

    seconds: float
    processor_seconds: float
    peak_mib: float

    def figure(self, what: str, goal: float | None = None) -> Figure:
        limits = ([] if goal is None else [f"≤ {goal:.0f} s"]) + [f"≤ {MEMORY_MIB:.0f} MiB"]
        ours = f"{self.seconds:.1f} s ({self.processor_seconds:.1f} s of its processor), Jobs {self.peak_mib:.0f} MiB"
        reached = self.peak_mib <= MEMORY_MIB and (goal is None or self.seconds <= goal)
        return Figure(what=what, ours=ours, goal=", ".join(limits), reached=reached)


@dataclass(frozen=True)
class Parts:
    """An instance without workers. jobs: PID of the process."""

    pfs: Place
    jobs: int
    bench: Bench
    known: Contents

    def repo(self, name: str, files: int) -> str:
        fill(self.pfs, self.known, name, files)
        return name

    @property
    def process(self) -> Place:
        """Jobs, for its memory and processor."""
        return replace(self.pfs, pid=self.jobs)

    def planned(self, name: str, tree: dict[str, Any]) -> tuple[Bench, str, "Planned"]:
        """Make a pipeline, and wait until its first job is planned."""
        process, bench = self.process, replace(self.bench, name=name)
        process.forget_peak()
        used = process.processor_seconds
        id = bench.create(input=tree, datumSetSpec={"perWorker": 4})
        while (info := bench.inspect(id)).state in (pps.JOB_CREATED, pps.JOB_STARTING):
            time.sleep(0.02)
        assert info.state == pps.JOB_RUNNING, info
        seconds = (info.started.ToNanoseconds() - info.created.ToNanoseconds()) / 1e9
        return bench, id, Planned(seconds, process.processor_seconds - used, process.peak_bytes / 2**20)


@contextmanager
def parts() -> Iterator[Parts]:
    with tempfile.TemporaryDirectory(prefix="datamill-bench-") as folder, ExitStack() as up:
        at = {name: f"127.0.0.1:{free_port()}" for name in ("pfs", "jobs", "pps")}
        instance = Instance(Path(folder), "bench", at, free_port(), {})
        up.callback(instance.stop)
        for name in ("nats", *at):
            instance.start(name)
        to = {name: up.enter_context(channel(address)) for name, address in at.items()}
        client = up.enter_context(datamill.Client(f"grpc://{at['pfs']}"))
        pids = {name: found.process.pid for name, (_, found) in instance.up.items()}
        place = Place(
            "", False, at["pfs"], pids["pfs"], to["pfs"], client, pfs_grpc.APIStub(to["pfs"]),
            content_grpc.ContentServiceStub(to["pfs"]), trees_grpc.TreeServiceStub(to["pfs"]), lambda _: 0,
        )  # fmt: skip
        bench = Bench(to["pfs"], to["pps"], to["jobs"], "bench", "", "")
        yield Parts(place, pids["jobs"], bench, contents(place))


def leaf(source: str, glob: str = "/*/*", **more: str) -> dict[str, Any]:
    return {"pfs": {"repo": source, "name": source, "glob": glob, **more}}


def work_off(bench: Bench, id: str) -> pps.JobInfo:
    """Do a job's work: every datum succeeds and writes nothing."""
    hands = bench.hands()
    while (info := bench.inspect(id)).state == pps.JOB_RUNNING:
        held = hands.lease(1)
        if held is not None:
            done = [work.DatumResult(datum_id=datum.id, state=pps.DatumState.SUCCESS) for datum in held.datums]
            hands.complete(
                work.CompleteSetRequest(
                    lease=held.lease, job=held.job, index=held.index, results=done, worker=hands.name
                )
            )
    return info


def glob(up: Parts) -> list[Figure]:
    bench, id, full = up.planned("plain", leaf(up.repo("many", FILES)))
    begun = time.perf_counter()
    work_off(bench, id)
    worked = time.perf_counter() - begun
    working = up.process.peak_bytes / 2**20
    assert bench.ended(id).state == pps.JOB_SUCCESS
    seconds = [change(up, bench, turn) for turn in range(ROUNDS + 1)][1:]
    return [
        full.figure(f"{FILES:,} files, glob `/*/*`: plan of everything", FULL_SECONDS),
        Figure(
            what=f"… all {FILES:,} datums handed out and taken back, most memory of Jobs",
            ours=f"{worked:.1f} s, {working:.0f} MiB",
            goal=f"≤ {MEMORY_MIB:.0f} MiB",
            reached=working <= MEMORY_MIB,
        ),
        Figure(
            what=f"… then 1 file of {FILES:,} changed: FinishCommit → job SUCCESS, a worker waiting",
            ours=spread(seconds),
            goal=f"≤ {CHANGE_SECONDS:.0f} s",
            reached=max(seconds) <= CHANGE_SECONDS,
        ),
    ]


def change(up: Parts, bench: Bench, turn: int) -> float:
    """Seconds from FinishCommit of one changed file to SUCCESS, by the clock of whoever waits."""
    commit = up.pfs.start("many")
    up.pfs.pfs.ModifyFile(iter(overwriting(commit, path_of(turn * 7919 % FILES), b"changed %d" % turn)))
    begun = time.perf_counter()
    up.pfs.pfs.FinishCommit(pfs.FinishCommitRequest(commit=commit))
    hands = bench.hands()
    held = hands.lease()
    assert held is not None
    assert len(held.datums) == 1
    hands.complete(hands.results(held))
    info = bench.ended(commit.id)
    took = time.perf_counter() - begun
    assert (info.state, info.data_processed, info.data_total) == (pps.JOB_SUCCESS, 1, FILES), info
    return took


def ending(up: Parts) -> list[Figure]:
    """Stop and delete jobs of so many datums, each a set of its own: while one is planned, and beside another."""
    bench, process = replace(up.bench, name="ended", source="many"), up.process
    process.forget_peak()
    tree = leaf("many")
    planned = bench.create(input=tree, datumSetSpec={"number": 1}, parallelismSpec={"constant": 2})
    took = {}

    def timed(what: str, call: Callable[[], object]) -> None:
        begun = time.perf_counter()
        call()
        took[what] = time.perf_counter() - begun

    def until(id: str, *states: "pps.JobState.ValueType") -> None:
        while (info := bench.inspect(id)).state not in states:
            assert info.state not in (pps.JOB_FAILURE, pps.JOB_UNRUNNABLE), info
            time.sleep(0.02)

    def stop(id: str) -> Callable[[], object]:
        return lambda: bench.jobs.StopJob(pps.StopJobRequest(job=job(bench.name, id)))

    until(planned, pps.JOB_STARTING)
    time.sleep(PLANNING_SECONDS)
    timed("StopJob, while it is planned", stop(planned))
    first, second = change_one(up, 1), change_one(up, 2)
    until(first, pps.JOB_RUNNING)
    timed("StopJob, as the next is planned beside it", stop(first))
    timed("DeleteJob of the same", lambda: bench.jobs.DeleteJob(pps.DeleteJobRequest(job=job(bench.name, first))))
    until(second, pps.JOB_RUNNING)
    named = pps.Pipeline(name=bench.name, project=pfs.Project(name="default"))
    timed("StopPipeline, a job runs", lambda: bench.pipelines.StopPipeline(pps.StopPipelineRequest(pipeline=named)))
    until(second, pps.JOB_KILLED)
    gone = pps.DeletePipelineRequest(pipeline=named)
    timed("DeletePipeline after that", lambda: bench.pipelines.DeletePipeline(gone))
    peak = process.peak_bytes / 2**20
    return [
        Figure(
            what=f"a job of {FILES:,} datums, each a set of its own: {what}",
            ours=f"{seconds * 1e3:.0f} ms",
            goal=f"≤ {STOP_SECONDS:.0f} s",
            reached=seconds <= STOP_SECONDS,
        )
        for what, seconds in took.items()
    ] + [
        Figure(
            what="… most memory of Jobs",
            ours=f"{peak:.0f} MiB",
            goal=f"≤ {MEMORY_MIB:.0f} MiB",
            reached=peak <= MEMORY_MIB,
        )
    ]


def change_one(up: Parts, turn: int) -> str:
    """The id of a commit with one changed file."""
    commit = up.pfs.start("many")
    up.pfs.pfs.ModifyFile(iter(overwriting(commit, path_of(turn), b"once more %d" % turn)))
    up.pfs.pfs.FinishCommit(pfs.FinishCommitRequest(commit=commit))
    return str(commit.id)


def combined(up: Parts) -> list[Figure]:
    few, many = max(FILES // 1000, 1), max(FILES // 10, 1)
    one, two = up.repo("one", few), up.repo("two", few)
    left, right = up.repo("left", many), up.repo("right", many)
    _, _, crossed = up.planned("crossed", {"cross": [leaf(one), leaf(two)]})
    key = {"glob": "/*/IMG_(*).jpg", "joinOn": "$1"}
    _, _, joined = up.planned("joined", {"join": [leaf(left, **key), leaf(right, **key)]})
    return [
        crossed.figure(f"cross of {few:,} × {few:,}: plan"),
        joined.figure(f"join of {many:,} × {many:,} on a capture: plan"),
    ]


def run() -> list[Figure]:
    with parts() as up:
        return glob(up) + ending(up) + combined(up)
