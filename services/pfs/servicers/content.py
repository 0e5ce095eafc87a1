"""datamill.content.v1: packs written and read without passing through this service, and file sets made out of them.

Elsewhere: checks and rows (operations/content.py); views (operations/files/tree_views.py).
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import BinaryIO

from datamill.wire import content_v1_pb2 as wire
from datamill.wire.content_v1_pb2_grpc import ContentServiceServicer
from services.kit.errors import Invalid
from services.kit.objects.port import ObjectMissing
from services.kit.packs import pack_key
from services.kit.rpc.server import Context
from services.kit.storage.database import Database
from services.kit.time.clock import Clock, fresh_id, fresh_name
from services.pfs.domain.files.entries import Extent
from services.pfs.domain.files.file_errors import BadEntry, FileNotFound
from services.pfs.domain.files.paths import at, below, canonical, datum_tag, file_path, key_of
from services.pfs.domain.keys import CommitRef
from services.pfs.operations.batches import batches
from services.pfs.operations.content import (
    Reserved,
    check_name,
    find_pack,
    keep_packs,
    live_among,
    publish_pack,
    reserve_pack,
    same_at,
    same_runs,
    send_anew,
)
from services.pfs.operations.entries.taking import Taking
from services.pfs.operations.files.filesets import TTL, create_file_set
from services.pfs.operations.files.landing import Landing
from services.pfs.operations.files.read import Reading
from services.pfs.operations.files.stores import Stores
from services.pfs.operations.files.tree_views import Views
from services.pfs.servicers.wire import from_wire
from services.pfs.servicers.wire.entry_wire import batches_of
from services.pfs.servicers.wire.file_wire import content_message
from services.pfs.storage.content.content_tables import LIVE
from services.pfs.storage.content.incoming import Incoming, write

FILES_A_BATCH = 1000
MOST_ASKED = 20_000
PROBE = "packs/probe"
TO_WRITE = TO_READ = timedelta(hours=6)  # how long signed URLs hold


class ContentService(ContentServiceServicer):
    """Make it with `start`."""

    def __init__(self, *, db: Database, stores: Stores, views: Views, clock: Clock) -> None:
        self._db, self._stores, self._views, self._clock = db, stores, views, clock
        self._incoming = Incoming(stores.objects)

    @classmethod
    async def start(cls, *, db: Database, stores: Stores, views: Views, clock: Clock) -> "ContentService":
        """Raises Unavailable when the store is away."""
        await asyncio.to_thread(_settle, stores)
        return cls(db=db, stores=stores, views=views, clock=clock)

    async def GetStore(self, request: wire.GetStoreRequest, context: Context) -> wire.GetStoreResponse:
        objects = self._stores.objects
        value = await asyncio.to_thread(_settle, self._stores)  # replicas that start together may each have put one
        if objects.root is None:
            return wire.GetStoreResponse(probe_value=value, probe_url=objects.signed_get(PROBE, TO_READ) or "")
        packs, probe = objects.root / "packs", objects.root / PROBE
        return wire.GetStoreResponse(local_root=str(packs), probe_path=str(probe), probe_value=value)

    async def StartPack(self, request: wire.StartPackRequest, context: Context) -> wire.StartPackResponse:
        name = request.pack_id or fresh_name()
        check_name(name)
        begun = await asyncio.to_thread(self._incoming.begin, name)  # one that no row tells of is collected, too
        now = self._clock.now()
        sending = await self._db.run(reserve_pack, name, begun, now=now)
        answer = wire.StartPackResponse(pack_id=name, incoming_path=str(self._incoming.path(name) or ""))
        if sending:
            answer.put_url = await asyncio.to_thread(self._incoming.url, name, sending, TO_WRITE)
            answer.put_until.FromDatetime(now + TO_WRITE)
        return answer

    async def PutPack(self, requests: AsyncIterator[wire.PutPackRequest], context: Context) -> wire.PutPackResponse:
        size = 0
        file: BinaryIO | None = None
        receiving = ExitStack()
        try:
            async for request in requests:
                if file is None:
                    entered = self._incoming.receiving(request.pack_id, await self._anew(request.pack_id))
                    file = await asyncio.to_thread(receiving.enter_context, entered)
                await asyncio.to_thread(write, file, request.data)
                size += len(request.data)
        except BaseException as error:
            await asyncio.to_thread(receiving.__exit__, type(error), error, error.__traceback__)
            raise
        if file is None:
            raise Invalid("the first message must name the pack")
        await asyncio.to_thread(receiving.close)
        return wire.PutPackResponse(size_bytes=size)

    async def SealPack(self, request: wire.SealPackRequest, context: Context) -> wire.SealPackResponse:
        found = await self._reserved(request.pack_id)
        blobs = found.blobs
        if found.state != LIVE:
            blobs = await asyncio.to_thread(self._incoming.seal, request.pack_id, found.sending)
            await self._db.run(publish_pack, request.pack_id, blobs, now=self._clock.now())
        return wire.SealPackResponse(blobs=blobs)

    async def PutEntries(
        self, requests: AsyncIterator[wire.PutEntriesRequest], context: Context
    ) -> wire.PutEntriesResponse:
        taking, live = Taking(self._stores), set[bytes]()
        async for request in requests:
            batches = batches_of(request)
            while (named := await asyncio.to_thread(taking.take_those_of, batches, live)) is not None:
                live |= (found := await self._db.read(live_among, named - live))
                if missing := named - found - live:
                    raise BadEntry(f"pack {min(missing).hex()} is not sealed")
        parts = await asyncio.to_thread(taking.finish)
        landing = Landing(parts, [], self._stores.session, live, taking.index_packs)
        id = fresh_id()
        await self._db.run(create_file_set, id, landing, now=self._clock.now())
        answer = wire.PutEntriesResponse(file_set_id=id, entries=taking.taken)
        answer.ttl.FromTimedelta(TTL)
        return answer

    async def FindContents(self, request: wire.FindContentsRequest, context: Context) -> wire.FindContentsResponse:
        if max(len(request.files), len(request.pack_ids), len(request.runs)) > MOST_ASKED:
            raise Invalid(f"at most {MOST_ASKED} files and as many runs and packs can be asked for at a time")
        answer = wire.FindContentsResponse()
        if request.pack_ids:
            answer.live_pack_ids.extend(await self._db.run(keep_packs, set(request.pack_ids)))
        if request.files or request.runs:
            ref = from_wire.commit_ref(request.commit if request.HasField("commit") else None)
            reading = Reading(await self._views.open(ref))
            answer.same.extend(await asyncio.to_thread(_same, reading, request))
            answer.same_runs.extend(await asyncio.to_thread(_same_runs, reading, request))
        return answer

    async def ResolveFiles(
        self, request: wire.ResolveFilesRequest, context: Context
    ) -> AsyncIterator[wire.ResolveFilesResponse]:
        asked = [from_wire.commit_ref(each.commit if each.HasField("commit") else None) for each in request.wanted]
        readings = {ref: Reading(await self._views.open(ref)) for ref in dict.fromkeys(asked)}
        addresses = _Addresses(self._stores, self._clock, wanted=request.with_urls)
        placed = self._stores.content.placed

        def resolving() -> Iterator[wire.ResolvedFile]:
            for index, (ref, wanted) in enumerate(zip(asked, request.wanted, strict=True)):
                yield from _resolved(readings[ref], index, wanted.path, ref, placed)

        async for batch in batches(resolving, FILES_A_BATCH):
            yield wire.ResolveFilesResponse(files=batch, packs=addresses.of(batch))

    async def _anew(self, name: bytes) -> str:
        """How this service sends a pack, instead of its caller or an earlier call."""
        await self._reserved(name)
        if sending := await asyncio.to_thread(self._incoming.begin, name):
            await self._db.run(send_anew, name, sending)
        return sending

    async def _reserved(self, name: bytes) -> Reserved:
        check_name(name)
        found = await self._db.read(find_pack, name)
        if found is None:
            raise Invalid(f"pack {name.hex()} was never started")
        return found


class _Addresses:
    """Signed addresses of packs, each told once."""

    def __init__(self, stores: Stores, clock: Clock, *, wanted: bool) -> None:
        self._objects, self._clock, self._wanted = stores.objects, clock, wanted
        self._told: set[bytes] = set()

    def of(self, files: list[wire.ResolvedFile]) -> list[wire.PackUrl]:
        """Those of the packs of these files that were not told before."""
        if not self._wanted:
            return []
        named = {extent.pack_id for file in files for extent in file.content.extents}
        fresh, told = named - self._told, []
        self._told |= fresh
        until = self._clock.now() + TO_READ
        for name in fresh:
            if url := self._objects.signed_get(pack_key(name), TO_READ):
                told.append(wire.PackUrl(pack_id=name, url=url))
                told[-1].until.FromDatetime(until)
        return told


def _settle(stores: Stores) -> str:
    """Keep an object in the store that shows a caller that it reaches the same one. Says what it holds."""
    Incoming(stores.objects).prepare()
    try:
        return stores.objects.get(PROBE).decode()
    except ObjectMissing:
        probe = secrets.token_hex(16)
    stores.objects.put(PROBE, probe.encode())
    return probe


def _same(reading: Reading, request: wire.FindContentsRequest) -> list[int]:
    return same_at(reading, ((key_of(file_path(file.path), datum_tag("")), file.digest) for file in request.files))


def _same_runs(reading: Reading, request: wire.FindContentsRequest) -> list[int]:
    spans = ((at(file_path(run.first_path))[0], at(file_path(run.last_path))[1], run.digest) for run in request.runs)
    return same_runs(reading, spans)


def _resolved(
    reading: Reading, wanted: int, path: str, asked: CommitRef, placed: Callable[[Extent], Extent]
) -> Iterator[wire.ResolvedFile]:
    clean = canonical(path)
    spans = [below(clean)] if clean == "/" else [at(clean), below(clean)]
    rows = (row for low, high in spans for row in reading.rows(low, high))
    found = 0
    for row in rows:
        found += 1
        found_at = reading.view.content(row)
        content = content_message(found_at._replace(extents=tuple(map(placed, found_at.extents))))
        yield wire.ResolvedFile(wanted=wanted, path=row.key.partition(b"\0")[0].decode(), content=content)
    if not found and clean != "/":
        raise FileNotFound(path, asked)
