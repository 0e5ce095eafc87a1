"""How much work there is for pipelines' workers, and how their newest jobs are.

Elsewhere: who decides how many workers there are (services/pps).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from services.jobs.domain.jobs import JobState
from services.jobs.storage.jobs import JobStore
from services.jobs.storage.sets import SetStore

ENOUGH = 1000  # sets: there are never so many workers
BEFORE_WORK = frozenset({JobState.CREATED, JobState.STARTING})


@dataclass(frozen=True, slots=True)
class Demand:
    """Sets that are not done, those of them that nobody has, and jobs that run or are still to run."""

    open_sets: int
    unclaimed_sets: int
    unfinished_jobs: int


def demand(tx: Session, project: str, pipeline: str, *, now: datetime) -> Demand:
    """What a pipeline's jobs want of its workers."""
    states = [(job.number, job.state) for job in JobStore(tx).unclosed(project, pipeline)]
    running = [number for number, state in states if state is JobState.RUNNING]
    before = sum(state in BEFORE_WORK for _, state in states)
    left = sum(SetStore(tx).left(number, most=ENOUGH) for number in running)
    unclaimed = sum(SetStore(tx).unclaimed(number, most=ENOUGH, now=now) for number in running) if left else 0
    return Demand(left, unclaimed, len(running) + before)


def last_states(tx: Session, pipelines: Iterable[tuple[str, str]]) -> list[int]:
    """Of the newest job of each; 0 for those that have none."""
    return [JobStore(tx).last_state(project, name) for project, name in pipelines]
