"""Following the news of PFS and PPS, and looking at everything now and then, so that lost news costs only time.

pfs.commit.started makes jobs, pfs.commit.deleted kills them; pps.pipeline.* kills those of older, stopped, failed and
deleted versions and makes what was missing. News says where to look; the owners say how it is.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Set
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import grpc

from datamill.wire.events_v1_pb2 import News
from services.jobs.domain.errors import CommitGone, PipelineNotFound
from services.jobs.domain.jobs import COMMIT_REMOVED, FINAL, PIPELINE_DELETED, JobKey, JobState
from services.jobs.domain.specs import PipelineSpec
from services.jobs.duties.driver import TROUBLE, Driver
from services.jobs.operations import looking, reading
from services.jobs.operations.running import killing, moving
from services.jobs.operations.running.bases import commits_of
from services.jobs.operations.running.creating import Creator
from services.jobs.operations.running.tools import Tools
from services.jobs.peers.pps import Pps
from services.jobs.storage.jobs import JobStore
from services.kit.bus import Bus

log = logging.getLogger(__name__)
RECONCILE = timedelta(seconds=20)
EVERYTHING = timedelta(minutes=10)
FIRST = timedelta(seconds=2)
SUBJECTS = ("pfs.commit.started", "pfs.commit.deleted", "pps.pipeline.*", "jobs.job.changed")
PATIENCE = timedelta(minutes=1)
AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
ENDED_FROM_OUTSIDE = frozenset({JobState.KILLED.name, "DELETED"})
TURNS = frozenset(state.name for state in (JobState.CREATED, *FINAL))


@dataclass
class Follower:
    """Keeps jobs as commits and pipelines want them."""

    tools: Tools
    creator: Creator
    pps: Pps
    driver: Driver
    bus: Bus
    _failed: dict[str, PipelineSpec] = field(default_factory=dict)
    """Pipelines that nothing can run, as far as is known."""
    _opened: dict[JobKey, None] = field(default_factory=dict)
    """Commits whose jobs are still to be made, in the order of their news."""
    _look_at_all: float = float("-inf")
    """When to look at every pipeline next, by the loop's clock."""
    _making: asyncio.Lock = field(default_factory=asyncio.Lock)
    _turns: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    async def follow(self) -> None:
        """Follow the news until cancelled."""
        async with self.bus.listen(*SUBJECTS) as listener, asyncio.TaskGroup() as group:
            while True:
                news = await listener.wait(PATIENCE)
                if news is not None:
                    group.create_task(self._heard(news))

    async def reconcile(self) -> None:
        """Look at pipelines again and again until cancelled: at those that may need it, and now and then at all."""
        pause = FIRST
        while True:
            try:
                await self._look()
                pause = RECONCILE
            except TROUBLE as error:  # a peer that is still starting, most of the time
                log.info("cannot reconcile now: %r", error)
            except Exception:
                log.exception("cannot reconcile")
            await asyncio.sleep(pause.total_seconds())

    async def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._look_at_all:
            for project, name in await looking.worth_a_look(self.tools.db, self.tools.pfs):
                await self._looked_at(f"{project}/{name}", self._pipeline(project, name))
            return
        await self._look_at_everything()
        self._look_at_all = now + EVERYTHING.total_seconds()

    async def _look_at_everything(self) -> None:
        until = await self.tools.db.read(reading.last_number)
        known = {(spec.project, spec.name, spec.made): spec for spec in await self.pps.all()}
        for spec in known.values():
            await self._looked_at(spec.full_name, self._settle(spec, until))
        for one in await self.tools.db.read(lambda tx: JobStore(tx).pipelines()):
            if one not in known:
                project, pipeline, _ = one
                await self._looked_at(f"{project}/{pipeline}", self._pipeline(project, pipeline))

    async def _looked_at(self, name: str, work: Awaitable[None]) -> None:
        """Trouble with one pipeline is none of the others', unless somebody is away."""
        try:
            await self._in_turn(name, work)
        except Exception as error:
            if isinstance(error, grpc.aio.AioRpcError) and error.code() in AWAY:
                raise
            log.exception("cannot reconcile %s", name)

    async def _heard(self, news: News) -> None:
        facts = news.facts
        try:
            match news.subject.split("."):
                case ["pfs", "commit", what] if facts["type"] == "user":
                    key = JobKey(facts["project"], facts["repo"], facts["id"])
                    auto = facts["origin"] == "AUTO"
                    if what == "deleted":
                        await self._commit_gone(key)
                    elif auto:
                        self._opened[key] = None
                        await self._make_opened()
                case ["pps", "pipeline", _]:
                    project, name = facts["project"], facts["name"]
                    self.creator.forget(project, name)
                    await self._in_turn(f"{project}/{name}", self._pipeline(project, name))
                case ["jobs", "job", _]:
                    self.tools.wakes.wake(news.key)
                    self._job_moved(facts["state"], facts["project"], facts["pipeline"])
        except TROUBLE as error:
            log.warning("%s of %s: %r; the next look will do it", news.subject, news.key, error)
        except Exception:
            log.exception("%s of %s; the next look will do it", news.subject, news.key)

    async def deleted(self, project: str, name: str) -> None:
        """PPS has deleted a pipeline, and waits until its jobs are gone."""
        self.creator.forget(project, name)
        await self._in_turn(f"{project}/{name}", self._pipeline(project, name))

    def _job_moved(self, state: str, project: str, pipeline: str) -> None:
        """Only that a job is there, or has ended, is anything to whoever does not drive it."""
        if state in ENDED_FROM_OUTSIDE:
            self.driver.ended(project, pipeline)
        elif state in TURNS:
            self.driver.wake(project, pipeline)

    async def _in_turn(self, name: str, work: Awaitable[None]) -> None:
        """Things of one pipeline happen in the order of their news, so that its jobs are made in the right order."""
        async with self._turns[name]:
            await work

    async def _make_opened(self) -> None:
        """The jobs of the commits that have been opened since this was done last: a set's together."""
        async with self._making, AsyncExitStack() as turns:
            opened, self._opened = list(self._opened), {}
            for owner in sorted({key.owner for key in opened}):
                await turns.enter_async_context(self._turns[owner])
            for job in await self.creator.ensure_all(opened) if opened else []:
                failed = self._failed.get(job.key.owner)
                if failed is not None and job.pipeline_made == failed.made and job.version <= failed.version:
                    await killing.kill(self.tools, job, failed.failed)

    async def _commit_gone(self, key: JobKey) -> None:
        job = await self.tools.db.read(moving.find_job, key)
        if job is not None:
            await killing.kill(self.tools, job, COMMIT_REMOVED)

    async def _pipeline(self, project: str, name: str) -> None:
        until = await self.tools.db.read(reading.last_number)
        try:
            spec = await self.pps.pipeline(project, name)
        except PipelineNotFound:
            await self._forget_others(project, name, None, until)
            return
        known = await self.tools.db.read(lambda tx: JobStore(tx).pipelines(project, name))
        if any(made != spec.made for _, _, made in known):
            await self._forget_others(project, name, spec.made, until)
        await self._settle(spec, until)

    async def _settle(self, spec: PipelineSpec, until: int) -> None:
        """Kill what must not run, make what is missing.

        until: the last job there was before PPS was asked. A later one may come from a start or an update since.
        """
        for job in await self.tools.db.read(killing.open_jobs, spec.project, spec.name):
            if job.number <= until and (reason := spec.ends(job.version)):
                await killing.kill(self.tools, job, reason)
        made = await self.creator.ensure_pipeline(spec) if spec.runs_jobs else []
        await self._kill_without_commits(spec, until, {job.number for job in made})
        if spec.failed:
            self._failed[spec.full_name] = spec
            for job in made:
                if job.version <= spec.version:
                    await killing.kill(self.tools, job, spec.failed)
        else:
            self._failed.pop(spec.full_name, None)
        if made:
            self.driver.wake(spec.project, spec.name)

    async def _kill_without_commits(self, spec: PipelineSpec, until: int, fine: Set[int]) -> None:
        """Kill jobs whose output commits went and nobody heard it. fine: those that have them."""
        for job in await self.tools.db.read(killing.open_jobs, spec.project, spec.name):
            if job.number <= until and job.number not in fine:
                try:
                    await self.tools.pfs.commit(commits_of(job)[0])
                except CommitGone:
                    await killing.kill(self.tools, job, COMMIT_REMOVED)

    async def _forget_others(self, project: str, name: str, made: datetime | None, until: int) -> None:
        """Kill and forget the jobs of pipelines of this name that are gone; as of `killing.others`."""
        db, logs = self.tools.db, self.tools.logs
        while gone := await db.read(killing.others, project, name, made, until):
            for job in gone:
                if not job.final:
                    await killing.kill(self.tools, job, PIPELINE_DELETED)
                elif not job.closed:
                    await killing.close_commits(self.tools, job)
            await db.run(killing.forget, gone, now=self.tools.clock.now())
            for job in gone:
                await logs.forget(project, name, job.key.id)
        await db.run(killing.forget_versions, project, name, made)
