"""Driving jobs: a task for each, under a lease each; of one version of a pipeline the oldest, up to its parallelism.

A service has one job at a time. Jobs of different pipelines run side by side. Trouble with another service or the
store ends a try, never a job; the next try goes on from the state in the database. A kill is a change of that state;
the keeper of the leases sees it, and the try is dropped.
Elsewhere: the steps (operations/running/steps.py); leases (keeper.py); which jobs there are
(operations/running/creating.py); news (follower.py).
"""

import asyncio
import logging
import random

import grpc
from nats.errors import Error as NatsError
from sqlalchemy.orm import Session

from services.jobs.domain.errors import CommitGone, Superseded
from services.jobs.domain.jobs import COMMIT_REMOVED, TIMED_OUT, Job, JobState
from services.jobs.domain.specs import PipelineSpec
from services.jobs.duties.keeper import Keeper
from services.jobs.duties.troubles import in_words
from services.jobs.operations.running import moving
from services.jobs.operations.running.steps import JobSteps
from services.jobs.operations.running.tools import Tools
from services.jobs.operations.wakes import waited
from services.jobs.peers.pfs import FileSetGone
from services.jobs.spec_reader import read_document
from services.jobs.storage.jobs import JobStore
from services.jobs.storage.scratch import make_again
from services.kit.errors import Exhausted, Unavailable, leaves

log = logging.getLogger(__name__)
WATCH_AGAIN = 2.0
LONGEST_PAUSE = 3.0
LOOK_AGAIN = 10.0
TROUBLE = (grpc.aio.AioRpcError, NatsError, OSError, TimeoutError, Unavailable, Exhausted, FileSetGone, Superseded)


class Driver:
    """All jobs of this instance."""

    def __init__(self, tools: Tools, keeper: Keeper) -> None:
        self._t = tools
        self._keeper = keeper
        self._lines: dict[tuple[str, str], asyncio.Event] = {}
        self._said: dict[int, str] = {}
        """What is in the way of jobs, as their logs have it."""
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Drive until cancelled."""
        await self._keeper.take_over()
        async with asyncio.TaskGroup() as group:
            self._group = group
            group.create_task(self._keeper.run())
            while True:
                try:
                    for project, pipeline in await self._t.db.read(_with_work):
                        self.wake(project, pipeline)
                except Exception:
                    log.exception("cannot look for jobs now")
                await asyncio.sleep(LOOK_AGAIN)

    def ended(self, project: str, pipeline: str) -> None:
        """A job has ended from outside, or is gone: whoever drives it drops it, and the next may begin."""
        self._keeper.look()
        self.wake(project, pipeline)

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
                free_in = await self._keeper.free_in(job.number)  # of a process that is gone: at that very moment
                await waited(at_work, min(pause * random.uniform(0.7, 1.0), free_in))
                pause = min(pause * 2, LONGEST_PAUSE)
                found = await self._now(job)
                if found is None or found.closed:
                    return
                job = found
        finally:
            del driven[job.number]
            self._said.pop(job.number, None)
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
        try:
            async with asyncio.TaskGroup() as group:
                driven = group.create_task(self._attempt(job))
            return driven.cancelled() or driven.result()
        except BaseExceptionGroup as several:
            return await self._forgiven(job, list(leaves(several)))

    async def _attempt(self, job: Job) -> bool:
        """The same in a task that is cancelled once the job is not to be driven any more."""
        hold = await self._keeper.take(job.number)
        if hold is None:
            return False
        try:
            steps = JobSteps(self._t, hold)
            async with asyncio.TaskGroup() as group:
                ending = group.create_task(self._ended_in_time(hold.job, steps.spec))
                await steps.run()
                ending.cancel()
        finally:
            await self._keeper.let_go(hold)
        return True

    async def _forgiven(self, job: Job, causes: list[BaseException]) -> bool:
        """What trouble means for a job: nothing, but when its commits are gone."""
        if any(isinstance(cause, CommitGone) for cause in causes):
            log.info("job %s: its commit is gone", job.key)
            now = self._t.clock.now()
            await self._t.db.run(moving.end, job.number, JobState.KILLED, now=now, reason=COMMIT_REMOVED)
            return True
        objects = self._t.indexes.objects
        for cause in causes:
            expected = isinstance(cause, TROUBLE)
            text = in_words(cause, objects.root) if expected else repr(cause)
            log.warning("job %s waits: %s; trying again", job.key, text, exc_info=None if expected else cause)
            if expected and not isinstance(cause, Superseded):
                self._say(job, text)
        if any(isinstance(cause, FileNotFoundError) for cause in causes):
            await asyncio.to_thread(make_again, self._t.planner.scratch, objects)
        return False

    def _say(self, job: Job, trouble: str) -> None:
        """Once in a row, in the job's own log."""
        if self._said.get(job.number) != trouble:
            self._said[job.number] = trouble
            text, key = f"job waits and goes on by itself: {trouble}", job.key
            self._t.logs.say(key.project, key.pipeline, key.id, text, at=self._t.clock.now())

    async def _ended_in_time(self, job: Job, spec: PipelineSpec) -> None:
        """Kill the job when its time is up."""
        if spec.job_timeout is None:
            return
        async with self._t.wakes.listening(str(job.key)) as changed:
            while (found := await self._t.db.read(moving.get_job, job.number)) is not None and not found.final:
                now, left = self._t.clock.now(), WATCH_AGAIN
                if found.started is not None:
                    left = (found.started + spec.job_timeout - now).total_seconds()
                if left <= 0:
                    await self._t.db.run(moving.end, job.number, JobState.KILLED, now=now, reason=TIMED_OUT)
                    self._keeper.look()
                else:
                    await waited(changed, min(left, WATCH_AGAIN))


def _due(tx: Session, jobs: list[Job]) -> list[Job]:
    """Those of a pipeline's unclosed jobs, oldest first, that are in flight together; and all that are to be closed."""
    ended, live = [job for job in jobs if job.final], [job for job in jobs if not job.final]
    if not live:
        return ended
    oldest = live[0]
    document = JobStore(tx).spec(oldest)
    spec = None if document is None else read_document(document)
    most = 1 if spec is None or spec.service else max(1, spec.parallelism)
    return ended + [job for job in live[:most] if job.version == oldest.version]


def _with_work(tx: Session) -> list[tuple[str, str]]:
    return JobStore(tx).pipelines_with_work()
