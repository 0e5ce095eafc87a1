"""What Jobs asks of PPS, in its own words."""

from dataclasses import dataclass

import grpc

from datamill.wire import inputs_v1_pb2 as inputs
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import pps_v2_pb2_grpc as pps_grpc
from datamill.wire import secrets_v1_pb2 as secrets
from datamill.wire.inputs_v1_pb2_grpc import InputServiceStub
from datamill.wire.secrets_v1_pb2_grpc import SecretServiceStub
from services.jobs.domain.errors import PasswordMissing, PipelineNotFound, Wrong
from services.jobs.domain.jobs import JobKey
from services.jobs.domain.specs import PipelineSpec
from services.jobs.spec_reader import read_spec


@dataclass(frozen=True, slots=True)
class Health:
    """How a pipeline and its workers are."""

    state: str
    reason: str
    requested: int
    available: int


@dataclass(frozen=True)
class Pps:
    """The pipeline service."""

    channel: grpc.aio.Channel

    async def pipeline(self, project: str, name: str) -> PipelineSpec:
        """The version in force. Raises PipelineNotFound."""
        wanted = pps.Pipeline(name=name, project=pfs.Project(name=project))
        request = pps.InspectPipelineRequest(pipeline=wanted, details=True)
        try:
            return read_spec(await pps_grpc.APIStub(self.channel).InspectPipeline(request, wait_for_ready=True))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise PipelineNotFound(f"{project}/{name}") from error
            raise

    async def health(self, project: str, name: str) -> Health:
        """How a pipeline is now. Raises PipelineNotFound."""
        wanted = pps.Pipeline(name=name, project=pfs.Project(name=project))
        try:
            info = await pps_grpc.APIStub(self.channel).InspectPipeline(
                pps.InspectPipelineRequest(pipeline=wanted, details=True), timeout=10
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise PipelineNotFound(f"{project}/{name}") from error
            raise
        state = pps.PipelineState.Name(info.state).removeprefix("PIPELINE_")
        return Health(state, info.reason, info.details.workers_requested, info.details.workers_available)

    async def secret(self, key: JobKey, version: int, name: str, entry: str) -> str:
        """A value of a secret that a version of a pipeline names. Raises AioRpcError; PasswordMissing without it."""
        request = secrets.FetchSecretsRequest(
            pipeline=pps.Pipeline(name=key.pipeline, project=pfs.Project(name=key.project)),
            pipeline_version=version,
            names=[name],
        )
        answer = await SecretServiceStub(self.channel).FetchSecrets(request, timeout=30, wait_for_ready=True)
        for one in answer.secrets:
            if entry in one.values:
                return one.values[entry].decode("utf-8", "replace")
        raise PasswordMissing()

    async def complete(self, tree: pps.Input) -> pps.Input:
        """A tree that is no pipeline's, with the defaults of one. Raises Wrong with all that is wrong with it."""
        asked = inputs.CompleteInputRequest(input=tree)
        try:
            return (await InputServiceStub(self.channel).CompleteInput(asked, wait_for_ready=True)).input
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNKNOWN:
                raise Wrong(error.details() or "the input cannot be read") from error
            raise

    async def versions(self, project: str, name: str) -> list[PipelineSpec]:
        """All versions, newest first; none when there is no such pipeline."""
        wanted = pps.Pipeline(name=name, project=pfs.Project(name=project))
        request = pps.ListPipelineRequest(pipeline=wanted, history=-1, details=True)
        try:
            return [
                read_spec(info)
                async for info in pps_grpc.APIStub(self.channel).ListPipeline(request, timeout=30, wait_for_ready=True)
            ]
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return []
            raise

    async def all(self) -> list[PipelineSpec]:
        """Every pipeline's version in force."""
        found = pps_grpc.APIStub(self.channel).ListPipeline(pps.ListPipelineRequest(details=True), timeout=30)
        return [read_spec(info) async for info in found]
