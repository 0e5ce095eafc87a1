"""datamill.upkeep.v1: garbage, damage, and holding collections off while a backup is made.

Elsewhere: the collector (duties/collector.py); the scrub (operations/collection/scrub.py).
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any, Protocol

from google.protobuf.duration_pb2 import Duration

from datamill.wire import upkeep_v1_pb2 as wire
from datamill.wire.upkeep_v1_pb2_grpc import UpkeepServiceServicer
from services.kit.config import ConfigError
from services.kit.errors import Invalid
from services.kit.objects.address import BadAddress, Folder, parse
from services.kit.objects.opening import open_store
from services.kit.objects.port import Objects
from services.kit.rpc.server import Context, require_service
from services.kit.storage.database import Database
from services.pfs.domain.keys import CommitRef
from services.pfs.operations.batches import batches
from services.pfs.operations.collection import scrub
from services.pfs.operations.collection.report import Report, Tally
from services.pfs.operations.files.stores import Stores
from services.pfs.servicers.wire import to_wire
from services.pfs.storage.collection.sessions import SessionStore

LONGEST_HOLD = timedelta(hours=1)
SHORTEST_ID = 8


class Collections(Protocol):
    """What does the work."""

    async def collect(self, *, hold: timedelta | None, tell: Callable[[str], None]) -> Report: ...

    async def look(self, *, hold: timedelta | None, tell: Callable[[str], None]) -> Report: ...

    def between(self) -> AbstractAsyncContextManager[object]:
        """A time at which no collection is going on."""
        ...


class UpkeepService(UpkeepServiceServicer):
    """For whoever runs the instance: every call needs the service token."""

    def __init__(self, db: Database, stores: Stores, collections: Collections, *, token: str) -> None:
        self._db, self._stores, self._collections, self._token = db, stores, collections, token

    async def CollectGarbage(
        self, request: wire.CollectGarbageRequest, context: Context
    ) -> AsyncIterator[wire.CollectGarbageResponse]:
        require_service(context, self._token)
        hold = _duration(request.hold, "hold") if request.HasField("hold") else None
        if hold is not None and not timedelta(0) <= hold <= timedelta(days=365):
            raise Invalid("hold must be between nothing and a year")
        stages = asyncio.Queue[str | None]()
        work = self._collections.look if request.dry_run else self._collections.collect

        async def run() -> Report:
            try:
                return await work(hold=hold, tell=stages.put_nowait)
            finally:
                stages.put_nowait(None)

        running = asyncio.ensure_future(run())
        try:
            while (stage := await stages.get()) is not None:
                yield wire.CollectGarbageResponse(stage=stage)
            yield wire.CollectGarbageResponse(report=_report(await running))
        finally:
            running.cancel()  # whoever asked has gone: every step can be the last

    async def Scrub(self, request: wire.ScrubRequest, context: Context) -> AsyncIterator[wire.ScrubResponse]:
        require_service(context, self._token)
        other = await asyncio.to_thread(_copy_at, request.repair_from) if request.repair_from else None
        run = scrub.Scrub(self._stores, other, request.rate_bytes, lambda pack: self._db.run_here(scrub.counts, pack))
        packs = await self._db.read(scrub.packs_to_scrub)
        async for batch in batches(lambda: run.contents(packs), most=8):
            for event in batch:
                yield _scrubbed(event)
        commits = await self._db.read(scrub.trees_to_scrub)
        async for batch in batches(lambda: run.trees(commits), most=64):
            for event in batch:
                yield _scrubbed(event)

    async def HoldCollection(
        self, request: wire.HoldCollectionRequest, context: Context
    ) -> wire.HoldCollectionResponse:
        require_service(context, self._token)
        ttl = _duration(request.ttl, "ttl")
        if len(request.id) < SHORTEST_ID or not timedelta(0) < ttl <= LONGEST_HOLD:
            raise Invalid(f"a hold needs an id of at least {SHORTEST_ID} characters and a ttl of at most an hour")
        async with self._collections.between():
            await self._db.run(lambda tx: SessionStore(tx).hold(f"hold/{request.id}", ttl=ttl))
        return wire.HoldCollectionResponse()

    async def ReleaseCollection(
        self, request: wire.ReleaseCollectionRequest, context: Context
    ) -> wire.ReleaseCollectionResponse:
        require_service(context, self._token)
        await self._db.run(lambda tx: SessionStore(tx).close(f"hold/{request.id}"))
        return wire.ReleaseCollectionResponse()


def _duration(value: Duration, name: str) -> timedelta:
    try:
        return value.ToTimedelta()
    except (ValueError, OverflowError) as error:
        raise Invalid(f"{name} is no length of time") from error


def _copy_at(address: str) -> Objects:
    """Another copy of the store, which must be there. Raises Invalid, Unavailable."""
    try:
        where = parse(address)
        if isinstance(where, Folder) and not (where.path / "packs").is_dir():
            raise Invalid(f"cannot repair from {address}: there is no copy of a store")
        return open_store(address)
    except (BadAddress, ConfigError) as mistake:
        raise Invalid(f"cannot repair from {address}: {mistake}") from mistake


def _report(report: Report) -> wire.CollectGarbageReport:
    values: dict[str, Any] = {
        name: wire.PackCount(packs=value.packs, size_bytes=value.size_bytes) if isinstance(value, Tally) else value
        for name, value in vars(report).items()
    }
    return wire.CollectGarbageReport(**values)


def _scrubbed(event: scrub.Event) -> wire.ScrubResponse:
    match event:
        case scrub.Progress():
            return wire.ScrubResponse(progress=wire.ScrubProgress(**vars(event)))
        case scrub.Damaged():
            damaged = wire.DamagedPack(pack_id=event.pack, key=event.key, reason=event.reason, repaired=event.repaired)
            return wire.ScrubResponse(damaged=damaged)
        case scrub.DamagedFile():
            commit = to_wire.commit(CommitRef(event.commit.repo, event.commit.id))
            return wire.ScrubResponse(file=wire.DamagedFile(commit=commit, path=event.path, pack_id=event.pack))
        case scrub.Found():
            return wire.ScrubResponse(report=wire.ScrubReport(**vars(event)))
