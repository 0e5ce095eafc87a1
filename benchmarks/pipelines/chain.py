"""From a commit to the last of ten pipelines in a row, each with one datum and a warm worker."""

import os
import time
from statistics import median

from benchmarks.instance import Instance, instance
from benchmarks.pipelines.jobs import pipeline
from benchmarks.report import Figure, spread

LENGTH = int(os.environ.get("BENCH_CHAIN", "10"))
ROUNDS = 10
GOAL_SECONDS = 2.0


def build(up: Instance) -> list[str]:
    """The pipelines, each reading the one before. Returns their names, once all are idle."""
    up.repo("spring")
    names = [f"link{number:02d}" for number in range(LENGTH)]
    for source, name in zip(["spring", *names], names, strict=False):
        up.pipeline(pipeline(name, source, "/", f"cp -r /pfs/{source}/. /pfs/out/"))
    for name in names:
        up.idle(name)
    return names


def run() -> list[Figure]:
    all_of_them, first = list[float](), list[float]()
    with instance() as up:
        names = build(up)
        for turn in range(ROUNDS + 2):
            begun = time.perf_counter()
            id = up.commit("spring", {"/drop": b"%d\n" % turn})
            up.job(names[-1], id)
            all_of_them.append(time.perf_counter() - begun)
        for turn in range(ROUNDS + 2):
            begun = time.perf_counter()
            up.job(names[0], up.commit("spring", {"/drop": b"again %d\n" % turn}))
            first.append(time.perf_counter() - begun)
            up.idle(names[-1])
    return [
        Figure(
            what=f"commit → SUCCESS of the last of {LENGTH} pipelines in a row, one datum each, all warm",
            ours=spread(all_of_them[2:]),
            peer=f"the first of them alone {spread(first[2:])}",
            ratio=f"{median(all_of_them[2:]) / median(first[2:]):.1f}× one",
            goal=f"≤ {GOAL_SECONDS:.0f} s",
            reached=median(all_of_them[2:]) <= GOAL_SECONDS,
        )
    ]
