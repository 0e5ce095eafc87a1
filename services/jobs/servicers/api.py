"""pps_v2.API as far as Jobs owns it; the gateway sends the other methods to PPS."""

from google.protobuf.empty_pb2 import Empty

from datamill.wire import pps_v2_pb2 as pps
from datamill.wire.pps_v2_pb2_grpc import APIServicer
from services.jobs.domain.errors import Wrong
from services.jobs.servicers.datums.of_jobs import DatumRpcs
from services.jobs.servicers.jobs import Parts
from services.jobs.servicers.listing import JobListRpcs
from services.jobs.servicers.logs.getting import LogRpcs
from services.jobs.servicers.looking import LookingRpcs
from services.kit.rpc.server import Context


class JobsApi(JobListRpcs, DatumRpcs, LogRpcs, LookingRpcs, APIServicer):
    """All nouns together."""

    def __init__(self, parts: Parts) -> None:
        self._p = parts

    async def RunPipeline(self, request: pps.RunPipelineRequest, context: Context) -> Empty:
        raise Wrong("unimplemented")
