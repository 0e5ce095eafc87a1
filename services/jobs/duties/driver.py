"""Driving jobs: a task for each, under a lease each; of one version of a pipeline the oldest, up to its parallelism.

A service has one job at a time. Jobs of different pipelines run side by side. Trouble with another service or the
store ends a try, never a job; the next try goes on from the state in the database. A kill is a change of that state;
the watcher sees it and drops the try.
Elsewhere: the steps (operations/running/steps.py); which jobs there are (operations/creating.py); news (follower.py).
"""

import asyncio
import logging
import random
from datetime import datetime, timedelta

import grpc
from nats.errors import Error as NatsError
from sqlalchemy import update
from sqlalchemy.orm import Session

from services.jobs.domain.errors import CommitGone, Superseded
from services.jobs.domain.jobs import COMMIT_REMOVED, TIMED_OUT, Job, JobState
from services.jobs.operations.running import moving
from services.jobs.operations.running.steps import JobSteps, Tools
from services.jobs.operations.wakes import waited
from services.jobs.peers.pfs import FileSetGone
from services.jobs.spec_reader import read_document
from services.jobs.storage.jobs import JobStore
from services.kit.errors import Exhausted, Unavailable, leaves
from services.kit.storage.leases import LeaseRow, drop_lease, take_lease
from services.kit.time.clock import fresh_id

log = logging.getLogger(__name__)
DUTY = "job/"
LEASE = timedelta(seconds=9)  # with the longest pause between tries: how soon the work of a dead process goes on
WATCH_AGAIN = 2.0
LONGEST_PAUSE = 3.0
LOOK_AGAIN = 10.0
TROUBLE = (grpc.aio.AioRpcError, NatsError, OSError, TimeoutError, Unavailable, Exhausted, FileSetGone, Superseded)


class Driver:
    """All jobs of this instance. replica: the name of this process, the same after a restart.

    A process takes over at once what a process of its name held; two that run under one name would be a mistake, but
    then, too, only one of them drives a job.
    """

    def __init__(self, tools: Tools, *, replica: str) -> None:
        self._t = tools
        self._replica = replica
        self._holder = f"{replica} {fresh_id()}"
        self._lines: dict[tuple[str, str], asyncio.Event] = {}
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Drive until cancelled."""
        await self._t.db.run(_take_over, self._replica, self._holder)
        async with asyncio.TaskGroup() as group:
            self._group = group
            while True:
                try:
                    for project, pipeline in await self._t.db.read(_with_work):
                        self.wake(project, pipeline)
                except Exception:
                    log.exception("cannot look for jobs now")
                await asyncio.sleep(LOOK_AGAIN)

    def wake(self, project: str, pipeline: str) -> None:
        """There may be something to do for a pipeline's jobs."""
        found = self._lines.get((project, pipeline))
        if found is not None:
            found.set()
        elif self._group is not None:
            self._lines[project, pipeline] = asyncio.Event()
            self._group.create_task(self._drive(project, pipeline))

    async def _drive(self, project: str, pipeline: str) -> None:
        """A pipeline's jobs, until there are none."""
        woken, driven = self._lines[project, pipeline], dict[int, asyncio.Event]()
        async with asyncio.TaskGroup() as group:
            while True:
                woken.clear()
                for at_work in driven.values():
                    at_work.set()
                try:
                    jobs = await self._t.db.read(moving.unclosed_jobs, project, pipeline)
                    due = await self._t.db.read(_due, jobs) if len(jobs) > 1 else jobs
                except Exception:
                    log.exception("driving %s/%s: trying again", project, pipeline)
                    await waited(woken, LONGEST_PAUSE)
                    continue
                if not jobs and not driven and not woken.is_set():
                    del self._lines[project, pipeline]  # nothing was awaited since that look, so no wake gets lost
                    return
                for job in due:
                    if job.number not in driven:
                        at_work = driven[job.number] = asyncio.Event()
                        group.create_task(self._see_through(job, at_work, driven, woken))
                await woken.wait()

    async def _see_through(
        self, job: Job, at_work: asyncio.Event, driven: dict[int, asyncio.Event], woken: asyncio.Event
    ) -> None:
        """Drive a job to its end, or as far as this process may; who looks at the pipeline then looks again."""
        pause = 0.1
        try:
            while True:
                try:
                    if await self._try(job):
                        return
                except Exception:
                    log.exception("driving %s: trying again", job.key)
                await waited(at_work, pause * random.uniform(0.7, 1.0))
                pause = min(pause * 2, LONGEST_PAUSE)
                found = await self._now(job)
                if found is None or found.closed:
                    return
                job = found
        finally:
            del driven[job.number]
            woken.set()

    async def _now(self, job: Job) -> Job | None:
        """The job as it is; as it was while nobody can say."""
        try:
            return await self._t.db.read(moving.get_job, job.number)
        except Exception:
            log.exception("cannot look at %s now", job.key)
            return job

    async def _try(self, job: Job) -> bool:
        """Drive a job as far as it goes. False: try again later."""
        if not await self._t.db.run(_hold, job.number, self._holder, self._t.clock.now()):
            return False
        try:
            await self._attempt(job)
        except BaseExceptionGroup as group:
            return await self._forgiven(job, list(leaves(group)))
        finally:
            await self._t.db.run(drop_lease, _duty(job.number), self._holder)
        return True

    async def _forgiven(self, job: Job, causes: list[BaseException]) -> bool:
        """What trouble means for a job: nothing, but when its commits are gone."""
        if any(isinstance(cause, CommitGone) for cause in causes):
            log.info("job %s: its commit is gone", job.key)
            now = self._t.clock.now()
            await self._t.db.run(moving.end, job.number, JobState.KILLED, now=now, reason=COMMIT_REMOVED)
            return True
        for cause in causes:
            expected = isinstance(cause, TROUBLE)
            log.warning("job %s: %r; trying again", job.key, cause, exc_info=None if expected else cause)
        return False

    async def _attempt(self, job: Job) -> None:
        async with asyncio.TaskGroup() as group:
            steps = group.create_task(JobSteps(self._t, job.number, lambda: self._keep(job)).run())
            if not job.final:
                watcher = group.create_task(self._watch(job, steps))
                steps.add_done_callback(lambda _: watcher.cancel())

    async def _watch(self, job: Job, steps: "asyncio.Task[None]") -> None:
        """Keep the lease; drop the steps when the job is killed from outside, and kill it when its time is up."""
        document = await self._t.db.read(_document, job)
        limit = None if document is None else read_document(document).job_timeout
        async with self._t.wakes.listening(str(job.key)) as changed:
            while True:
                now = self._t.clock.now()
                found = await self._t.db.read(moving.get_job, job.number)
                if found is None:
                    steps.cancel()
                    return
                if found.final:
                    if found.state is JobState.KILLED:
                        steps.cancel()  # the next try only closes the commits
                    return
                left = WATCH_AGAIN
                if limit is not None and found.started is not None:
                    left = min(left, (found.started + limit - now).total_seconds())
                    if left <= 0:
                        await self._t.db.run(moving.end, job.number, JobState.KILLED, now=now, reason=TIMED_OUT)
                        continue
                await waited(changed, max(left, 0.01))
                try:
                    await self._keep(job)
                except Superseded:
                    steps.cancel()
                    return

    async def _keep(self, job: Job) -> None:
        """Keep the lease of a job. Raises Superseded when another process has it by now."""
        if not await self._t.db.run(_hold, job.number, self._holder, self._t.clock.now()):
            raise Superseded(f"another process drives job {job.number} by now")


def _duty(number: int) -> str:
    return f"{DUTY}{number}"


def _hold(tx: Session, number: int, holder: str, now: datetime) -> bool:
    return take_lease(tx, _duty(number), holder, ttl=LEASE, now=now)


def _take_over(tx: Session, replica: str, holder: str) -> None:
    """The leases of an earlier process of this name."""
    of_it = LeaseRow.holder.startswith(f"{replica} ", autoescape=True)
    tx.execute(update(LeaseRow).where(LeaseRow.duty.startswith(DUTY), of_it).values(holder=holder))


def _document(tx: Session, job: Job) -> bytes | None:
    return JobStore(tx).spec(job.key.project, job.key.pipeline, job.version)


def _due(tx: Session, jobs: list[Job]) -> list[Job]:
    """Those of a pipeline's unclosed jobs, oldest first, that are in flight together."""
    oldest = jobs[0]
    document = _document(tx, oldest)
    spec = None if document is None else read_document(document)
    most = 1 if spec is None or spec.service else max(1, spec.parallelism)
    return [job for job in jobs[:most] if job.version == oldest.version]


def _with_work(tx: Session) -> list[tuple[str, str]]:
    return JobStore(tx).pipelines_with_work()
