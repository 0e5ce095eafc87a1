"""Lists of jobs and of job sets: newest first, page by page, as filters will have them.

Elsewhere: the rows behind them (operations/reading.py); jq programs (services/kit/programs/jq.py).
"""

from collections.abc import AsyncIterator
from dataclasses import replace

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from services.jobs.domain.errors import Wrong
from services.jobs.domain.jobs import Job
from services.jobs.operations import reading
from services.jobs.operations.reading import JobFilter
from services.jobs.peers.pfs import CommitRef
from services.jobs.servicers import from_wire
from services.jobs.servicers.jobs import JobRpcs
from services.kit.programs.jq import Filter, filtering
from services.kit.rpc.server import Context, is_service
from services.kit.time.times import time_of

PAGE = 200


class JobListRpcs(JobRpcs):
    """Jobs and job sets, many at a time."""

    async def ListJob(self, request: pps.ListJobRequest, context: Context) -> AsyncIterator[pps.JobInfo]:
        wanted = replace(_wanted(request), history=request.history)
        if request.HasField("pipeline"):
            wanted = await self._of_pipeline(wanted, request.pipeline, context)
        inputs = [await self._input(commit) for commit in request.input_commit]
        sent = 0
        async with filtering(request.jqFilter) as kept:
            async for job in self._jobs(wanted):
                if inputs and not await self._reads(job, inputs):
                    continue
                info = await self._info(job, details=request.details)
                if await kept.keeps(info):
                    yield info
                    sent += 1
                    if sent == request.number:
                        return

    async def _of_pipeline(self, wanted: JobFilter, message: pps.Pipeline, context: Context) -> JobFilter:
        """Raises PipelineNotFound. PPS itself asks for a pipeline's last job, and is not asked back."""
        project, name = from_wire.pipeline(message)
        version = None
        if not is_service(context, self._p.token):
            spec = await self._p.pps.pipeline(project, name)
            await self._p.creator.ensure_pipeline(spec)
            version = spec.version
        return replace(wanted, pipeline=(project, name), version=version)

    async def _input(self, commit: pfs.Commit) -> CommitRef:
        """A commit, perhaps named by its branch, as jobs are made from it. Raises CommitGone."""
        return (await self._p.creator.pfs.commit(from_wire.commit(commit))).ref

    async def _reads(self, job: Job, inputs: list[CommitRef]) -> bool:
        return (await self._p.creator.inputs_of(job)).issuperset(inputs)

    async def _jobs(self, wanted: JobFilter) -> AsyncIterator[Job]:
        after = None
        while True:
            page = await self._p.tools.db.read(reading.list_jobs, wanted, after, PAGE)
            for job in page:
                yield job
            if len(page) < PAGE:
                return
            after = page[-1].number

    async def ListJobSet(self, request: pps.ListJobSetRequest, context: Context) -> AsyncIterator[pps.JobSetInfo]:
        wanted, sent = _wanted(request), 0
        async with filtering(request.jqFilter) as kept:
            async for job in self._jobs(wanted):
                found = await self._set_of(job, wanted, kept, details=request.details)
                if found is not None:
                    yield found
                    sent += 1
                    if sent == request.number:
                        return

    async def _set_of(self, job: Job, wanted: JobFilter, kept: Filter, *, details: bool) -> pps.JobSetInfo | None:
        """The set that stands at the place of a job: its newest. None: it stands elsewhere, or nothing of it is kept.

        Which is the newest is told among those that the projects leave.
        """
        members = await self._p.tools.db.read(reading.jobs_of_set, job.key.id)
        members = [one for one in members if not wanted.projects or one.key.project in wanted.projects]
        if job.number != max(one.number for one in members):
            return None
        infos = [await self._info(one, details=details) for one in members]
        infos = [info for info in infos if await kept.keeps(info)]
        return pps.JobSetInfo(job_set=pps.JobSet(id=job.key.id), jobs=infos) if infos else None


def _wanted(request: pps.ListJobRequest | pps.ListJobSetRequest) -> JobFilter:
    if request.number < 0:
        raise Wrong("number must be non-negative")
    return JobFilter(
        projects=tuple(project.name or from_wire.DEFAULT_PROJECT for project in request.projects),
        marker=time_of(request.paginationMarker) if request.HasField("paginationMarker") else None,
        reverse=request.reverse,
    )
