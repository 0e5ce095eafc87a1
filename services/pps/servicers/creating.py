"""CreatePipeline, CreatePipelineV2, RerunPipeline: from a document to a pipeline that counts."""

import json
import secrets
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToDict, SerializeToJsonError

from datamill.wire import pps_v2_pb2 as pps
from services.kit.errors import Invalid
from services.kit.rpc.server import Context
from services.kit.rpc.staging import transaction_of
from services.kit.time.clock import fresh_id
from services.pps.clients import PfsRefused
from services.pps.domain import inputs, specs
from services.pps.domain.errors import OutputRepoTaken, PipelineExists, PipelineNotFound
from services.pps.domain.merge import BUILT_IN, merged, without_nulls
from services.pps.domain.names import DEFAULT_PROJECT, PipelineKey
from services.pps.domain.pipelines import Pipeline, Version
from services.pps.operations import intents, reading
from services.pps.servicers.base import PipelineRpcs
from services.pps.servicers.spec_reader import read_spec, to_request
from services.pps.servicers.to_wire import key_of


@dataclass(frozen=True, slots=True)
class _How:
    """What a request says beside the spec. transaction: an id, or empty."""

    update: bool = False
    reprocess: bool = False
    dry: bool = False
    transaction: str = ""


class CreatingRpcs(PipelineRpcs):
    """Making and updating pipelines."""

    async def CreatePipeline(self, request: pps.CreatePipelineRequest, context: Context) -> Empty:
        try:
            document = MessageToDict(request)
        except (SerializeToJsonError, ValueError, OverflowError) as error:
            raise Invalid(f"invalid pipeline spec: {error}") from error
        for name in ("update", "reprocess", "dryRun"):
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
        pipeline = await self.db.read(reading.pipeline, key)
        await self._create(pipeline.version.effective_json, _How(update=True, reprocess=request.reprocess))
        return Empty()

    async def _create(self, text: str, how: _How) -> dict[str, Any]:
        document = {
            name: value for name, value in read_spec(text).items() if name not in ("update", "reprocess", "dryRun")
        }
        effective = without_nulls(merged(BUILT_IN, document))
        wanted = effective.get("pipeline")
        if not wanted:
            raise Invalid("invalid pipeline spec: request.Pipeline cannot be nil (pipeline: value is required)")
        project = (wanted.get("project") or {}).get("name") or DEFAULT_PROJECT
        key = PipelineKey(project, wanted.get("name") or "")
        effective["pipeline"] = {"project": {"name": project}, "name": key.name}
        flags = {name: True for name, on in (("update", how.update), ("reprocess", how.reprocess)) if on}
        answer = {**effective, **flags}
        asked = to_request(answer)
        if how.dry:
            return answer
        spec = specs.completed(effective, key)
        specs.check(spec, key)
        wanted_version = Version(
            key=key, number=0, token=secrets.token_hex(8), spec_commit="", salt="", spec=spec, user_json=text,
            effective_json=json.dumps(effective), at=self.clock.now(),
        )  # fmt: skip
        if how.transaction:
            await self._stage(wanted_version, asked, how)
            return answer
        async with self.reconciler.working_on(key):
            await self._make(wanted_version, how)
        self.reconciler.nudge()
        return answer

    async def _make(self, wanted: Version, how: _How) -> None:
        draft, old = await self._salted(wanted, how)
        await self.repos.check_inputs(draft)
        version = await self.db.run(intents.begin_version, draft, update=how.update, now=self.clock.now())
        try:
            commit = await self.repos.make_version(version, create=old is None, stopped=bool(old and old.stopped))
        except PfsRefused as refused:
            await self.db.run(intents.version_given_up, draft.key, version.number)
            raise refused.error from refused
        await self.db.run(intents.version_in_force, draft.key, version.number, commit, now=self.clock.now())

    async def _stage(self, wanted: Version, asked: pps.CreatePipelineRequest, how: _How) -> None:
        """Repos of inputs may be made in the same transaction: PFS looks for them."""
        draft, old = await self._salted(wanted, how)
        await self.repos.check_globs(draft)
        version = replace(draft, number=old.version.number + 1 if old else 1)
        await self.staged.stage(how.transaction, version, asked, old)

    async def _salted(self, draft: Version, how: _How) -> tuple[Version, Pipeline | None]:
        """With the salt that says what need not run again, and the pipeline as it is."""
        old = await self._existing(draft.key, update=how.update)
        before = old.version.salt if old else None
        salt = specs.salt_for(draft.spec, old=before, reprocess=how.reprocess, fresh=fresh_id())
        if old is None and await self.repos.exists(draft.key):
            raise OutputRepoTaken(draft.key.name)
        before = old.version.spec.get("input") if old else None
        tree = inputs.with_starts(draft.spec.get("input"), before=before, now=draft.at)
        return replace(draft, salt=salt, spec={**draft.spec, "input": tree} if tree else draft.spec), old

    async def _existing(self, key: PipelineKey, *, update: bool) -> Pipeline | None:
        try:
            found = await self.db.read(reading.pipeline, key)
        except PipelineNotFound:
            return None
        if not update:
            raise PipelineExists(key)
        return found
