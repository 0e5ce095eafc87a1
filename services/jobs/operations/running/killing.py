"""Killing jobs from outside the driver: by users, because of PPS's news, because a commit has vanished."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from services.jobs.domain.errors import JobNotFound
from services.jobs.domain.jobs import Job, JobKey, JobState
from services.jobs.operations.running import moving
from services.jobs.operations.running.bases import commits_of
from services.jobs.operations.running.tools import Tools, line_of
from services.jobs.storage.jobs import JobStore

SOME = 200
"""Jobs that are forgotten by one transaction."""


async def stop_job(tools: Tools, key: JobKey, reason: str) -> None:
    """Kill a job and close its commits. One that has ended stays as it is. Raises JobNotFound."""
    job = await tools.db.read(moving.find_job, key)
    if job is None:
        raise JobNotFound(key)
    await kill(tools, job, reason)


async def kill(tools: Tools, job: Job, reason: str) -> None:
    """Kill a job, unless it has ended."""
    now = tools.clock.now()
    ended = await tools.db.run(moving.end, job.number, JobState.KILLED, now=now, reason=reason)
    if ended is not None:
        tools.wakes.wake(str(job.key))
        await close_commits(tools, ended)


async def delete_job(tools: Tools, key: JobKey, reason: str) -> None:
    """Kill a job and forget it. Raises JobNotFound."""
    await stop_job(tools, key, reason)
    job = await tools.db.read(moving.find_job, key)
    if job is not None:
        await tools.db.run(moving.remove, job, now=tools.clock.now())
        await tools.logs.forget(key.project, key.pipeline, key.id)
        tools.wakes.wake(str(key))


def open_jobs(tx: Session, project: str, pipeline: str) -> list[Job]:
    """Jobs that have not ended."""
    return [job for job in JobStore(tx).unclosed(project, pipeline) if not job.final]


def others(tx: Session, project: str, pipeline: str, made: datetime | None, until: int) -> list[Job]:
    """Jobs of deleted pipelines of a name, some of them at a time.

    made: when the one was that is there now, None when none is. until: the last job before PPS said so.
    """
    return JobStore(tx).of_others(project, pipeline, made, until, SOME)


def forget(tx: Session, jobs: Sequence[Job], *, now: datetime) -> None:
    """Forget jobs of deleted pipelines."""
    for job in jobs:
        moving.remove(tx, job, now=now)


def forget_versions(tx: Session, project: str, pipeline: str, made: datetime | None) -> None:
    """Forget what deleted pipelines of a name were like, as far as no job needs it. made: as of `others`."""
    JobStore(tx).drop_specs(project, pipeline, made)


async def close_commits(tools: Tools, job: Job) -> None:
    """Finish the commits of a job that has ended, with its reason when it ended badly."""
    for ref in commits_of(job):
        await tools.pfs.finish(ref, error="" if job.state is JobState.SUCCESS else job.reason)
    await tools.queue.forget_job(line_of(job), job.number)
    await tools.db.run(moving.close, job.number, now=tools.clock.now())
