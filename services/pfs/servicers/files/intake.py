"""Takes a stream of ModifyFile messages in: checks each at once, and hands batches to a thread meanwhile.

Elsewhere: what the writes do (operations/files/upload.py); where they land (operations/files/landing.py).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from datamill.wire import pfs_v2_pb2 as pfs
from services.kit.errors import Invalid
from services.kit.packs import BIG_FILE_BYTES
from services.kit.urls.opening import Urls
from services.pfs.domain.files.file_errors import BadStream
from services.pfs.domain.files.paths import canonical, check_path, datum_tag, file_path, key_of
from services.pfs.domain.keys import CommitRef
from services.pfs.operations.files.landing import Landing
from services.pfs.operations.files.stores import Stores
from services.pfs.operations.files.tree_views import TreeView, Views
from services.pfs.operations.files.upload import BATCH_BYTES, BATCH_WRITES, Copy, Delete, Fetch, Put, Upload, Write
from services.pfs.servicers.wire import from_wire
from services.pfs.storage.content.layers import Part

T = TypeVar("T")


class Intake:
    """One stream. seen: says the commit that recursive deletes are held against; None when there is nothing below."""

    def __init__(
        self, stores: Stores, views: Views, urls: Urls, seen: Callable[[], Awaitable[CommitRef | None]]
    ) -> None:
        self._views, self._urls, self._seen = views, urls, seen
        self._upload, self._session = Upload(stores), stores.session
        self._visible: TreeView | None = None
        self._bytes, self._looked = 0, False

    async def take(self, requests: AsyncIterator[pfs.ModifyFileRequest]) -> Landing:
        """Read the stream to its end and store what it brings. Raises BadStream, BadPath, Exhausted and kin."""
        try:
            rest = await self._batches(requests)
            parts = await self._on_thread(self._ended, rest)
        finally:
            self._upload.stop()
        return Landing(parts, self._upload.packs, self._session)

    async def _batches(self, requests: AsyncIterator[pfs.ModifyFileRequest]) -> list[Write]:
        """Apply a batch while the next one comes in; gives the last, not applied yet."""
        batch: list[Write] = []
        size = 0
        running: asyncio.Future[None] | None = None
        try:
            async for request in requests:
                write = put(request.add_file) if _has_bytes(request) else await self._other(request)
                batch.append(write)
                size += await self._weighed(write)
                if size >= BATCH_BYTES or len(batch) >= BATCH_WRITES:
                    if running is not None:
                        await running
                    running = self._on_thread(self._upload.apply, batch)
                    batch, size = [], 0
            if running is not None:
                await running
                running = None
        finally:
            if running is not None:  # the stream broke off: let the thread end, whatever it comes to
                self._upload.stop()
                with suppress(Exception):
                    await running
        return batch

    async def _weighed(self, write: Write) -> int:
        """A write's bytes. Lets the upload look for known chunks once there may be a big file."""
        weight = len(write.data) if isinstance(write, Put) else 0
        self._bytes += weight
        if not self._looked and (self._bytes > BIG_FILE_BYTES or isinstance(write, Fetch)):
            self._looked = True
            if (seen := await self._seen()) is not None and (below := await self._views.below(seen)) is not None:
                self._upload.look_in(below)
        return weight

    def _on_thread(self, work: Callable[[list[Write]], T], batch: list[Write]) -> asyncio.Future[T]:
        """Work on a batch: on a thread of its own kind when it waits for others, so that reads here need not."""
        far = any(isinstance(write, Fetch) for write in batch)
        threads = self._urls.threads if far else None
        return asyncio.get_running_loop().run_in_executor(threads, work, batch)

    def _ended(self, batch: list[Write]) -> list[Part]:
        self._upload.apply(batch)
        return self._upload.finish()

    async def _other(self, request: pfs.ModifyFileRequest) -> Write:
        match request.WhichOneof("body"):
            case "add_file":
                return self._fetch(request.add_file)
            case "delete_file":
                return await self._delete(request.delete_file)
            case "copy_file":
                return await self._copy(request.copy_file)
            case "set_commit":
                raise BadStream("cannot set commit")
        raise BadStream("unrecognized message type")

    def _fetch(self, message: pfs.AddFile) -> Fetch:
        url = message.url
        check_path(message.path)
        path, datum = canonical(message.path), datum_tag(message.datum)
        source = self._urls.source(url.URL, recursive=url.recursive)
        return Fetch(source, path, datum, url.recursive, url.concurrency)

    async def _delete(self, message: pfs.DeleteFile) -> Delete:
        check_path(message.path)
        recursive = message.path.endswith("/")
        if recursive and self._visible is None and (seen := await self._seen()) is not None:
            self._visible = await self._views.open(seen)
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


def _has_bytes(request: pfs.ModifyFileRequest) -> bool:
    return request.HasField("add_file") and not request.add_file.HasField("url")


def put(message: pfs.AddFile) -> Put:
    """Raises BadPath."""
    return Put(key_of(file_path(message.path), datum_tag(message.datum)), message.raw.value)
