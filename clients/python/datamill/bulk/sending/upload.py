"""The short way in for many files and big ones: packs written straight to the store, then one stream of entries.

One thread reads and cuts while others store and seal packs and the entries travel. What was sent before (memory.py) is
not read again, and what the target holds already is not sent again; an upload that was cut off goes on from its last
sealed pack. The outcome is a file set; whoever asked adds it to a commit (folders.py).
Elsewhere: packs (packs.py, storing.py), cutting (cutting.py).
"""

import os
import queue
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from blake3 import blake3

from datamill.bulk.local import LocalFile
from datamill.bulk.sending.aims import Aim
from datamill.bulk.sending.memory import Chunk, Known, Look, Memory, look_of, place_of, settled
from datamill.bulk.sending.packs import Pack
from datamill.bulk.sending.storing import Packs
from datamill.bulk.store import reach
from datamill.transport import Calls
from datamill.wire import content_v1_pb2 as content

try:
    from datamill.bulk.sending import cutting
except ImportError:  # without pyfastcdc
    cutting: Any = None  # type: ignore[no-redef]

PACKS = 4  # in memory at once, 20 MiB each
STORING = 2  # threads that store packs
ENTRIES = 4096  # in one message, which must stay under 20 MiB with the longest of paths
ASKED = 4096  # files or packs asked about at once

Work = Callable[[], None]
Remembered = list[tuple[str, Known]]


def file_set(
    calls: Calls, files: Iterable[LocalFile], aim: Aim, progress: Callable[[int, int], None]
) -> tuple[str, list[LocalFile]]:
    """Store files.

    Returns the id of the file set that holds them ("" when it would be empty), and the files too big for this way.
    progress(files, bytes) is told what was added since it was told last. Raises Unsupported when the server has no
    content service; then nothing has been read. Raises Invalid when something that was remembered is gone.
    """
    way = reach(calls)
    memory = Memory(place_of(way.name, aim.branch, aim.source)) if aim.source and way.name else None
    try:
        upload = _Upload(calls, Packs(calls, way), aim, memory, progress)
        return upload.run(files), upload.too_big
    finally:
        if memory is not None:
            memory.close()
        way.close()


class _Big:
    """A file of several chunks, which may come to lie in several packs."""

    def __init__(self, file: LocalFile) -> None:
        self.file = file
        self.extents: list[content.Extent] = []
        self.digest = b""
        self.look: Look | None = None
        self.missing = 1  # parts that are not stored yet; one stands for the file's end


@dataclass
class _Filled:
    """A pack, and what is in it."""

    pack: Pack
    files: list[tuple[LocalFile, Look | None, bytes, int]] = field(default_factory=list)
    """Each with its digest and size."""
    chunks: list[tuple[_Big, content.Extent]] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        """Of its files and chunks."""
        return sum(one[3] for one in self.files) + sum(extent.size_bytes for _, extent in self.chunks)


class _Upload:
    def __init__(
        self, calls: Calls, packs: Packs, aim: Aim, memory: Memory | None, progress: Callable[[int, int], None]
    ) -> None:
        self._calls, self._packs, self._aim, self._memory, self._progress = calls, packs, aim, memory, progress
        self._spare: queue.SimpleQueue[Pack] = queue.SimpleQueue()
        for _ in range(PACKS):
            self._spare.put(Pack())
        self._sealed: queue.SimpleQueue[list[content.Entry] | None] = queue.SimpleQueue()
        self._lock = Lock()
        self._known = dict[str, Known]() if memory is None else memory.files
        self._chunks = dict[bytes, Chunk]() if memory is None else memory.chunks
        self._live = set[bytes]()
        self._recalled: list[tuple[LocalFile, Known]] = []
        self._again: list[LocalFile] = []
        self.too_big: list[LocalFile] = []

    def run(self, files: Iterable[LocalFile]) -> str:
        if self._chunks:
            packs = {chunk.pack for chunk in self._chunks.values()}
            dead = packs - self._alive(packs)
            self._chunks = {digest: chunk for digest, chunk in self._chunks.items() if chunk.pack not in dead}
            if self._memory is not None:
                self._memory.forget((), dead)
        with ThreadPoolExecutor(STORING) as storing, ThreadPoolExecutor(1) as sending:
            sent = sending.submit(self._send_entries)
            jobs: list[Future[None]] = []
            try:
                for work in self._work(files, lambda: [job.result() for job in jobs]):
                    jobs[:] = [job for job in jobs if not _checked(job)]
                    jobs.append(storing.submit(work))
                for job in jobs:
                    job.result()
            except BaseException:
                storing.shutdown(wait=False, cancel_futures=True)
                self._sealed.put(None)  # ends the stream, whose set then belongs to nobody
                raise
            self._sealed.put([])
            id = sent.result()
        if self._memory is not None:
            self._memory.forget(self._known)
        return id

    def _work(self, files: Iterable[LocalFile], settle: Callable[[], object]) -> Iterator[Work]:
        """What threads have to do, in the end all of it. settle: waits for what was given out."""
        self._filled = _Filled(self._spare.get())
        for file in files:
            known = self._known.pop(file.path, None) if self._known else None
            if known is None or look_of(os.stat(file.source)) != known.look:
                yield from self._read(file)
                continue
            self._recalled.append((file, known))
            if len(self._recalled) == ASKED:
                yield self._recalling()
        if self._recalled:
            yield self._recalling()
        settle()
        for file in self._again:
            yield from self._read(file)
        if self._filled.files or self._filled.chunks:
            yield self._storing(self._filled)

    def _read(self, file: LocalFile) -> Iterator[Work]:
        """Put a file into packs, and give out those that are full."""
        began = time.time_ns()
        handle = os.open(file.source, os.O_RDONLY | os.O_CLOEXEC)
        try:
            blob = self._filled.pack.take(handle)
            if blob is not None:
                self._filled.files.append((file, self._look(handle, began), blob.digest, blob.size_bytes))
                yield from self._turn()
            elif cutting is None or not cutting.COMPILED:
                self.too_big.append(file)
            else:
                os.lseek(handle, 0, os.SEEK_SET)
                yield from self._cut(file, handle, began)
        finally:
            os.close(handle)

    def _cut(self, file: LocalFile, handle: int, began: int) -> Iterator[Work]:
        big, pieces = _Big(file), cutting.Cut(handle)
        for piece in pieces:
            digest, size = blake3(piece).digest(), len(piece)
            extent = content.Extent(digest=digest, size_bytes=size, stored_bytes=size)
            big.extents.append(extent)
            if (known := self._chunks.get(digest)) is not None:
                extent.pack_id, extent.offset_bytes = known.pack, known.offset
                self._progress(0, size)
                continue
            with self._lock:
                big.missing += 1
            self._filled.pack.add(piece, digest)
            self._filled.chunks.append((big, extent))
            yield from self._turn()
        big.digest, big.look = pieces.digest, self._look(handle, began)
        self._emit([], self._complete([big]))

    def _turn(self) -> Iterator[Work]:
        """Take another pack once this one is full."""
        if self._filled.pack.full:
            yield self._storing(self._filled)
            self._filled = _Filled(self._spare.get())

    def _look(self, handle: int, began: int) -> Look | None:
        """What the file looks like, when a later change of it is sure to show."""
        if self._memory is None:
            return None
        look = look_of(os.fstat(handle))
        return look if settled(look, began) else None

    def _storing(self, filled: "_Filled") -> Work:
        return lambda: self._store(filled)

    def _store(self, filled: "_Filled") -> None:
        same: list[tuple[LocalFile, Look | None, bytes, int]] = []
        try:
            if self._aim.held is not None and filled.files:
                there = self._same([(file, digest) for file, _, digest, _ in filled.files])
                same = [one for number, one in enumerate(filled.files) if number in there]
                filled.files = [one for number, one in enumerate(filled.files) if number not in there]
                wanted = {one[2] for one in filled.files} | {extent.digest for _, extent in filled.chunks}
                filled.pack.without({one[2] for one in same} - wanted)
            pack = self._packs.store(filled.pack) if len(filled.pack) else b""
            entries, known = self._placed(filled, pack)
        finally:
            filled.pack.clear()
            self._spare.put(filled.pack)
        known += [(file.path, Known(look, digest, b"")) for file, look, digest, _ in same if look is not None]
        self._emit(entries, known, filled.chunks)
        self._progress(len(same) + len(filled.files), sum(one[3] for one in same) + filled.size_bytes)
        self._emit([], self._complete([big for big, _ in filled.chunks]))

    def _placed(self, filled: "_Filled", pack: bytes) -> tuple[list[content.Entry], Remembered]:
        """Entries of a pack's files; the chunks in it learn where they lie."""
        entries, known = list[content.Entry](), Remembered()
        for file, look, digest, size in filled.files:
            whole = content.Content(size_bytes=size, digest=digest)
            if size:
                start = filled.pack.place(digest).offset
                whole.extents.add(pack_id=pack, offset_bytes=start, stored_bytes=size, size_bytes=size, digest=digest)
            entries.append(content.Entry(path=self._aim.top + file.path, content=whole))
            if look is not None:
                known.append((file.path, Known(look, digest, whole.SerializeToString())))
        for _, extent in filled.chunks:
            extent.pack_id, extent.offset_bytes = pack, filled.pack.place(extent.digest).offset
        return entries, known

    def _complete(self, parts: "list[_Big]") -> Remembered:
        """Count one part of each of these files as done; the files that are whole then are sent."""
        known = Remembered()
        for big in parts:
            with self._lock:
                big.missing -= 1
                if big.missing:
                    continue
            size = sum(extent.size_bytes for extent in big.extents)
            whole = content.Content(size_bytes=size, digest=big.digest, extents=big.extents)
            self._sealed.put([content.Entry(path=self._aim.top + big.file.path, content=whole)])
            self._progress(1, 0)
            if big.look is not None:
                known.append((big.file.path, Known(big.look, big.digest, whole.SerializeToString())))
        return known

    def _recalling(self) -> Work:
        batch, self._recalled = self._recalled, []
        return lambda: self._recall(batch)

    def _recall(self, batch: list[tuple[LocalFile, Known]]) -> None:
        """Send of files that were sent before what the target lacks, or have them read again."""
        there = self._same([(file, known.digest) for file, known in batch]) if self._aim.held is not None else set()
        rest = [(file, known, content.Content.FromString(known.content)) for file, known in _others(batch, there)]
        alive = self._alive({extent.pack_id for _, _, whole in rest for extent in whole.extents})
        entries, again, size = list[content.Entry](), list[LocalFile](), 0
        for file, known, whole in rest:
            if whole.size_bytes == known.look.size and all(extent.pack_id in alive for extent in whole.extents):
                entries.append(content.Entry(path=self._aim.top + file.path, content=whole))
                size += known.look.size
            else:
                again.append(file)
        with self._lock:
            self._again += again
        self._emit(entries, Remembered())
        self._progress(len(batch) - len(again), size + sum(batch[number][1].look.size for number in there))

    def _same(self, files: list[tuple[LocalFile, bytes]]) -> set[int]:
        """The numbers of those that the target holds with this digest."""
        named = [content.KnownFile(path=self._aim.top + file.path, digest=digest) for file, digest in files]
        request = content.FindContentsRequest(commit=self._aim.held, files=named)
        return set(self._calls.call(self._calls.content.FindContents, request).same)

    def _alive(self, packs: set[bytes]) -> set[bytes]:
        """Those of the packs whose content may still be named."""
        with self._lock:
            asked = list(packs - self._live)
        for start in range(0, len(asked), ASKED):
            request = content.FindContentsRequest(pack_ids=asked[start : start + ASKED])
            found = self._calls.call(self._calls.content.FindContents, request).live_pack_ids
            with self._lock:
                self._live.update(found)
        return packs & self._live

    def _emit(
        self,
        entries: list[content.Entry],
        known: Remembered,
        chunks: "Iterable[tuple[_Big, content.Extent]]" = (),
    ) -> None:
        if entries:
            self._sealed.put(entries)
        if self._memory is not None and (known or chunks):
            places = ((one.digest, Chunk(one.pack_id, one.offset_bytes, one.size_bytes)) for _, one in chunks)
            self._memory.keep(known, places)

    def _send_entries(self) -> str:
        first = self._sealed.get()
        if not first:
            return ""  # nothing to say, or given up before anything was stored

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


def _others(batch: list[tuple[LocalFile, Known]], without: set[int]) -> list[tuple[LocalFile, Known]]:
    return [one for number, one in enumerate(batch) if number not in without]
