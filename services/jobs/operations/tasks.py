"""Looking at work in flight, a page at a time. Elsewhere: what a task is (domain/tasks.py)."""

from datetime import datetime

from sqlalchemy.orm import Session

from services.jobs.domain.jobs import Job, JobState
from services.jobs.domain.sets import DatumSet
from services.jobs.domain.tasks import PREPROCESSING, PROCESSING, Task, covers, namespace_of, of_planning, of_set
from services.jobs.storage.jobs import JobStore
from services.jobs.storage.sets import SetStore
from services.jobs.storage.tables import JobRow

PAGE = 1000


def jobs_at_work(tx: Session, group: str) -> list[Job]:
    """Jobs that have not ended, or the one of that id in each pipeline."""
    mine = (JobRow.id == group,) if group else ()
    return JobStore(tx).select(JobRow.closed.is_(False), *mine, newest_first=False)


def planning(job: Job, namespace: str) -> list[Task]:
    wanted = job.state is JobState.STARTING and covers(namespace, namespace_of(PREPROCESSING, job))
    return [of_planning(job)] if wanted else []


def sets(tx: Session, job: Job, namespace: str, after: int, now: datetime) -> list[tuple[int, Task]]:
    """Up to PAGE tasks of a job, with the numbers of their sets; those above `after`."""
    if job.final or not covers(namespace, namespace_of(PROCESSING, job)):
        return []
    rows: list[DatumSet] = SetStore(tx).above(job.number, after, PAGE)
    return [(one.index, of_set(job, one, held=one.held(now))) for one in rows]
