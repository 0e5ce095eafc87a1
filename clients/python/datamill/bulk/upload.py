"""The short way in for many files: packs written straight to the store, then one stream of entries.

One thread reads and hashes while others store and seal packs and the entries travel. Files too big for one blob are
handed back: the service cuts those. The outcome is a file set; whoever asked adds it to a commit (folders.py).
"""

import os
import queue
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from datamill.bulk.local import LocalFile
from datamill.bulk.packs import Blob, Pack
from datamill.bulk.signed import NotGiven
from datamill.bulk.store import Reach, reach
from datamill.transport import Calls
from datamill.wire import content_v1_pb2 as content

Named = list[tuple[str, Blob]]
PACKS = 4  # in memory at once, 20 MiB each
STORING = 2  # threads that store packs
PUT_BYTES = 4 << 20
ENTRIES = 4096  # in one message, which must stay under 20 MiB with the longest of paths
SEAL_SECONDS = 300.0  # the service reads the pack again and makes it durable


def file_set(
    calls: Calls, files: Iterable[LocalFile], top: str, progress: Callable[[int, int], None]
) -> tuple[str, list[LocalFile]]:
    """Store files under paths that begin with `top` ("/" or "/x/").

    Returns the id of the file set that holds them ("" when it would be empty), and the files too big for this way.
    progress(files, bytes) is told what was added since it was told last. Raises Unsupported when the server has no
    content service; then nothing has been read.
    """
    way = reach(calls)
    try:
        upload = _Upload(calls, way, top, progress)
        return upload.run(files), upload.big
    finally:
        way.close()


class _Upload:
    def __init__(self, calls: Calls, reach: Reach, top: str, progress: Callable[[int, int], None]) -> None:
        self._calls = calls
        self._top = top
        self._progress = progress
        self._reach = reach
        self._spare: queue.SimpleQueue[Pack] = queue.SimpleQueue()
        for _ in range(PACKS):
            self._spare.put(Pack())
        self._sealed: queue.SimpleQueue[list[content.Entry] | None] = queue.SimpleQueue()
        self.big: list[LocalFile] = []

    def run(self, files: Iterable[LocalFile]) -> str:
        with ThreadPoolExecutor(STORING) as storing, ThreadPoolExecutor(1) as sending:
            sent = sending.submit(self._send_entries)
            jobs: list[Future[None]] = []
            try:
                for pack, named in self._filled(files):
                    jobs = [job for job in jobs if not _checked(job)]
                    jobs.append(storing.submit(self._store, pack, named))
                for job in jobs:
                    job.result()
            except BaseException:
                self._sealed.put(None)  # ends the stream, whose set then belongs to nobody
                raise
            self._sealed.put([])
            return sent.result()

    def _filled(self, files: Iterable[LocalFile]) -> Iterator[tuple[Pack, Named]]:
        pack, named = self._spare.get(), Named()
        for file in files:
            handle = os.open(file.source, os.O_RDONLY | os.O_CLOEXEC)
            try:
                blob = pack.take(handle)
            finally:
                os.close(handle)
            if blob is None:
                self.big.append(file)
                continue
            named.append((self._top + file.path, blob))
            if pack.full:
                yield pack, named
                pack, named = self._spare.get(), Named()
        if named:
            yield pack, named

    def _store(self, pack: Pack, named: Named) -> None:
        try:
            calls, api = self._calls, self._calls.content
            started = calls.call(api.StartPack, content.StartPackRequest())
            if not self._straight(started, pack):
                calls.send(api.PutPack, lambda: _pieces_of(pack, started.pack_id))
            calls.call(api.SealPack, content.SealPackRequest(pack_id=started.pack_id), SEAL_SECONDS)
        finally:
            pack.clear()
            self._spare.put(pack)
        self._sealed.put([_entry(path, blob, started.pack_id) for path, blob in named])
        self._progress(len(named), sum(blob.size_bytes for _, blob in named))

    def _straight(self, started: content.StartPackResponse, pack: Pack) -> bool:
        """Write the pack to where the service will look for it; says whether that could be done."""
        if self._reach.root is not None and os.access(os.path.dirname(started.incoming_path), os.W_OK):
            with open(started.incoming_path, "wb") as file:
                file.write(pack.body())
                file.write(pack.trailer())
            return True
        if self._reach.signed is None or not started.put_url:
            return False
        body, trailer = pack.body(), pack.trailer()
        try:
            self._reach.signed.put(started.put_url, lambda: (body, trailer), len(body) + len(trailer))
        except NotGiven:
            return False  # the service says what is wrong, if anything is
        return True

    def _send_entries(self) -> str:
        first = self._sealed.get()
        if not first:
            return ""  # nothing small, or given up before anything was stored

        def requests() -> Iterator[content.PutEntriesRequest]:
            batch: list[content.Entry] | None = first
            while batch:
                for start in range(0, len(batch), ENTRIES):
                    yield content.PutEntriesRequest(entries=batch[start : start + ENTRIES])
                batch = self._sealed.get()
            if batch is None:
                raise _GivenUp

        try:
            return self._calls.send(self._calls.content.PutEntries, requests).file_set_id
        except _GivenUp:
            return ""


class _GivenUp(Exception):
    """The files could not all be read or stored, so that the entries sent so far must not become a set."""


def _checked(job: "Future[None]") -> bool:
    if job.done():
        job.result()
    return job.done()


def _pieces_of(pack: Pack, pack_id: bytes) -> Iterator[content.PutPackRequest]:
    yield content.PutPackRequest(pack_id=pack_id)
    body = pack.body()
    for start in range(0, len(body), PUT_BYTES):
        yield content.PutPackRequest(data=bytes(body[start : start + PUT_BYTES]))
    yield content.PutPackRequest(data=pack.trailer())


def _entry(path: str, blob: Blob, pack_id: bytes) -> content.Entry:
    whole = content.Content(size_bytes=blob.size_bytes, digest=blob.digest)
    if blob.size_bytes:
        whole.extents.add(
            pack_id=pack_id,
            offset_bytes=blob.offset,
            stored_bytes=blob.size_bytes,
            size_bytes=blob.size_bytes,
            digest=blob.digest,
        )
    return content.Entry(path=path, content=whole)
