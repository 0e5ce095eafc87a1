"""The defaults of specs: of everywhere, and of each project; and what changing them makes of pipelines."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from datamill.wire import pps_v2_pb2 as pps
from services.kit.errors import Problem
from services.kit.rpc.server import Context
from services.pps.domain.errors import CannotRegenerate
from services.pps.domain.names import DEFAULT_PROJECT, PipelineKey
from services.pps.domain.pipelines import Pipeline, Version
from services.pps.operations import defaults, intents, reading
from services.pps.operations.defaults import EVERYWHERE
from services.pps.peers.repos import PfsRefused
from services.pps.servicers.specs.drafting import Drafted, DraftingRpcs, Layers
from services.pps.servicers.specs.reader import read_defaults, to_request
from services.pps.servicers.to_wire import pipeline_of

Change = tuple[Pipeline, Drafted]
Setting = pps.SetClusterDefaultsRequest | pps.SetProjectDefaultsRequest


class DefaultsRpcs(DraftingRpcs):
    """GetClusterDefaults, SetClusterDefaults, GetProjectDefaults, SetProjectDefaults."""

    async def GetClusterDefaults(
        self, request: pps.GetClusterDefaultsRequest, context: Context
    ) -> pps.GetClusterDefaultsResponse:
        kept = await self.db.read(defaults.defaults, EVERYWHERE)
        return pps.GetClusterDefaultsResponse(cluster_defaults_json=kept.document)

    async def SetClusterDefaults(
        self, request: pps.SetClusterDefaultsRequest, context: Context
    ) -> pps.SetClusterDefaultsResponse:
        everywhere = read_defaults(request.cluster_defaults_json, "cluster defaults")
        found = await self.db.read(reading.everything) if request.regenerate else []
        kept = await self._layers(*(one.key.project for one in found))
        changes = _changes(found, replace(kept, everywhere=everywhere))
        await self._set(EVERYWHERE, request.cluster_defaults_json, changes, request)
        return pps.SetClusterDefaultsResponse(affected_pipelines=[pipeline_of(one.key) for one, _ in changes])

    async def GetProjectDefaults(
        self, request: pps.GetProjectDefaultsRequest, context: Context
    ) -> pps.GetProjectDefaultsResponse:
        project = request.project.name or DEFAULT_PROJECT
        info = await self.repos.project(project)
        kept = await self.db.read(defaults.defaults, project)
        if kept.at is None or info.created_at.ToDatetime(kept.at.tzinfo) > kept.at:  # set for one that is gone
            return pps.GetProjectDefaultsResponse(project_defaults_json=defaults.NONE)
        answer = pps.GetProjectDefaultsResponse(project_defaults_json=kept.document)
        answer.created_at.FromDatetime(kept.at)
        return answer

    async def SetProjectDefaults(
        self, request: pps.SetProjectDefaultsRequest, context: Context
    ) -> pps.SetProjectDefaultsResponse:
        project = request.project.name or DEFAULT_PROJECT
        await self.repos.project(project)
        document = read_defaults(request.project_defaults_json, "project defaults")
        found = await self.db.read(reading.everything) if request.regenerate else []
        kept = await self._layers()
        changes = _changes(
            [one for one in found if one.key.project == project], replace(kept, projects={project: document})
        )
        await self._set(project, request.project_defaults_json, changes, request)
        return pps.SetProjectDefaultsResponse(affected_pipelines=[pipeline_of(one.key) for one, _ in changes])

    async def _set(self, project: str, document: str, changes: Sequence[Change], how: Setting) -> None:
        """Keep the document, and make the new versions, all or none."""
        drafts = [await self._regenerated(*change, reprocess=how.reprocess) for change in changes]
        if how.dry_run:
            return
        async with AsyncExitStack() as own:
            for key in sorted(draft.key for draft in drafts):  # in one order, or two calls wait for each other
                await own.enter_async_context(self.reconciler.working_on(key))
            renewed = [(draft, one.version.number) for draft, (one, _) in zip(drafts, changes, strict=True)]
            versions = await self.db.run(intents.begin_updates, renewed, now=self.clock.now())
            made, commit = {version.key: version.number for version in versions}, ""
            if versions:
                stopped = {one.key: one.stopped for one, _ in changes}
                commit = await self._in_pfs(versions, stopped)
            await self.db.run(defaults.put, project, document, made, commit, now=self.clock.now())
        self.reconciler.nudge()

    async def _in_pfs(self, versions: Sequence[Version], stopped: dict[PipelineKey, bool]) -> str:
        try:
            return await self.repos.make_versions([(version, stopped[version.key]) for version in versions])
        except PfsRefused as refused:
            for version in versions:
                await self.db.run(intents.version_given_up, version.key, version.number)
            raise CannotRegenerate(", ".join(str(version.key) for version in versions), refused) from refused

    async def _regenerated(self, old: Pipeline, drafted: Drafted, *, reprocess: bool) -> Version:
        try:
            return self._salted(await self._draft(drafted), old, reprocess=reprocess)
        except Problem as problem:
            raise CannotRegenerate(old.key, problem) from problem


def _changes(pipelines: Sequence[Pipeline], layers: Layers) -> list[Change]:
    """The pipelines that these defaults change, and what they make of them. Raises CannotRegenerate."""
    found = list[Change]()
    for one in pipelines:
        try:
            drafted = layers.under(one.version.user_json)
            same = drafted.asked() == to_request(reading.effective(one.version))
        except Problem as problem:
            raise CannotRegenerate(one.key, problem) from problem
        if not same:
            found.append((one, drafted))
    return found
