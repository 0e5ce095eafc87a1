"""How the owner of staged requests takes part in a transaction of PFS: it adds steps, and carries intents out.

A step is tried with all others when it is added. Once the transaction is finished PFS keeps an intent until its owner
says that it is done, so that a crash on either side delays it and loses nothing. Carrying out may happen twice.
Elsewhere: PFS's side (services/pfs/servicers/transactions); which steps there are (services/pps, services/jobs).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import grpc

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import staging_v1_pb2 as staging
from datamill.wire import staging_v1_pb2_grpc as staging_grpc
from datamill.wire import transaction_v2_pb2 as transaction
from services.kit.bus import Bus, Listener
from services.kit.rpc.server import Context

log = logging.getLogger(__name__)
HEADER = "pach-transaction"
FINISHED = "pfs.transaction.finished"
LOOK_AGAIN = timedelta(seconds=5)
PATIENCE = timedelta(seconds=60)  # PFS may be starting, too; nothing is said of that for so long
AWAY = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})
Intent = staging.ListIntentsResponse
CarryOut = Callable[[Intent], Awaitable[bool]]
"""False: not now; it is asked again."""


def transaction_of(context: Context) -> str:
    """The id of the transaction that a call belongs to, or "": an empty header is none."""
    for key, value in context.invocation_metadata() or ():
        if key == HEADER and value:
            return str(value).lower()
    return ""


@dataclass(frozen=True)
class Staging:
    """Of one owner, over a channel to PFS."""

    channel: grpc.aio.Channel
    owner: str

    async def stage(
        self,
        id: str,
        request: transaction.TransactionRequest,
        *,
        parts: Iterable[transaction.TransactionRequest] = (),
        unmoved: Iterable[pfs.Commit] = (),
        payload: bytes = b"",
    ) -> None:
        """Add a step to a transaction. Raises AioRpcError with what the dry run said."""
        step = staging.Step(request=request, owner=self.owner, parts=parts, unmoved=unmoved, payload=payload)
        stub = staging_grpc.StagingServiceStub(self.channel)
        await stub.Stage(staging.StageRequest(transaction_id=id, step=step))

    async def follow(self, bus: Bus, carry_out: CarryOut) -> None:
        """Carry intents out, in order, until cancelled."""
        async with bus.listen(FINISHED) as news:
            away = False
            while True:
                pause = LOOK_AGAIN
                try:
                    if not await self._look(carry_out):
                        pause /= 20
                    away = False
                except grpc.aio.AioRpcError as error:
                    if not away or error.code() not in AWAY:
                        log.info("cannot look for what transactions left; it is tried again: %s", error.details())
                    away = error.code() in AWAY
                except Exception:
                    log.exception("what a transaction left cannot be carried out now; it is tried again")
                await self._wait(news, pause)

    async def _look(self, carry_out: CarryOut) -> bool:
        """Whether nothing is left."""
        stub, complete = staging_grpc.StagingServiceStub(self.channel), True
        asked = staging.ListIntentsRequest(owner=self.owner)
        waited = stub.ListIntents(asked, timeout=PATIENCE.total_seconds(), wait_for_ready=True)
        intents = [one async for one in waited]
        for intent in intents:
            if await carry_out(intent):
                await stub.CompleteIntent(staging.CompleteIntentRequest(number=intent.number))
            else:
                complete = False
        return complete

    async def _wait(self, news: Listener, pause: timedelta) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(pause.total_seconds()):
                while (one := await news.wait(pause)) is not None and one.facts.get("owner") != self.owner:
                    pass
