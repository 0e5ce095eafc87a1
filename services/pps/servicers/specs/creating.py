"""CreatePipeline, CreatePipelineV2, RerunPipeline: from a document to a pipeline that counts."""

import json
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.empty_pb2 import Empty

from datamill.wire import pps_v2_pb2 as pps
from services.kit.rpc.server import Context
from services.kit.rpc.staging import transaction_of
from services.pps.domain.errors import BadSpec, OutputRepoTaken, PipelineExists, PipelineNotFound
from services.pps.domain.names import PipelineKey
from services.pps.domain.pipelines import Pipeline, Version
from services.pps.operations import intents, reading
from services.pps.peers.repos import PfsRefused
from services.pps.servicers.specs.drafting import NOT_SPEC, Drafted, DraftingRpcs, key_in
from services.pps.servicers.specs.reader import document_of, read_spec, to_request
from services.pps.servicers.to_wire import key_of


@dataclass(frozen=True, slots=True)
class _How:
    """What a request says beside the spec. transaction: an id, or empty."""

    update: bool = False
    reprocess: bool = False
    dry: bool = False
    transaction: str = ""


class CreatingRpcs(DraftingRpcs):
    """Making and updating pipelines."""

    async def CreatePipeline(self, request: pps.CreatePipelineRequest, context: Context) -> Empty:
        document = document_of(request, "pipeline spec")
        for name in NOT_SPEC:
            document.pop(name, None)
        await self._create(
            json.dumps(document),
            _How(request.update, request.reprocess, request.dry_run, transaction_of(context)),
        )
        return Empty()

    async def CreatePipelineV2(
        self, request: pps.CreatePipelineV2Request, context: Context
    ) -> pps.CreatePipelineV2Response:
        effective = await self._create(
            request.create_pipeline_request_json,
            _How(request.update, request.reprocess, request.dry_run, transaction_of(context)),
        )
        return pps.CreatePipelineV2Response(effective_create_pipeline_request_json=json.dumps(effective))

    async def RerunPipeline(self, request: pps.RerunPipelineRequest, context: Context) -> Empty:
        key = key_of(self.named(request))
        await self.db.read(reading.pipeline, key)
        async with self.reconciler.working_on(key):
            version = (await self.db.read(reading.pipeline, key)).version
            drafted = Drafted(key, version.user_json, reading.effective(version))  # whatever the defaults are by now
            await self._make(await self._draft(drafted), _How(update=True, reprocess=request.reprocess))
        self.reconciler.nudge()
        return Empty()

    async def _create(self, text: str, how: _How) -> dict[str, Any]:
        layers = await self._layers(key_in(read_spec(text)).project)
        drafted = layers.under(text)
        flags = {name: True for name, on in (("update", how.update), ("reprocess", how.reprocess)) if on}
        answer = {**drafted.effective, **flags}
        asked = to_request(answer)
        if how.update and "specCommit" in drafted.effective:
            raise BadSpec("Cannot update a pipeline and provide a spec commit at the same time")
        if how.dry:  # nothing but what is written there: a spec that is being typed lacks the rest
            await self.repos.check_egress(asked.egress)
        else:
            await self._put(await self._draft(drafted), asked, how)
        return answer

    async def _put(self, draft: Version, asked: pps.CreatePipelineRequest, how: _How) -> None:
        """Make the version, now or with the transaction."""
        if how.transaction:
            await self._stage(draft, asked, how)
            return
        async with self.reconciler.working_on(draft.key):
            await self._make(draft, how)
        self.reconciler.nudge()

    async def _make(self, draft: Version, how: _How) -> None:
        old = await self._existing(draft.key, update=how.update)
        draft = self._salted(draft, old, reprocess=how.reprocess)
        await self.repos.check_inputs(draft)
        version = await self.db.run(intents.begin_version, draft, update=how.update, now=self.clock.now())
        try:
            commit = await self.repos.make_version(version, create=old is None, stopped=bool(old and old.stopped))
        except PfsRefused as refused:
            await self.db.run(intents.version_given_up, draft.key, version.number)
            raise refused.error from refused
        await self.db.run(intents.version_in_force, draft.key, version.number, commit, now=self.clock.now())

    async def _stage(self, draft: Version, asked: pps.CreatePipelineRequest, how: _How) -> None:
        """Repos of inputs may be made in the same transaction: PFS looks for them."""
        old = await self._existing(draft.key, update=how.update)
        draft = self._salted(draft, old, reprocess=how.reprocess)
        await self.repos.check_globs(draft)
        version = replace(draft, number=old.version.number + 1 if old else 1)
        if old and old.stopped:
            try:
                await self.repos.try_connected([(version, False)], transaction_id=how.transaction)
            except PfsRefused as refused:
                raise refused.error from refused
        await self.staged.stage(how.transaction, version, asked, old)

    async def _existing(self, key: PipelineKey, *, update: bool) -> Pipeline | None:
        """The pipeline as it is. Raises PipelineExists, OutputRepoTaken."""
        try:
            found = await self.db.read(reading.pipeline, key)
        except PipelineNotFound:
            if await self.repos.exists(key):
                raise OutputRepoTaken(key.name) from None
            return None
        if not update:
            raise PipelineExists(key)
        return found
