"""Stopping, starting and deleting pipelines."""

from collections.abc import Sequence
from contextlib import AsyncExitStack

from google.protobuf.empty_pb2 import Empty

from datamill.wire import pps_v2_pb2 as pps
from services.kit.rpc.server import Context
from services.pps.domain.errors import PipelineNotFound, SecretNotFound
from services.pps.domain.names import PipelineKey
from services.pps.domain.pipelines import readers_first
from services.pps.operations import intents, reading
from services.pps.peers.repos import PfsRefused
from services.pps.servicers.base import PipelineRpcs
from services.pps.servicers.to_wire import key_of, pipeline_of


class ChangingRpcs(PipelineRpcs):
    """StopPipeline, StartPipeline, DeletePipeline, DeletePipelines, DeleteAll."""

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
        chosen = [one.key for one in readers_first(one for one in found if request.all or one.key.project in projects)]
        gone = await self._delete(chosen, keep_repo=request.keep_repo, force=request.force, only_those_there=True)
        return pps.DeletePipelinesResponse(pipelines=map(pipeline_of, gone))

    async def DeleteAll(self, request: Empty, context: Context) -> Empty:
        """All pipelines with what they wrote, and all secrets; what else there is in repos stays."""
        await self.DeletePipelines(pps.DeletePipelinesRequest(all=True, force=True), context)
        for secret in await self.secrets.listing():
            try:
                await self.secrets.delete(secret.name)
            except SecretNotFound:  # somebody else was first
                continue
        return Empty()

    async def _delete(
        self, keys: Sequence[PipelineKey], *, keep_repo: bool, force: bool, only_those_there: bool = False
    ) -> Sequence[PipelineKey]:
        """All or none. keys: readers before what they read. Returns those deleted.

        only_those_there: one that somebody else deletes meanwhile is left out, and not missed.
        """
        async with AsyncExitStack() as own:
            for key in sorted(keys):  # in one order, or two calls wait for each other
                await own.enter_async_context(self.reconciler.working_on(key))
            if only_those_there:
                there = {one.key for one in await self.db.read(reading.everything)}
                keys = [key for key in keys if key in there]
            found = await self.db.run(
                intents.begin_deleting, keys, now=self.clock.now(), keep_repo=keep_repo, force=force
            )
            try:
                left = await self.db.read(reading.followers, keys)
                versions = [one.version for one in found]
                await self.repos.remove(versions, keep_repo=keep_repo, force=force, followers=left)
            except PfsRefused as refused:
                await self.db.run(intents.give_up, *keys)
                raise refused.error from refused
            await self.db.run(intents.close, *keys, now=self.clock.now())
            await self.jobs.forget(keys)
        self.reconciler.nudge()
        return keys

    async def _carry_out(self, key: PipelineKey, doing: str) -> None:
        async with self.reconciler.working_on(key):
            await self.db.run(intents.begin, key, doing, now=self.clock.now())
            try:
                await self.reconciler.finish(key, doing)
            except PfsRefused as refused:
                await self.db.run(intents.give_up, key)
                raise refused.error from refused
        self.reconciler.nudge()
