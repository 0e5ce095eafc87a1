"""Takes a stream of ModifyFile messages in: checks each at once, and hands batches to a thread meanwhile.

Elsewhere: what the writes do (operations/files/upload.py); where they land (operations/files/landing.py).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from datamill.wire import pfs_v2_pb2 as pfs
from services.kit.errors import Invalid, Unsupported
from services.pfs.domain.file_errors import BadStream
from services.pfs.domain.keys import CommitRef
from services.pfs.domain.paths import canonical, check_path, datum_tag, file_path, key_of
from services.pfs.operations.files.landing import Landing
from services.pfs.operations.files.stores import Stores
from services.pfs.operations.files.tree_views import TreeView, Views
from services.pfs.operations.files.upload import BATCH_BYTES, BATCH_WRITES, Copy, Delete, Put, Upload, Write
from services.pfs.servicers.wire import from_wire
from services.pfs.storage.layers import Part


class Intake:
    """One stream. seen: the commit that recursive deletes are held against; None when there is nothing below."""

    def __init__(self, stores: Stores, views: Views, seen: CommitRef | None) -> None:
        self._views, self._seen = views, seen
        self._upload, self._session = Upload(stores), stores.session
        self._visible: TreeView | None = None

    async def take(self, requests: AsyncIterator[pfs.ModifyFileRequest]) -> Landing:
        """Read the stream to its end and store what it brings. Raises BadStream, BadPath, Exhausted and kin."""
        batch: list[Write] = []
        size = 0
        running: asyncio.Future[None] | None = None
        loop = asyncio.get_running_loop()
        try:
            async for request in requests:
                write = put(request.add_file) if request.HasField("add_file") else await self._other(request)
                batch.append(write)
                size += len(write.data) if isinstance(write, Put) else 0
                if size >= BATCH_BYTES or len(batch) >= BATCH_WRITES:
                    if running is not None:
                        await running
                    running = loop.run_in_executor(None, self._upload.apply, batch)
                    batch, size = [], 0
            if running is not None:
                await running
                running = None
        finally:
            if running is not None:  # the stream broke off: let the thread end, whatever it comes to
                with suppress(Exception):
                    await running
        parts = await asyncio.to_thread(self._ended, batch)
        return Landing(parts, self._upload.packs, self._session)

    def _ended(self, batch: list[Write]) -> list[Part]:
        self._upload.apply(batch)
        return self._upload.finish()

    async def _other(self, request: pfs.ModifyFileRequest) -> Write:
        match request.WhichOneof("body"):
            case "delete_file":
                return await self._delete(request.delete_file)
            case "copy_file":
                return await self._copy(request.copy_file)
            case "set_commit":
                raise BadStream("cannot set commit")
        raise BadStream("unrecognized message type")

    async def _delete(self, message: pfs.DeleteFile) -> Delete:
        check_path(message.path)
        recursive = message.path.endswith("/")
        if recursive and self._visible is None and self._seen is not None:
            self._visible = await self._views.open(self._seen)
        return Delete(canonical(message.path), datum_tag(message.datum), recursive, self._visible)

    async def _copy(self, message: pfs.CopyFile) -> Copy:
        if not message.HasField("src"):
            raise Invalid("validate recv: invalid CopyFile.Src: value is required")
        check_path(message.dst or "/")
        source = await self._views.open(from_wire.commit_ref(message.src.commit))
        return Copy(
            source=source,
            path=canonical(message.src.path),
            source_datum=message.src.datum,
            dst=canonical(message.dst),
            datum=datum_tag(message.datum),
            append=message.append,
        )


def put(message: pfs.AddFile) -> Put:
    """Raises BadPath, Unsupported."""
    if message.HasField("url"):
        raise Unsupported("add_file.url is not built yet: put the bytes with add_file.raw")
    return Put(key_of(file_path(message.path), datum_tag(message.datum)), message.raw.value)
