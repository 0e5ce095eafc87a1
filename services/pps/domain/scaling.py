"""How many workers a pipeline with autoscaling has: none without work, and never more than there is work for."""

from dataclasses import dataclass
from datetime import timedelta

LINGER = timedelta(seconds=20)
"""How long workers wait for a job that is there but has no work yet: its inputs may take much longer than this."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a pipeline's jobs want: datum sets that are not done, and jobs that run or are still to run."""

    open_sets: int = 0
    unfinished_jobs: int = 0


def workers(demand: Demand, *, there: int, most: int, idle: timedelta) -> int:
    """How many there should be. there: that are now; most: parallelism; idle: since there was a set to be done.

    Nobody is sent away while there is work. Jobs that follow one another quickly are done by the same workers.
    """
    if demand.open_sets:
        return max(there, min(demand.open_sets, most))
    return there if demand.unfinished_jobs and idle < LINGER else 0
