"""From a spec's text to a draft of a version: read, merged over its defaults, completed and checked."""

import json
import secrets
from dataclasses import dataclass, replace
from typing import Any

from datamill.wire import pps_v2_pb2 as pps
from services.kit.errors import Invalid
from services.kit.time.clock import fresh_id
from services.pps.domain.names import DEFAULT_PROJECT, PipelineKey
from services.pps.domain.pipelines import Pipeline, Version
from services.pps.domain.spec import inputs, merge, specs
from services.pps.operations import defaults
from services.pps.operations.defaults import EVERYWHERE
from services.pps.servicers.base import PipelineRpcs
from services.pps.servicers.specs.reader import read_defaults, read_spec, to_request

Document = dict[str, Any]
NOT_SPEC = ("update", "reprocess", "dryRun")  # a request's own words; in a document they mean nothing


@dataclass(frozen=True, slots=True)
class Drafted:
    """A spec merged over its defaults. effective: canonical, with its project; text: the user's own."""

    key: PipelineKey
    text: str
    effective: Document

    def asked(self) -> pps.CreatePipelineRequest:
        """As a message. Raises SpecUnreadable."""
        return to_request(self.effective)


@dataclass(frozen=True, slots=True)
class Layers:
    """The defaults of everywhere and of the projects, canonical; a project that is missing has none."""

    everywhere: Document
    projects: dict[str, Document]

    def under(self, text: str) -> Drafted:
        """The spec that a user's text makes over them. Raises SpecUnreadable, Invalid."""
        document = read_spec(text)
        key = key_in(document)
        effective = merge.effective(self.everywhere, self.projects.get(key.project, {}), document)
        effective["pipeline"] = {"project": {"name": key.project}, "name": key.name}
        return Drafted(key, text, {name: value for name, value in effective.items() if name not in NOT_SPEC})


def key_in(document: Document) -> PipelineKey:
    """Which pipeline a spec is of. Raises Invalid."""
    wanted = document.get("pipeline")
    if wanted is None:
        raise Invalid("invalid pipeline spec: request.Pipeline cannot be nil (pipeline: value is required)")
    return PipelineKey((wanted.get("project") or {}).get("name") or DEFAULT_PROJECT, wanted.get("name") or "")


class DraftingRpcs(PipelineRpcs):
    """What creating pipelines and changing defaults share."""

    async def _layers(self, *projects: str) -> Layers:
        everywhere = await self.db.read(defaults.defaults, EVERYWHERE)
        found = {project: await self._of_project(project) for project in dict.fromkeys(projects)}
        return Layers(read_defaults(everywhere.document), found)

    async def _of_project(self, project: str) -> Document:
        """None when they were set for a project of that name that is gone."""
        kept = await self.db.read(defaults.defaults, project)
        if kept.at is None:
            return {}
        info = await self.repos.project(project)
        return read_defaults(kept.document) if info.created_at.ToDatetime(kept.at.tzinfo) <= kept.at else {}

    async def _draft(self, drafted: Drafted) -> Version:
        """Raises BadSpec, NotBuiltYet."""
        spec = specs.completed(drafted.effective, drafted.key)
        specs.check(spec, drafted.key)
        await self.secrets.check(spec)
        await self.repos.check_egress(drafted.asked().egress)
        return Version(
            key=drafted.key, number=0, token=secrets.token_hex(8), spec_commit="", salt="", spec=spec,
            user_json=drafted.text, effective_json=json.dumps(drafted.effective), at=self.clock.now(),
        )  # fmt: skip

    @staticmethod
    def _salted(draft: Version, old: Pipeline | None, *, reprocess: bool) -> Version:
        """With the salt that says what need not run again, and with the times at which what is new in it starts."""
        salt = specs.salt_for(draft.spec, old=old.version.salt if old else None, reprocess=reprocess, fresh=fresh_id())
        before = old.version.spec.get("input") if old else None
        tree = inputs.with_starts(draft.spec.get("input"), before=before, now=draft.at)
        return replace(draft, salt=salt, spec={**draft.spec, "input": tree} if tree else draft.spec)
