"""The job methods of pps_v2.API.

Elsewhere: lists of jobs (listing.py), datums (datums/), logs (logs.py), what makes and moves jobs (operations/).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from google.protobuf.empty_pb2 import Empty

from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import transaction_v2_pb2 as transaction
from services.jobs.domain.errors import BadRequest, JobDeleted, JobNotFound, NotBuilt, Wrong
from services.jobs.domain.jobs import COMMIT_REMOVED, DELETED, PIPELINE_DELETED, STOPPED, Job, JobKey, JobState
from services.jobs.operations import reading
from services.jobs.operations.running import killing, moving
from services.jobs.operations.running.creating import Creator
from services.jobs.operations.running.tools import Tools
from services.jobs.operations.wakes import waited
from services.jobs.operations.work import activity
from services.jobs.peers.pps import Pps
from services.jobs.servicers import from_wire, to_wire
from services.kit.bus import Bus
from services.kit.rpc.server import Context
from services.kit.rpc.staging import Staging, transaction_of

LOOK_AGAIN = 5.0
GOING = 15.0  # seconds in which a job that was killed to be deleted is gone
LATE = 1000  # so many numbers behind the last one, a job may still turn up: transactions end in any order


@dataclass(frozen=True)
class Parts:
    """What the methods work with."""

    tools: Tools
    creator: Creator
    pps: Pps
    bus: Bus
    staging: Staging
    token: str


class JobRpcs:
    """Jobs."""

    _p: Parts

    async def InspectJob(self, request: pps.InspectJobRequest, context: Context) -> pps.JobInfo:
        key = from_wire.job(request.job)
        job = await self._p.creator.ensure(key)
        if job is None:
            raise JobNotFound(key)
        if request.wait:
            job = await self._ended(job)
        return await self._info(job, details=request.details)

    async def _ended(self, job: Job) -> Job:
        """Wait for the job's end. Raises JobDeleted when it goes away meanwhile."""
        if job.final:
            return job
        async with self._p.tools.wakes.listening(str(job.key)) as changed:
            while True:
                found = await self._p.tools.db.read(moving.get_job, job.number)
                if found is None:
                    raise JobDeleted(job.key)
                if found.final:
                    return await self._kept(found, changed)
                await waited(changed, LOOK_AGAIN)

    async def _kept(self, job: Job, changed: asyncio.Event) -> Job:
        """A job that has ended; one that is deleted is killed first. Raises JobDeleted."""
        if not await self._goes(job):
            return job
        until = asyncio.get_running_loop().time() + GOING
        while (left := until - asyncio.get_running_loop().time()) > 0:
            if await self._p.tools.db.read(moving.get_job, job.number) is None:
                raise JobDeleted(job.key)
            await waited(changed, min(left, LOOK_AGAIN))
        return job  # a user's words for stopping it were these, or whoever was to delete it has died

    async def _goes(self, job: Job) -> bool:
        """Whether a job was killed because it, or its pipeline, is being deleted."""
        if job.reason != COMMIT_REMOVED:
            return job.state is JobState.KILLED and job.reason in (DELETED, PIPELINE_DELETED)
        return not await self._p.creator.pfs.has_repo(job.key.project, job.key.pipeline)

    async def _info(self, job: Job, *, details: bool) -> pps.JobInfo:
        info = to_wire.job_info(job)
        if details:
            document = await self._p.tools.db.read(reading.document_of, job)
            if document is not None:
                info.details.CopyFrom(to_wire.job_details(document, job.key.id))
            if job.state is JobState.RUNNING:
                workers = await self._p.tools.db.read(activity.of_job, job.number)
                info.details.worker_status.extend(to_wire.worker_status(one, job.key) for one in workers)
        return info

    async def InspectJobSet(self, request: pps.InspectJobSetRequest, context: Context) -> AsyncIterator[pps.JobInfo]:
        if not request.HasField("job_set"):
            raise BadRequest("validate request: job_set: value is required")
        if not request.job_set.id:
            raise Wrong("must specify a job set")
        for job in await self._of_set(from_wire.id(request.job_set.id)):
            with suppress(JobDeleted):  # the others of the set are still to come
                ended = await self._ended(job) if request.wait else job
                yield await self._info(ended, details=request.details)

    async def _of_set(self, id: str) -> list[Job]:
        """The jobs of a set, upstream first."""
        commits = await self._p.creator.ensure_set(id)
        order = {(facts.ref.project, facts.ref.repo): place for place, facts in enumerate(commits)}
        jobs = await self._p.tools.db.read(reading.jobs_of_set, id)
        return sorted(jobs, key=lambda job: order.get((job.key.project, job.key.pipeline), len(order)))

    async def SubscribeJob(self, request: pps.SubscribeJobRequest, context: Context) -> AsyncIterator[pps.JobInfo]:
        if not request.pipeline.name:
            raise Wrong("pipeline must be specified")
        project, name = from_wire.pipeline(request.pipeline)
        await self._p.pps.pipeline(project, name)  # nobody would ever hear of one that is not there
        read = self._p.tools.db.read
        async with self._p.bus.listen("jobs.job.changed") as news:
            known, first = set[int](), await read(reading.last_number)
            found = [job for job in await read(moving.unclosed_jobs, project, name) if not job.final]
            while True:
                for job in found:
                    if job.number not in known:
                        known.add(job.number)
                        yield await self._info(job, details=request.details)
                await news.wait(timedelta(seconds=LOOK_AGAIN))
                since = max(first, max(known, default=first) - LATE)
                known = {number for number in known if number > since}
                found = await read(reading.jobs_since, project, name, since)

    async def UpdateJobState(self, request: pps.UpdateJobStateRequest, context: Context) -> Empty:
        if not request.HasField("job"):
            raise BadRequest("validate request: job: value is required")
        job = await self._known(from_wire.job(request.job))
        if job.final:
            raise Wrong(f"job {job.key} has already finished")
        raise NotBuilt("a job's state is not set from outside: jobs move on by themselves, and StopJob ends one")

    async def StopJob(self, request: pps.StopJobRequest, context: Context) -> Empty:
        key = from_wire.job(request.job)
        await self._known(key)
        if id := transaction_of(context):
            await self._p.staging.stage(id, transaction.TransactionRequest(stop_job=request))
            return Empty()
        await killing.stop_job(self._p.tools, key, request.reason or STOPPED)
        return Empty()

    async def DeleteJob(self, request: pps.DeleteJobRequest, context: Context) -> Empty:
        if not request.HasField("job"):
            raise Wrong("job cannot be nil")
        key = from_wire.job(request.job)
        await self._known(key)
        await killing.delete_job(self._p.tools, key, DELETED)
        return Empty()

    async def _known(self, key: JobKey) -> Job:
        job = await self._p.creator.ensure(key)
        if job is None:
            raise JobNotFound(key)
        return job
