"""datamill.upkeep.v1 as far as it is about what jobs keep.

Elsewhere: the collector (duties/collector.py).
"""

from datetime import timedelta
from typing import Protocol

from datamill.wire import upkeep_v1_pb2 as wire
from datamill.wire.upkeep_v1_pb2_grpc import JobUpkeepServiceServicer
from services.jobs.domain.errors import BadRequest
from services.jobs.operations.upkeep.collecting import Report
from services.kit.rpc.server import Context, require_service
from services.kit.time.times import span_of

LONGEST_HOLD = timedelta(hours=1)
SHORTEST_ID = 8


class Collections(Protocol):
    """What does the work."""

    async def collect(self, *, hold: timedelta | None) -> Report: ...

    async def look(self, *, hold: timedelta | None) -> Report: ...

    async def keep_others_off(self, holder: str, ttl: timedelta) -> None: ...

    async def let_others(self, holder: str) -> None: ...


class JobUpkeepService(JobUpkeepServiceServicer):
    """For whoever runs the instance: every call needs the service token."""

    def __init__(self, collections: Collections, *, token: str) -> None:
        self._collections, self._token = collections, token

    async def CollectJobGarbage(
        self, request: wire.CollectJobGarbageRequest, context: Context
    ) -> wire.CollectJobGarbageResponse:
        require_service(context, self._token)
        hold = span_of(request.hold) if request.HasField("hold") else None
        if hold is not None and not timedelta(0) <= hold <= timedelta(days=365):
            raise BadRequest("hold must be between nothing and a year")
        work = self._collections.look if request.dry_run else self._collections.collect
        report = await work(hold=hold)
        return wire.CollectJobGarbageResponse(
            pipelines=report.pipelines,
            unreferenced=wire.ObjectCount(objects=len(report.unreferenced), size_bytes=report.unreferenced_bytes),
            abandoned=report.abandoned,
            waiting=report.waiting,
            deleted=wire.ObjectCount(objects=report.deleted, size_bytes=report.deleted_bytes),
        )

    async def HoldCollection(
        self, request: wire.HoldCollectionRequest, context: Context
    ) -> wire.HoldCollectionResponse:
        require_service(context, self._token)
        ttl = span_of(request.ttl)
        if len(request.id) < SHORTEST_ID or not timedelta(0) < ttl <= LONGEST_HOLD:
            raise BadRequest(f"a hold needs an id of at least {SHORTEST_ID} characters and a ttl of at most an hour")
        await self._collections.keep_others_off(f"hold/{request.id}", ttl)
        return wire.HoldCollectionResponse()

    async def ReleaseCollection(
        self, request: wire.ReleaseCollectionRequest, context: Context
    ) -> wire.ReleaseCollectionResponse:
        require_service(context, self._token)
        await self._collections.let_others(f"hold/{request.id}")
        return wire.ReleaseCollectionResponse()
