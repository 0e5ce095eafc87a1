"""From a line that user code prints to the same line at `datamill logs -f`."""

import subprocess
import time
from statistics import median

from benchmarks.instance import Instance, instance
from benchmarks.pipelines.jobs import pipeline
from benchmarks.report import Figure, spread

LINES = 20
GOAL_SECONDS = 0.5


def run() -> list[Figure]:
    with instance() as up:
        seconds = _seen(up)
    return [
        Figure(
            what="log line printed by user code → seen by `logs -f`",
            ours=spread(seconds),
            goal=f"≤ {GOAL_SECONDS * 1e3:.0f} ms",
            reached=median(seconds) <= GOAL_SECONDS,
        )
    ]


def _seen(up: Instance) -> list[float]:
    up.repo("spoken")
    up.pipeline(
        pipeline("talk", "spoken", "/*", f"for i in $(seq {LINES}); do echo now $(date +%s.%N); sleep 0.7; done")
    )
    up.idle("talk")
    follow = subprocess.Popen(up.command("logs", "-f", "--pipeline", "talk"), stdout=subprocess.PIPE, text=True)
    assert follow.stdout is not None
    try:
        up.commit("spoken", {"/go": b"x"})
        seconds = list[float]()
        for line in follow.stdout:
            if "now " in line:
                seconds.append(time.time() - float(line.split("now ")[1].split()[0]))
            if len(seconds) == LINES:
                break
    finally:
        follow.kill()
        follow.wait()
    return seconds
