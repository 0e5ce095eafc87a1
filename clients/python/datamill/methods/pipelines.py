"""Pipelines, the templates and defaults that their specs come from, and the secrets that they use."""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from google.protobuf.empty_pb2 import Empty

from datamill import names
from datamill.transport import Calls
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps

Spec = str | Mapping[str, Any] | pps.CreatePipelineRequest
"""A pipeline's spec: JSON text, the same as a mapping, or a message."""


class Pipelines(Calls):
    """Methods about pipelines. A pipeline is `pipeline` or `project/pipeline`."""

    def create_pipeline(
        self, spec: Spec, *, update: bool = False, reprocess: bool = False, dry_run: bool = False
    ) -> str:
        """Make a pipeline, or with update replace it. Returns the spec with defaults merged in, as JSON.

        reprocess: with update, run every datum again and not only new ones. dry_run: change nothing.
        Raises Invalid, AlreadyExists, NotFound for an input that does not exist.
        """
        request = pps.CreatePipelineV2Request(
            create_pipeline_request_json=_as_json(spec), update=update, reprocess=reprocess, dry_run=dry_run
        )
        return self.call(self.pps.CreatePipelineV2, request).effective_create_pipeline_request_json

    def inspect_pipeline(self, pipeline: str | pps.Pipeline, *, details: bool = True) -> pps.PipelineInfo:
        request = pps.InspectPipelineRequest(pipeline=names.pipeline(pipeline), details=details)
        return self.call(self.pps.InspectPipeline, request)

    def render_template(self, template: str, args: Mapping[str, str] | None = None) -> str:
        """What a jsonnet template gives, as JSON: a spec, or a list of them. Raises Invalid."""
        return self.call(self.pps.RenderTemplate, pps.RenderTemplateRequest(template=template, args=args or {})).json

    def list_pipelines(
        self,
        *,
        pipeline: str | pps.Pipeline | None = None,
        projects: Iterable[str] = (),
        history: int = 0,
        filter: str = "",
        at: str = "",
    ) -> Iterator[pps.PipelineInfo]:
        """Pipelines, newest first. projects: none for all. history: older versions to show, -1 for all.

        filter: a jq program, which keeps those for which it yields neither false nor null. at: as they were at the
        commit set of this id.
        """
        request = pps.ListPipelineRequest(
            pipeline=None if pipeline is None else names.pipeline(pipeline),
            projects=[names.project(name) for name in projects],
            history=history,
            details=True,
            jqFilter=filter,
            commit_set=pfs.CommitSet(id=at) if at else None,
        )
        return self.stream(self.pps.ListPipeline, request)

    def check_status(self, project: str = "") -> Iterator[pps.CheckStatusResponse]:
        """Pipelines that something is to be said about, of one project or of all."""
        where = names.project(project) if project else None
        request = pps.CheckStatusRequest(project=where) if where else pps.CheckStatusRequest(all=True)
        return self.stream(self.pps.CheckStatus, request)

    def start_pipeline(self, pipeline: str | pps.Pipeline) -> None:
        """Go on after a stop; one job catches up with what was committed meanwhile."""
        self.call(self.pps.StartPipeline, pps.StartPipelineRequest(pipeline=names.pipeline(pipeline)))

    def stop_pipeline(self, pipeline: str | pps.Pipeline) -> None:
        """Kill its running jobs and start no more until start_pipeline."""
        request = pps.StopPipelineRequest(pipeline=names.pipeline(pipeline), must_exist=True)
        self.call(self.pps.StopPipeline, request)

    def delete_pipeline(self, pipeline: str | pps.Pipeline, *, force: bool = False, keep_repo: bool = False) -> None:
        """Delete a pipeline and what it wrote. keep_repo: keep its output as an ordinary repo."""
        request = pps.DeletePipelineRequest(
            pipeline=names.pipeline(pipeline), force=force, keep_repo=keep_repo, must_exist=True
        )
        self.call(self.pps.DeletePipeline, request)

    def delete_pipelines(
        self, projects: Iterable[str] = (), *, all: bool = False, force: bool = False, keep_repo: bool = False
    ) -> list[pps.Pipeline]:
        """Delete the pipelines of these projects, or all there are. Returns those that are gone."""
        request = pps.DeletePipelinesRequest(
            projects=[names.project(name) for name in projects], all=all, force=force, keep_repo=keep_repo
        )
        return list(self.call(self.pps.DeletePipelines, request).pipelines)

    def rerun_pipeline(self, pipeline: str | pps.Pipeline, *, reprocess: bool = False) -> None:
        """Make a new version of the same spec, which starts a job. reprocess: run every datum, not only new ones."""
        request = pps.RerunPipelineRequest(pipeline=names.pipeline(pipeline), reprocess=reprocess)
        self.call(self.pps.RerunPipeline, request)

    def run_cron(self, pipeline: str | pps.Pipeline) -> None:
        """Tick the pipeline's cron inputs now."""
        self.call(self.pps.RunCron, pps.RunCronRequest(pipeline=names.pipeline(pipeline)))

    def defaults(self, project: str | None = None) -> str:
        """What specs start from, as JSON: of a project, or (None) of the whole instance; "{}" when never set."""
        if project is None:
            return self.call(self.pps.GetClusterDefaults, pps.GetClusterDefaultsRequest()).cluster_defaults_json
        request = pps.GetProjectDefaultsRequest(project=names.project(project))
        return self.call(self.pps.GetProjectDefaults, request).project_defaults_json

    def set_defaults(
        self,
        defaults: str | Mapping[str, Any],
        project: str | None = None,
        *,
        regenerate: bool = False,
        reprocess: bool = False,
        dry_run: bool = False,
    ) -> list[pps.Pipeline]:
        """Replace what specs start from: `{"createPipelineRequest": {…}}`. Returns the pipelines that this changes.

        regenerate: update these, too; reprocess: and run all their datums again. dry_run: only tell. Raises Invalid.
        """
        text = defaults if isinstance(defaults, str) else json.dumps(defaults)
        how = {"regenerate": regenerate, "reprocess": reprocess, "dry_run": dry_run}
        if project is None:
            everywhere = pps.SetClusterDefaultsRequest(cluster_defaults_json=text, **how)
            return list(self.call(self.pps.SetClusterDefaults, everywhere).affected_pipelines)
        request = pps.SetProjectDefaultsRequest(project=names.project(project), project_defaults_json=text, **how)
        return list(self.call(self.pps.SetProjectDefaults, request).affected_pipelines)

    def create_secret(self, name: str, values: Mapping[str, str | bytes], *, kind: str = "Opaque") -> None:
        """Keep values, encrypted, for pipelines whose transform names them. They cannot be read back."""
        raw = {key: value.encode() if isinstance(value, str) else value for key, value in values.items()}
        self.create_secret_from({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name},
            "type": kind,
            "data": {key: base64.b64encode(value).decode() for key, value in raw.items()},
        })  # fmt: skip

    def create_secret_from(self, document: Mapping[str, Any]) -> None:
        """Keep a secret that is written as a Kubernetes Secret. Raises Invalid, Failed when the name is taken."""
        self.call(self.pps.CreateSecret, pps.CreateSecretRequest(file=json.dumps(document).encode()))

    def inspect_secret(self, name: str) -> pps.SecretInfo:
        """What is known of a secret; never its values."""
        return self.call(self.pps.InspectSecret, pps.InspectSecretRequest(secret=pps.Secret(name=name)))

    def list_secrets(self) -> list[pps.SecretInfo]:
        return list(self.call(self.pps.ListSecret, Empty()).secret_info)

    def delete_secret(self, name: str) -> None:
        self.call(self.pps.DeleteSecret, pps.DeleteSecretRequest(secret=pps.Secret(name=name)))


def _as_json(spec: Spec) -> str:
    if isinstance(spec, str):
        return spec
    if isinstance(spec, pps.CreatePipelineRequest):
        from google.protobuf.json_format import MessageToJson  # noqa: PLC0415 - rarely needed, slow to import

        return MessageToJson(spec)
    return json.dumps(spec)
