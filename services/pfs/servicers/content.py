"""datamill.content.v1: packs written and read without passing through this service, and file sets made out of them.

Elsewhere: checks and rows (operations/content.py); views (operations/files/tree_views.py).
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from io import FileIO
from pathlib import Path

from datamill.wire import content_v1_pb2 as wire
from datamill.wire.content_v1_pb2_grpc import ContentServiceServicer
from services.kit.clock import Clock, fresh_id, fresh_name
from services.kit.database import Database
from services.kit.errors import Invalid
from services.kit.objects.local import meaning_of
from services.kit.server import Context
from services.pfs.domain.file_errors import BadEntry, FileNotFound
from services.pfs.domain.keys import CommitRef
from services.pfs.domain.paths import at, below, canonical
from services.pfs.operations.content import (
    Entries,
    check_name,
    live_among,
    pack_state,
    publish_pack,
    reserve_pack,
    seal,
)
from services.pfs.operations.files.filesets import TTL, create_file_set
from services.pfs.operations.files.landing import Landing
from services.pfs.operations.files.read import Reading
from services.pfs.operations.files.stores import Stores
from services.pfs.operations.files.tree_views import TreeView, Views
from services.pfs.servicers.files.batches import batches
from services.pfs.servicers.wire import from_wire
from services.pfs.servicers.wire.file_wire import content_message, entry
from services.pfs.storage.content_tables import LIVE

FILES_A_BATCH = 1000


class ContentService(ContentServiceServicer):
    """incoming: folder for packs that are being written, on the file system of the store."""

    def __init__(self, *, db: Database, stores: Stores, views: Views, clock: Clock, incoming: Path) -> None:
        self._db, self._stores, self._views, self._clock = db, stores, views, clock
        self._incoming = incoming.absolute()
        self._incoming.mkdir(parents=True, exist_ok=True)
        self._probe = secrets.token_hex(16)
        root = stores.objects.root
        self._packs = None if root is None else root.absolute() / "packs"
        if self._packs is not None:
            self._packs.mkdir(parents=True, exist_ok=True)
            (self._packs / "probe").write_text(self._probe)

    async def GetStore(self, request: wire.GetStoreRequest, context: Context) -> wire.GetStoreResponse:
        if self._packs is None:
            return wire.GetStoreResponse()
        probe = str(self._packs / "probe")
        return wire.GetStoreResponse(local_root=str(self._packs), probe_path=probe, probe_value=self._probe)

    async def StartPack(self, request: wire.StartPackRequest, context: Context) -> wire.StartPackResponse:
        name = request.pack_id or fresh_name()
        await self._db.run(reserve_pack, name, now=self._clock.now())
        path = "" if self._packs is None else str(self._place(name))
        return wire.StartPackResponse(pack_id=name, incoming_path=path)

    async def PutPack(self, requests: AsyncIterator[wire.PutPackRequest], context: Context) -> wire.PutPackResponse:
        name, size = b"", 0
        file: FileIO | None = None
        try:
            async for request in requests:
                if file is None:
                    name = request.pack_id
                    await self._reserved(name)
                    file = await asyncio.to_thread(open, self._place(name).with_suffix(".part"), "wb", 0)
                await asyncio.to_thread(_write, file, request.data)
                size += len(request.data)
        finally:
            if file is not None:
                await asyncio.to_thread(file.close)
        if file is None:
            raise Invalid("the first message must name the pack")
        await asyncio.to_thread(self._place(name).with_suffix(".part").rename, self._place(name))
        return wire.PutPackResponse(size_bytes=size)

    async def SealPack(self, request: wire.SealPackRequest, context: Context) -> wire.SealPackResponse:
        state, blobs = await self._reserved(request.pack_id)
        if state != LIVE:
            blobs = await asyncio.to_thread(seal, self._stores, self._place(request.pack_id), request.pack_id)
            await self._db.run(publish_pack, request.pack_id, blobs)
        return wire.SealPackResponse(blobs=blobs)

    async def PutEntries(
        self, requests: AsyncIterator[wire.PutEntriesRequest], context: Context
    ) -> wire.PutEntriesResponse:
        entries, live = Entries(self._stores), set[bytes]()
        async for request in requests:
            named = await asyncio.to_thread(_packs_of, request)
            if unseen := named - live:
                live |= (found := await self._db.read(live_among, unseen))
                if missing := unseen - found:
                    raise BadEntry(f"pack {min(missing).hex()} is not sealed")
            await asyncio.to_thread(_take, entries, request)
        parts = await asyncio.to_thread(entries.finish)
        id = fresh_id()
        await self._db.run(create_file_set, id, Landing(parts, []), now=self._clock.now())
        answer = wire.PutEntriesResponse(file_set_id=id, entries=entries.taken)
        answer.ttl.FromTimedelta(TTL)
        return answer

    async def ResolveFiles(
        self, request: wire.ResolveFilesRequest, context: Context
    ) -> AsyncIterator[wire.ResolveFilesResponse]:
        views: dict[CommitRef, TreeView] = {}
        waiting: list[wire.ResolvedFile] = []
        for index, wanted in enumerate(request.wanted):
            ref = from_wire.commit_ref(wanted.commit if wanted.HasField("commit") else None)
            if ref not in views:
                views[ref] = await self._views.open(ref)
            async for batch in batches(_resolving(Reading(views[ref]), index, wanted.path, ref), FILES_A_BATCH):
                waiting += batch
                if len(waiting) >= FILES_A_BATCH:
                    yield wire.ResolveFilesResponse(files=waiting)
                    waiting = []
        if waiting:
            yield wire.ResolveFilesResponse(files=waiting)

    async def _reserved(self, name: bytes) -> tuple[str, int]:
        check_name(name)
        found = await self._db.read(pack_state, name)
        if found is None:
            raise Invalid(f"pack {name.hex()} was never started")
        return found

    def _place(self, name: bytes) -> Path:
        return self._incoming / name.hex()


def _write(file: FileIO, data: bytes) -> None:
    try:
        file.write(data)
    except OSError as error:
        raise meaning_of(error) from error


def _packs_of(request: wire.PutEntriesRequest) -> set[bytes]:
    return {extent.pack_id for entry in request.entries for extent in entry.content.extents}


def _take(entries: Entries, request: wire.PutEntriesRequest) -> None:
    entries.take(map(entry, request.entries))


def _resolving(reading: Reading, wanted: int, path: str, asked: CommitRef) -> Callable[[], Iterator[wire.ResolvedFile]]:
    def start() -> Iterator[wire.ResolvedFile]:
        clean = canonical(path)
        spans = [below(clean)] if clean == "/" else [at(clean), below(clean)]
        rows = (row for low, high in spans for row in reading.rows(low, high))
        found = 0
        for row in rows:
            found += 1
            content = content_message(reading.view.content(row))
            yield wire.ResolvedFile(wanted=wanted, path=row.key.partition(b"\0")[0].decode(), content=content)
        if not found and clean != "/":
            raise FileNotFound(path, asked)

    return start
