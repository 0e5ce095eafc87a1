"""datamill.staging.v1: how the owners of pipelines and jobs take part in transactions (protos say how)."""

from collections.abc import AsyncIterator

from datamill.wire import staging_v1_pb2 as staging
from datamill.wire.staging_v1_pb2_grpc import StagingServiceServicer
from services.kit.errors import Invalid
from services.kit.rpc.server import Context, require_service
from services.kit.storage.database import Database
from services.kit.time.clock import Clock, fresh_id
from services.pfs.operations import transactions
from services.pfs.servicers.transactions.running import appending, trying

BEYOND = 2**63  # no database counts that far


class StagingService(StagingServiceServicer):
    """For datamill's own services."""

    def __init__(self, *, db: Database, clock: Clock, service_token: str) -> None:
        self._db, self._clock, self._service_token = db, clock, service_token

    async def Stage(self, request: staging.StageRequest, context: Context) -> staging.StageResponse:
        require_service(context, self._service_token)
        if not request.step.owner:
            raise Invalid("step.owner: value is required")
        id = request.transaction_id.lower()
        await self._db.run(transactions.append, id, self._clock.now, appending(request.step))
        return staging.StageResponse()

    async def TryRequests(self, request: staging.TryRequestsRequest, context: Context) -> staging.TryRequestsResponse:
        require_service(context, self._service_token)
        after = request.transaction_id.lower()
        await self._db.run(
            transactions.try_out, after or fresh_id(), self._clock.now, trying(request.requests), after=after
        )
        return staging.TryRequestsResponse()

    async def ListIntents(
        self, request: staging.ListIntentsRequest, context: Context
    ) -> AsyncIterator[staging.ListIntentsResponse]:
        require_service(context, self._service_token)
        for intent in await self._db.read(transactions.intents_of, request.owner):
            step = staging.Step.FromString(intent.step)
            yield staging.ListIntentsResponse(
                number=intent.number, transaction_id=intent.transaction, request=step.request, payload=step.payload
            )

    async def CompleteIntent(
        self, request: staging.CompleteIntentRequest, context: Context
    ) -> staging.CompleteIntentResponse:
        require_service(context, self._service_token)
        if request.number < BEYOND:
            await self._db.run(transactions.complete_intent, request.number)
        return staging.CompleteIntentResponse()
