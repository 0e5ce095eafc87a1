"""From a commit to the first datum of a pipeline that has no worker then, and of one that has."""

import time
from statistics import median

from benchmarks.instance import Instance, instance, named, repo
from benchmarks.pipelines.jobs import pipeline
from benchmarks.report import Figure, spread
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps

ROUNDS = 6
READY_SECONDS = 3.0  # another worker is made ready meanwhile
GOAL_SECONDS = 1.0


def _begun(up: Instance, name: str, turn: int) -> float:
    """Seconds from before a commit to the start of the user's code, by the clock of both."""
    before = time.time()
    id = up.commit("spring", {"/drop": b"%d\n" % turn})
    up.job(name, id)
    asked = pfs.GetFileRequest(file=pfs.File(commit=pfs.Commit(repo=repo(name), id=id), path="/begun"))
    return float(b"".join(piece.value for piece in up.pfs.GetFile(asked))) - before


def _asleep(up: Instance, name: str) -> None:
    asked = pps.InspectPipelineRequest(pipeline=named(name))
    while up.pps.InspectPipeline(asked).state != pps.PIPELINE_STANDBY:
        time.sleep(0.1)


def run() -> list[Figure]:
    asleep, warm = list[float](), list[float]()
    with instance() as up:
        up.repo("spring")
        for name, scaled in (("asleep", True), ("warm", False)):
            request = pipeline(name, "spring", "/", "date +%s.%N > /pfs/out/begun")
            request.autoscaling = scaled
            up.pipeline(request)
        up.idle("warm")
        for turn in range(ROUNDS):
            _asleep(up, "asleep")
            time.sleep(READY_SECONDS)
            asleep.append(_begun(up, "asleep", turn))
            warm.append(_begun(up, "warm", turn + ROUNDS))
    return [
        Figure(
            what="commit → user code of the first datum runs, from standby",
            ours=spread(asleep),
            peer=f"with a worker that is there {spread(warm)}",
            ratio=f"{median(asleep) / median(warm):.1f}× warm",
            goal=f"≤ {GOAL_SECONDS:.0f} s",
            reached=median(asleep) <= GOAL_SECONDS,
        )
    ]
