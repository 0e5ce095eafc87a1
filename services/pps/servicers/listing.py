"""Looking at pipelines: one, many, how those of each project are, and which of them run for too long."""

import asyncio
from collections.abc import AsyncIterator

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from services.kit.errors import Invalid
from services.kit.programs.jq import filtering
from services.kit.rpc.server import Context, is_service
from services.pps.domain import health
from services.pps.domain.errors import BadSpec
from services.pps.domain.health import Summary
from services.pps.domain.names import DEFAULT_PROJECT, PipelineKey
from services.pps.domain.pipelines import Pipeline
from services.pps.operations import reading
from services.pps.servicers.base import PipelineRpcs
from services.pps.servicers.to_wire import key_of, pipeline_info, pipeline_of


class LookingRpcs(PipelineRpcs):
    """InspectPipeline, ListPipeline, PipelinesSummary, CheckStatus."""

    async def InspectPipeline(self, request: pps.InspectPipelineRequest, context: Context) -> pps.PipelineInfo:
        pipeline = await self.db.read(reading.pipeline, key_of(self.named(request)))
        key, details, workers = pipeline.key, request.details, self.groups.status(pipeline)
        if is_service(context, self.service_token):  # Jobs asks here; asking it back would go in circles
            return pipeline_info(pipeline, details=details, workers=workers)
        last, pairs = await asyncio.gather(self.jobs.last_states([key]), self.repos.pairs([key]))
        info = pipeline_info(
            pipeline, details=details, workers=workers, last_job=last.get(key, 0), pairs=pairs.get(key)
        )
        if details and key in last:  # else it has no jobs, or nobody knows
            info.details.unclaimed_tasks = await self.jobs.unclaimed(key)
        return info

    async def ListPipeline(self, request: pps.ListPipelineRequest, context: Context) -> AsyncIterator[pps.PipelineInfo]:
        size, index = _page(request)
        ask = not is_service(context, self.service_token)
        async with filtering(request.jqFilter) as chosen:
            found = await self._found(request)
            pairs = await self.repos.pairs(list(dict.fromkeys(one.key for one in found))) if ask and found else {}
            infos = list[tuple[PipelineKey, pps.PipelineInfo]]()
            for one in found:
                info = pipeline_info(one, details=True, pairs=pairs.get(one.key))
                if await chosen.keeps(info):
                    infos.append((one.key, info))
        shown = infos[size * index : size * (index + 1)] if size else infos
        last = await self.jobs.last_states(list(dict.fromkeys(key for key, _ in shown))) if ask else {}
        for key, info in shown:
            info.last_job_state = pps.JobState.ValueType(last.get(key, 0))
            yield info

    async def _found(self, request: pps.ListPipelineRequest) -> list[Pipeline]:
        only = key_of(self.named(request)) if request.HasField("pipeline") else None
        projects = frozenset(project.name or DEFAULT_PROJECT for project in request.projects)
        if request.commit_set.id:
            commits = await self.repos.specs_of(request.commit_set.id)
            found = await self.db.read(reading.in_force_at, commits)
            return [one for one in found if only in (None, one.key) and (not projects or one.key.project in projects)]
        return await self.db.read(reading.listing, only=only, projects=projects, history=request.history)

    async def PipelinesSummary(
        self, request: pps.PipelinesSummaryRequest, context: Context
    ) -> pps.PipelinesSummaryResponse:
        wanted = list(dict.fromkeys(picker.name or DEFAULT_PROJECT for picker in request.projects))
        for project in wanted:
            await self.repos.project(project)
        found = await self.db.read(reading.everything)
        chosen = [one for one in found if not wanted or one.key.project in wanted]
        last = await self.jobs.last_states([one.key for one in chosen])
        summaries = health.summaries((one.key.project, one.state, last.get(one.key, 0)) for one in chosen)
        order = wanted or sorted(summaries)
        return pps.PipelinesSummaryResponse(
            summaries=[_summary(project, summaries[project]) for project in order if project in summaries]
        )

    async def CheckStatus(
        self, request: pps.CheckStatusRequest, context: Context
    ) -> AsyncIterator[pps.CheckStatusResponse]:
        asked = request.WhichOneof("context")
        if asked is None or (asked == "all" and not request.all):
            raise Invalid("validate request: context: value is required (all, or a project)")
        project = (request.project.name or DEFAULT_PROJECT) if asked == "project" else ""
        if project:
            await self.repos.project(project)
        now = self.clock.now()
        for one in await self.db.read(reading.everything):
            if project and one.key.project != project:
                continue
            alert = health.too_long_up(one, now=now)
            if alert:
                shown = pfs.Project(name=project) if project else None
                yield pps.CheckStatusResponse(project=shown, pipeline=pipeline_of(one.key), alerts=[alert])


def _page(request: pps.ListPipelineRequest) -> tuple[int, int]:
    """Size and index; size 0: everything. Raises BadSpec."""
    size, index = request.page.page_size, request.page.page_index
    if size < 0 or index < 0:
        raise BadSpec("page size and page index must not be negative")
    return size, index


def _summary(project: str, counts: Summary) -> pps.PipelinesSummary:
    return pps.PipelinesSummary(
        project=pfs.Project(name=project),
        active_pipelines=counts.active,
        paused_pipelines=counts.paused,
        failed_pipelines=counts.failed,
        unhealthy_pipelines=counts.unhealthy,
    )
