"""transaction_v2.API: several requests as one change, collected one by one or given at once.

A finished transaction may leave work to other services; FinishTransaction and BatchTransaction wait for it a little,
so that a pipeline is there when the call returns, and answer without it when its owner is away: it comes later.
Elsewhere: what requests do (running.py); requests that join by their header (joining.py).
"""

import asyncio
from collections.abc import Iterable, Sequence

from google.protobuf.empty_pb2 import Empty

from datamill.wire import staging_v1_pb2 as staging
from datamill.wire import transaction_v2_pb2 as wire
from datamill.wire.transaction_v2_pb2_grpc import APIServicer
from services.kit.rpc.server import Context, is_service
from services.kit.storage.database import Database
from services.kit.time.clock import Clock, fresh_id
from services.pfs.domain.errors import MissingField
from services.pfs.operations import transactions
from services.pfs.operations.dag.change import changed
from services.pfs.servicers.transactions.running import all_of, run_steps
from services.pfs.storage.transactions import Stored

OWNERS_SECONDS, LOOK_SECONDS = 10.0, 0.03


class TransactionApi(APIServicer):
    """service_token: its holder may change the repos of pipelines."""

    def __init__(self, *, db: Database, clock: Clock, service_token: str) -> None:
        self._db, self._clock, self._service_token = db, clock, service_token

    async def BatchTransaction(self, request: wire.BatchTransactionRequest, context: Context) -> wire.TransactionInfo:
        id, now, by_service = fresh_id(), self._clock.now(), is_service(context, self._service_token)
        steps = [staging.Step(request=one) for one in request.requests]
        responses = await self._db.run(changed, run_steps, id, self._clock.now, steps, by_service)
        if any(one.HasField("stop_job") for one in request.requests):
            await self._owners(id)
        return _info(Stored(id, now, 1, b""), request.requests, responses)

    async def StartTransaction(self, request: wire.StartTransactionRequest, context: Context) -> wire.Transaction:
        stored = await self._db.run(transactions.start_transaction, fresh_id(), self._clock.now)
        return wire.Transaction(id=stored.id)

    async def InspectTransaction(
        self, request: wire.InspectTransactionRequest, context: Context
    ) -> wire.TransactionInfo:
        return _stored_info(await self._db.read(transactions.inspect_transaction, _id(request)))

    async def ListTransaction(self, request: wire.ListTransactionRequest, context: Context) -> wire.TransactionInfos:
        found = await self._db.read(transactions.list_transactions)
        return wire.TransactionInfos(transaction_info=map(_stored_info, found))

    async def DeleteTransaction(self, request: wire.DeleteTransactionRequest, context: Context) -> Empty:
        await self._db.run(transactions.delete_transaction, _id(request))
        return Empty()

    async def DeleteAll(self, request: wire.DeleteAllRequest, context: Context) -> Empty:
        await self._db.run(transactions.delete_transactions)
        return Empty()

    async def FinishTransaction(self, request: wire.FinishTransactionRequest, context: Context) -> wire.TransactionInfo:
        stored, responses = await self._db.run(transactions.finish, _id(request), self._clock.now, all_of)
        steps = staging.Staged.FromString(stored.content).steps
        if any(step.owner or step.request.HasField("stop_job") for step in steps):
            await self._owners(stored.id)
        return _info(stored, [step.request for step in steps], responses)

    async def _owners(self, id: str) -> None:
        """Return once the owners have carried out what was left to them, or it takes too long."""
        try:
            async with asyncio.timeout(OWNERS_SECONDS):
                while await self._db.read(transactions.intents_left, id):  # noqa: ASYNC110 - another replica may be told
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            return


def _id(
    request: wire.InspectTransactionRequest | wire.DeleteTransactionRequest | wire.FinishTransactionRequest,
) -> str:
    if not request.HasField("transaction"):
        raise MissingField("transaction")
    return request.transaction.id.lower()


def _stored_info(stored: Stored) -> wire.TransactionInfo:
    staged = staging.Staged.FromString(stored.content)
    return _info(stored, [step.request for step in staged.steps], staged.responses)


def _info(
    stored: Stored, requests: Iterable[wire.TransactionRequest], responses: Sequence[wire.TransactionResponse]
) -> wire.TransactionInfo:
    info = wire.TransactionInfo(
        transaction=wire.Transaction(id=stored.id), requests=requests, responses=responses, version=stored.version
    )
    info.started.FromDatetime(stored.started)
    return info
