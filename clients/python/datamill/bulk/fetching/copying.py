"""From packs in a folder that this machine shares to files of its own, on threads.

Each piece is read, held against its hash and written by one thread, while it is in the processor's cache; small files
go to the threads by the handful. An error is raised at a later call, at the latest by `end`. Needs the package blake3.
"""

import os
from collections import OrderedDict, deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock, local
from typing import NamedTuple

from blake3 import blake3

from datamill.bulk.fetching.landing import Partial, Told, is_there, save
from datamill.bulk.fetching.reading import PLAIN, NotPlain
from datamill.errors import Corrupt
from datamill.wire import content_v1_pb2 as content

THREADS = 4
PACKS_OPEN = 32  # by a thread
HANDFUL, HANDFUL_BYTES = 64, 2 << 20
WAITING = 64  # jobs
BUFFER_BYTES = 4 << 20


class Done(NamedTuple):
    """What a job has done."""

    files: int
    size_bytes: int
    partial: Partial | None = None


class Copies:
    """Close it."""

    def __init__(self, root: Path, told: Told) -> None:
        self._root, self._told = str(root), told
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="copy")
        self._own = local()
        self._readers: list[_Reader] = []
        self._lock = Lock()
        self._under_way: deque[Future[Done]] = deque()
        self._handful: list[tuple[str, content.Content, bool]] = []
        self._handful_bytes = 0
        self._partials: set[Partial] = set()

    def take(self, path: str, wanted: content.Content, *, may_be_there: bool) -> None:
        """Put a file under its path."""
        if len(wanted.extents) > 1:
            self._big(path, wanted, may_be_there)
            return
        self._handful.append((path, wanted, may_be_there))
        self._handful_bytes += wanted.size_bytes
        if len(self._handful) >= HANDFUL or self._handful_bytes >= HANDFUL_BYTES:
            self._give_handful()

    def end(self) -> None:
        """Wait until all is there."""
        self._give_handful()
        while self._under_way:
            self._one()

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)
        for reader in self._readers:
            reader.close()
        for partial in self._partials:
            partial.close()

    def _give_handful(self) -> None:
        if self._handful:
            handful, self._handful, self._handful_bytes = self._handful, [], 0
            self._give(self._threads.submit(self._small, handful))

    def _big(self, path: str, wanted: content.Content, may_be_there: bool) -> None:
        if may_be_there and is_there(path, wanted):
            self._told(1, wanted.size_bytes)
            return
        partial = Partial(path, wanted)
        self._partials.add(partial)
        self._told(0, partial.at)
        at, extents = partial.at, wanted.extents[partial.done :]
        partial.missing = max(1, len(extents))
        if not extents:
            self._came(Done(0, 0, partial))
        for extent in extents:
            self._give(self._threads.submit(self._piece, partial, extent, at))
            at += extent.size_bytes

    def _give(self, job: "Future[Done]") -> None:
        self._under_way.append(job)
        while len(self._under_way) > WAITING:
            self._one()

    def _one(self) -> None:
        self._came(self._under_way.popleft().result())

    def _came(self, done: Done) -> None:
        partial = done.partial
        if partial is not None:
            partial.missing -= 1
            if not partial.missing:
                partial.finish()
                self._partials.discard(partial)
                done = Done(1, done.size_bytes)
        self._told(done.files, done.size_bytes)

    def _small(self, files: list[tuple[str, content.Content, bool]]) -> Done:
        reader = self._reader()
        for path, wanted, may_be_there in files:
            if not (may_be_there and is_there(path, wanted)):
                save(path, reader.read(wanted.extents[0]) if wanted.extents else b"")
        return Done(len(files), sum(wanted.size_bytes for _, wanted, _ in files))

    def _piece(self, partial: Partial, extent: content.Extent, at: int) -> Done:
        partial.write(self._reader().read(extent), at)
        return Done(0, extent.size_bytes, partial)

    def _reader(self) -> "_Reader":
        """That of this thread."""
        reader: _Reader | None = getattr(self._own, "reader", None)
        if reader is None:
            reader = self._own.reader = _Reader(self._root)
            with self._lock:
                self._readers.append(reader)
        return reader


class _Reader:
    """Reads extents into memory of its own. Keeps the packs used last open."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._open: OrderedDict[bytes, int] = OrderedDict()
        self._buffer = memoryview(bytearray(BUFFER_BYTES))

    def read(self, extent: content.Extent) -> memoryview:
        """The bytes, held against their hash, valid until the next call. Raises NotPlain, Corrupt."""
        size = extent.size_bytes
        if extent.codec != PLAIN:
            raise NotPlain
        if size > len(self._buffer):
            self._buffer = memoryview(bytearray(size))
        data = self._buffer[:size]
        count = os.preadv(self._handle(extent.pack_id), [data], extent.offset_bytes)
        if count != size or extent.stored_bytes != size or blake3(data).digest() != extent.digest:
            raise Corrupt(f"pack {extent.pack_id.hex()} does not hold what it should at byte {extent.offset_bytes}")
        return data

    def close(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])

    def _handle(self, pack: bytes) -> int:
        handle = self._open.get(pack)
        if handle is not None:
            self._open.move_to_end(pack)
            return handle
        name = pack.hex()
        try:
            handle = os.open(f"{self._root}/{name[:2]}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:  # perhaps not ours to read; the service says what is wrong, if anything is
            raise NotPlain from error
        self._open[pack] = handle
        if len(self._open) > PACKS_OPEN:
            os.close(self._open.popitem(last=False)[1])
        return handle
