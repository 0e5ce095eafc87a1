"""Pipelines."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from datamill import names
from datamill.transport import Calls
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

    def list_pipelines(
        self, *, pipeline: str | pps.Pipeline | None = None, projects: Iterable[str] = (), history: int = 0
    ) -> Iterator[pps.PipelineInfo]:
        """Pipelines, newest first. projects: none for all. history: older versions to show, -1 for all."""
        request = pps.ListPipelineRequest(
            pipeline=None if pipeline is None else names.pipeline(pipeline),
            projects=[names.project(name) for name in projects],
            history=history,
            details=True,
        )
        return self.stream(self.pps.ListPipeline, request)

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

    def rerun_pipeline(self, pipeline: str | pps.Pipeline, *, reprocess: bool = False) -> None:
        """Make a new version of the same spec, which starts a job. reprocess: run every datum, not only new ones."""
        request = pps.RerunPipelineRequest(pipeline=names.pipeline(pipeline), reprocess=reprocess)
        self.call(self.pps.RerunPipeline, request)

    def run_cron(self, pipeline: str | pps.Pipeline) -> None:
        """Tick the pipeline's cron inputs now."""
        self.call(self.pps.RunCron, pps.RunCronRequest(pipeline=names.pipeline(pipeline)))


def _as_json(spec: Spec) -> str:
    if isinstance(spec, str):
        return spec
    if isinstance(spec, pps.CreatePipelineRequest):
        from google.protobuf.json_format import MessageToJson  # noqa: PLC0415 - rarely needed, slow to import

        return MessageToJson(spec)
    return json.dumps(spec)
