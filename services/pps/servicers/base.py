"""What every servicer of this service is handed."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import pps_v2_pb2_grpc as pps_grpc
from services.kit.errors import Invalid
from services.kit.programs.jsonnet import Fetch
from services.kit.storage.database import Database
from services.kit.time.clock import Clock
from services.pps.domain.names import PipelineKey
from services.pps.domain.pipelines import Pipeline, Version
from services.pps.operations.secrets import Secrets
from services.pps.peers.jobs import Jobs
from services.pps.peers.repos import Repos
from services.pps.runtimes.port import GroupStatus


class Named(Protocol):
    """A request about one pipeline."""

    @property
    def pipeline(self) -> pps.Pipeline: ...


class Groups(Protocol):
    """The duty that keeps worker groups."""

    def status(self, pipeline: Pipeline) -> GroupStatus: ...


class Reconciler(Protocol):
    """The duty that carries intents out."""

    def working_on(self, key: PipelineKey) -> AbstractAsyncContextManager[None]: ...

    async def finish(self, key: PipelineKey, doing: str) -> None: ...

    def nudge(self) -> None: ...


class Staged(Protocol):
    """The duty that puts versions in force which come with a transaction."""

    async def stage(
        self, id: str, version: Version, asked: pps.CreatePipelineRequest, old: Pipeline | None
    ) -> None: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class PipelineRpcs(pps_grpc.APIServicer):
    """Shared by all."""

    db: Database
    repos: Repos
    jobs: Jobs
    clock: Clock
    groups: Groups
    reconciler: Reconciler
    staged: Staged
    secrets: Secrets
    fetch: Fetch
    service_token: str

    @staticmethod
    def named(request: Named) -> pps.Pipeline:
        """The request's pipeline. Raises Invalid when it has none."""
        if not request.pipeline.name:
            raise Invalid("validate request: pipeline: value is required (request.Pipeline cannot be nil)")
        return request.pipeline
