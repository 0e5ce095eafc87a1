"""The job methods of pps_v2.API.

Elsewhere: datums (datums.py), logs (logs.py), what makes and moves jobs (operations/).
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from google.protobuf.empty_pb2 import Empty

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import transaction_v2_pb2 as transaction
from services.jobs.clients import Pps
from services.jobs.domain.errors import JobDeleted, JobNotFound, NotBuilt, Wrong
from services.jobs.domain.jobs import DELETED, STOPPED, Job, JobKey, JobState
from services.jobs.operations import activity, reading
from services.jobs.operations.reading import JobFilter
from services.jobs.operations.running import killing, moving
from services.jobs.operations.running.creating import Creator
from services.jobs.operations.running.steps import Tools
from services.jobs.operations.wakes import waited
from services.jobs.servicers import from_wire, to_wire
from services.kit.bus import Bus
from services.kit.rpc.server import Context, is_service
from services.kit.rpc.staging import Staging, transaction_of
from services.kit.time.times import time_of

LOOK_AGAIN = 5.0
PAGE = 200


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
        async with self._p.tools.wakes.listening(str(job.key)) as changed:
            while True:
                found = await self._p.tools.db.read(moving.get_job, job.number)
                if found is None:
                    raise JobDeleted(job.key)
                if found.final:
                    return found
                await waited(changed, LOOK_AGAIN)

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

    async def ListJob(self, request: pps.ListJobRequest, context: Context) -> AsyncIterator[pps.JobInfo]:
        _refuse_jq(request.jqFilter)
        wanted = JobFilter(
            pipeline=await self._pipeline(request, context) if request.HasField("pipeline") else None,
            projects=tuple(project.name for project in request.projects),
            history=request.history,
            marker=_marker(request),
            reverse=request.reverse,
        )
        inputs = [await self._input(commit) for commit in request.input_commit]
        sent, after = 0, None
        while True:
            page = await self._p.tools.db.read(reading.list_jobs, wanted, after, PAGE)
            for job in page:
                if inputs and not await self._reads(job, inputs):
                    continue
                yield await self._info(job, details=request.details)
                sent += 1
                if request.number and sent >= request.number:
                    return
            if len(page) < PAGE:
                return
            after = page[-1].number

    async def _pipeline(self, request: pps.ListJobRequest, context: Context) -> tuple[str, str]:
        """Raises PipelineNotFound. PPS itself asks for a pipeline's last job, and is not asked back."""
        project, name = from_wire.pipeline(request.pipeline)
        if not is_service(context, self._p.token):
            await self._p.creator.ensure_pipeline(await self._p.pps.pipeline(project, name))
        return project, name

    async def _input(self, commit: pfs.Commit) -> tuple[str, str]:
        """A commit, perhaps named by its branch, as jobs are made from it: (repo, id). Raises CommitGone."""
        facts = await self._p.creator.pfs.commit(from_wire.commit(commit))
        return facts.ref.repo, facts.ref.id

    async def _reads(self, job: Job, inputs: list[tuple[str, str]]) -> bool:
        above = await self._p.creator.inputs_of(job)
        return all((repo, id) in above for repo, id in inputs)

    async def InspectJobSet(self, request: pps.InspectJobSetRequest, context: Context) -> AsyncIterator[pps.JobInfo]:
        if not request.job_set.id:
            raise Wrong("must specify a job set")
        for job in await self._of_set(from_wire.id(request.job_set.id)):
            if request.wait:
                job = await self._ended(job)
            yield await self._info(job, details=request.details)

    async def _of_set(self, id: str) -> list[Job]:
        """The jobs of a set, upstream first."""
        commits = await self._p.creator.ensure_set(id)
        order = {(facts.ref.project, facts.ref.repo): place for place, facts in enumerate(commits)}
        jobs = await self._p.tools.db.read(reading.jobs_of_set, id)
        return sorted(jobs, key=lambda job: order.get((job.key.project, job.key.pipeline), len(order)))

    async def ListJobSet(self, request: pps.ListJobSetRequest, context: Context) -> AsyncIterator[pps.JobSetInfo]:
        _refuse_jq(request.jqFilter)
        if request.number < 0:
            raise Wrong("number must be non-negative")
        wanted = JobFilter(
            projects=tuple(project.name for project in request.projects), history=-1, reverse=request.reverse
        )
        marker = _marker(request)
        seen: set[str] = set()
        sent, after = 0, None
        while not (request.number and sent >= request.number):
            page = await self._p.tools.db.read(reading.list_jobs, wanted, after, PAGE)
            for job in page:
                if job.key.id in seen:
                    continue
                seen.add(job.key.id)
                members = await self._p.tools.db.read(reading.jobs_of_set, job.key.id)
                newest = max(member.created for member in members)
                if marker is not None and not (newest > marker if request.reverse else newest < marker):
                    continue
                infos = [await self._info(member, details=request.details) for member in members]
                yield pps.JobSetInfo(job_set=pps.JobSet(id=job.key.id), jobs=infos)
                sent += 1
                if request.number and sent >= request.number:
                    break
            if len(page) < PAGE:
                return
            after = page[-1].number

    async def SubscribeJob(self, request: pps.SubscribeJobRequest, context: Context) -> AsyncIterator[pps.JobInfo]:
        if not request.pipeline.name:
            raise Wrong("pipeline must be specified")
        project, name = from_wire.pipeline(request.pipeline)
        last = 0
        async with self._p.bus.listen("jobs.job.changed") as news:
            while True:
                for job in await self._p.tools.db.read(moving.unclosed_jobs, project, name):
                    if job.number > last:
                        last = job.number
                        if not job.final:
                            yield await self._info(job, details=request.details)
                await news.wait(timedelta(seconds=LOOK_AGAIN))

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


def _refuse_jq(filter: str) -> None:
    if filter:
        raise NotBuilt("jqFilter is not supported yet")


def _marker(request: pps.ListJobRequest | pps.ListJobSetRequest) -> datetime | None:
    if not request.HasField("paginationMarker"):
        return None
    return time_of(request.paginationMarker)
