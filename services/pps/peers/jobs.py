"""What this service asks of Jobs, in the words of this service."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import grpc

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import work_v1_pb2 as work
from datamill.wire import work_v1_pb2_grpc as work_grpc
from services.pps.domain.names import PipelineKey
from services.pps.domain.scaling import Demand

log = logging.getLogger(__name__)
AT_ONCE = 1000


@dataclass(frozen=True)
class Jobs:
    """The jobs of pipelines, as far as this service needs to know them."""

    channel: grpc.aio.Channel

    async def demand(self, keys: Sequence[PipelineKey]) -> dict[PipelineKey, Demand]:
        """What work there is for the workers of pipelines. Raises AioRpcError."""
        asked = work.CountWorkRequest(pipelines=map(_message, keys))
        answer = await work_grpc.WorkServiceStub(self.channel).CountWork(asked, timeout=5)
        return {key: Demand(one.open_sets, one.unfinished_jobs) for key, one in zip(keys, answer.work, strict=True)}

    async def unclaimed(self, key: PipelineKey) -> int:
        """How many datum sets wait for a worker; 0 also while Jobs is away."""
        asked = work.CountWorkRequest(pipelines=[_message(key)])
        try:
            answer = await work_grpc.WorkServiceStub(self.channel).CountWork(asked, timeout=2, wait_for_ready=False)
        except grpc.aio.AioRpcError as error:
            log.info("the work of %s is not known: %s", key, error.details())
            return 0
        return answer.work[0].unclaimed_sets

    async def forget(self, keys: Sequence[PipelineKey]) -> None:
        """Wait until the jobs of deleted pipelines are gone. While Jobs is away, they go when it hears the news."""
        asked = work.ForgetPipelinesRequest(pipelines=map(_message, keys))
        try:
            await work_grpc.WorkServiceStub(self.channel).ForgetPipelines(asked, timeout=30, wait_for_ready=False)
        except grpc.aio.AioRpcError as error:
            log.info("the jobs of deleted pipelines go later: %s", error.details())

    async def last_states(self, keys: Sequence[PipelineKey]) -> dict[PipelineKey, int]:
        """States of the newest jobs; none of those that have none, or of any while Jobs is away: a list never fails."""
        stub, found = work_grpc.WorkServiceStub(self.channel), dict[PipelineKey, int]()
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            try:
                asked = work.ListLastStatesRequest(pipelines=map(_message, some))
                answer = await stub.ListLastStates(asked, timeout=2, wait_for_ready=False)
            except grpc.aio.AioRpcError as error:
                log.info("the newest jobs of pipelines are not known: %s", error.details())
                return found
            found.update(zip(some, map(int, answer.states), strict=True))
        return found


def _message(key: PipelineKey) -> pps.Pipeline:
    return pps.Pipeline(name=key.name, project=pfs.Project(name=key.project))
