"""Looking at pipelines, and stopping, starting and deleting them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

from google.protobuf.empty_pb2 import Empty

from datamill.wire import pps_v2_pb2 as pps
from services.kit.rpc.server import Context, is_service
from services.pps.clients import PfsRefused
from services.pps.domain.errors import NotBuiltYet, PipelineNotFound
from services.pps.domain.names import PipelineKey
from services.pps.domain.pipelines import readers_first
from services.pps.operations import intents, reading
from services.pps.servicers.base import PipelineRpcs
from services.pps.servicers.to_wire import key_of, pipeline_info, pipeline_of


class LookingRpcs(PipelineRpcs):
    """InspectPipeline, ListPipeline, the defaults."""

    async def InspectPipeline(self, request: pps.InspectPipelineRequest, context: Context) -> pps.PipelineInfo:
        pipeline = await self.db.read(reading.pipeline, key_of(self.named(request)))
        asked_by_service = is_service(context, self.service_token)  # Jobs asks here; asking it back would go in circles
        last = 0 if asked_by_service else await self.jobs.last_state(pipeline.key)
        pairs = {} if asked_by_service else await self.repos.pairs([pipeline.key])
        workers = self.groups.status(pipeline.key)
        return pipeline_info(
            pipeline, details=request.details, workers=workers, last_job=last, pairs=pairs.get(pipeline.key)
        )

    async def ListPipeline(self, request: pps.ListPipelineRequest, context: Context) -> AsyncIterator[pps.PipelineInfo]:
        if later := [name for name in ("jqFilter", "commit_set") if _is_set(request, name)]:
            raise NotBuiltYet([f"ListPipeline.{name}" for name in later])
        page = (request.page.page_size, request.page.page_index) if request.HasField("page") else None
        only = key_of(request.pipeline) if request.pipeline.name else None
        projects = frozenset(project.name or "default" for project in request.projects)
        found = await self.db.read(reading.listing, only=only, projects=projects, history=request.history, page=page)
        keys = list(dict.fromkeys(one.key for one in found))
        ask = not is_service(context, self.service_token)
        states = await asyncio.gather(*(self.jobs.last_state(key) for key in keys)) if ask else [0] * len(keys)
        last = dict(zip(keys, states, strict=True))
        pairs = await self.repos.pairs(keys) if ask and keys else {}
        for one in found:
            yield pipeline_info(one, details=True, last_job=last[one.key], pairs=pairs.get(one.key))

    async def GetClusterDefaults(
        self, request: pps.GetClusterDefaultsRequest, context: Context
    ) -> pps.GetClusterDefaultsResponse:
        return pps.GetClusterDefaultsResponse(cluster_defaults_json="{}")

    async def GetProjectDefaults(
        self, request: pps.GetProjectDefaultsRequest, context: Context
    ) -> pps.GetProjectDefaultsResponse:
        return pps.GetProjectDefaultsResponse(project_defaults_json="{}")


def _is_set(request: pps.ListPipelineRequest, name: str) -> bool:
    return any(field.name == name for field, _ in request.ListFields())


class ChangingRpcs(PipelineRpcs):
    """StopPipeline, StartPipeline, DeletePipeline, DeletePipelines."""

    async def StopPipeline(self, request: pps.StopPipelineRequest, context: Context) -> Empty:
        try:
            await self._carry_out(key_of(self.named(request)), intents.STOPPING)
        except PipelineNotFound:
            if request.must_exist:
                raise
        return Empty()

    async def StartPipeline(self, request: pps.StartPipelineRequest, context: Context) -> Empty:
        await self._carry_out(key_of(self.named(request)), intents.STARTING)
        return Empty()

    async def DeletePipeline(self, request: pps.DeletePipelineRequest, context: Context) -> Empty:
        if request.all and not request.pipeline.name:
            return Empty()  # deprecated on the wire, and never did anything
        try:
            await self._delete([key_of(self.named(request))], keep_repo=request.keep_repo, force=request.force)
        except PipelineNotFound:
            if request.must_exist:
                raise
        return Empty()

    async def DeletePipelines(
        self, request: pps.DeletePipelinesRequest, context: Context
    ) -> pps.DeletePipelinesResponse:
        projects = {project.name or "default" for project in request.projects}
        found = await self.db.read(reading.everything)
        chosen = readers_first(one for one in found if request.all or one.key.project in projects)
        await self._delete([one.key for one in chosen], keep_repo=request.keep_repo, force=request.force)
        return pps.DeletePipelinesResponse(pipelines=[pipeline_of(one.key) for one in chosen])

    async def _delete(self, keys: Sequence[PipelineKey], *, keep_repo: bool, force: bool) -> None:
        """All or none. keys: readers before what they read."""
        async with AsyncExitStack() as own:
            for key in keys:
                await own.enter_async_context(self.reconciler.working_on(key))
            found = await self.db.run(
                intents.begin_deleting, keys, now=self.clock.now(), keep_repo=keep_repo, force=force
            )
            try:
                await self.repos.remove([one.version for one in found], keep_repo=keep_repo, force=force)
            except PfsRefused as refused:
                await self.db.run(intents.give_up, *keys)
                raise refused.error from refused
            await self.db.run(intents.close, *keys, now=self.clock.now())
        self.reconciler.nudge()

    async def _carry_out(self, key: PipelineKey, doing: str) -> None:
        async with self.reconciler.working_on(key):
            await self.db.run(intents.begin, key, doing, now=self.clock.now())
            try:
                await self.reconciler.finish(key, doing)
            except PfsRefused as refused:
                await self.db.run(intents.give_up, key)
                raise refused.error from refused
        self.reconciler.nudge()
