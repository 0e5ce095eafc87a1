"""CreatePipeline, CreatePipelineV2, RerunPipeline: from a document to a pipeline that counts."""

import json
import secrets
from typing import Any

from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToDict, SerializeToJsonError

from datamill.wire import pps_v2_pb2 as pps
from services.kit.clock import fresh_id
from services.kit.errors import Invalid
from services.kit.server import Context
from services.pps.clients import PfsRefused
from services.pps.domain import specs
from services.pps.domain.errors import OutputRepoTaken, PipelineExists, PipelineNotFound
from services.pps.domain.merge import BUILT_IN, merged, without_nulls
from services.pps.domain.names import DEFAULT_PROJECT, PipelineKey
from services.pps.domain.pipelines import Pipeline, Version
from services.pps.operations import intents, reading
from services.pps.servicers.base import PipelineRpcs
from services.pps.servicers.spec_reader import read_spec, to_request
from services.pps.servicers.to_wire import key_of


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
            json.dumps(document), update=request.update, reprocess=request.reprocess, dry=request.dry_run
        )
        return Empty()

    async def CreatePipelineV2(
        self, request: pps.CreatePipelineV2Request, context: Context
    ) -> pps.CreatePipelineV2Response:
        effective = await self._create(
            request.create_pipeline_request_json,
            update=request.update,
            reprocess=request.reprocess,
            dry=request.dry_run,
        )
        return pps.CreatePipelineV2Response(effective_create_pipeline_request_json=json.dumps(effective))

    async def RerunPipeline(self, request: pps.RerunPipelineRequest, context: Context) -> Empty:
        key = key_of(self.named(request))
        pipeline = await self.db.read(reading.pipeline, key)
        await self._create(pipeline.version.effective_json, update=True, reprocess=request.reprocess, dry=False)
        return Empty()

    async def _create(self, text: str, *, update: bool, reprocess: bool, dry: bool) -> dict[str, Any]:
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
        to_request(effective)
        answer = {**effective, **({"update": True} if update else {}), **({"reprocess": True} if reprocess else {})}
        if dry:
            return answer
        spec = specs.completed(effective, key)
        specs.check(spec, key)
        async with self.reconciler.working_on(key):
            await self._make(key, spec, text, effective, update=update, reprocess=reprocess)
        self.reconciler.nudge()
        return answer

    async def _make(
        self, key: PipelineKey, spec: specs.Spec, text: str, effective: dict[str, Any], *, update: bool, reprocess: bool
    ) -> None:
        old = await self._existing(key, update=update)
        salt = specs.salt_for(spec, old=old.version.salt if old else None, reprocess=reprocess, fresh=fresh_id())
        draft = Version(
            key=key, number=0, token=secrets.token_hex(8), spec_commit="", salt=salt, spec=spec, user_json=text,
            effective_json=json.dumps(effective), at=self.clock.now(),
        )  # fmt: skip
        await self.repos.check_inputs(draft)
        if old is None and await self.repos.exists(key):
            raise OutputRepoTaken(key.name)
        version = await self.db.run(intents.begin_version, draft, update=update, now=self.clock.now())
        try:
            commit = await self.repos.make_version(version, create=old is None, stopped=bool(old and old.stopped))
        except PfsRefused as refused:
            await self.db.run(intents.version_given_up, key, version.number)
            raise refused.error from refused
        await self.db.run(intents.version_in_force, key, version.number, commit, now=self.clock.now())

    async def _existing(self, key: PipelineKey, *, update: bool) -> Pipeline | None:
        try:
            found = await self.db.read(reading.pipeline, key)
        except PipelineNotFound:
            return None
        if not update:
            raise PipelineExists(key)
        return found
