"""Killing jobs from outside the driver: by users, because of PPS's news, because a commit has vanished."""

from datetime import datetime

from sqlalchemy.orm import Session

from services.jobs.domain.errors import JobNotFound
from services.jobs.domain.jobs import Job, JobKey, JobState
from services.jobs.operations.running import moving
from services.jobs.operations.running.bases import commits_of
from services.jobs.operations.running.tools import Tools, line_of
from services.jobs.storage.jobs import JobStore
from services.jobs.storage.ledger import Ledger
from services.jobs.storage.seals import Seals


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


def forget_pipeline(tx: Session, project: str, pipeline: str, before: datetime) -> list[Job]:
    """Forget a deleted pipeline's jobs that were made before then. Returns them."""
    jobs = [job for job in JobStore(tx).of_pipeline(project, pipeline) if job.created <= before]
    for job in jobs:
        Seals(tx).remove(job.number)
        JobStore(tx).remove(job.number)
    if jobs:
        Ledger(tx).bury(project, pipeline)
    JobStore(tx).drop_specs(project, pipeline)
    return jobs


async def close_commits(tools: Tools, job: Job) -> None:
    """Finish the commits of a job that has ended, with its reason when it ended badly."""
    for ref in commits_of(job):
        await tools.pfs.finish(ref, error="" if job.state is JobState.SUCCESS else job.reason)
    await tools.queue.forget_job(line_of(job), job.number)
    await tools.db.run(moving.close, job.number, now=tools.clock.now())
