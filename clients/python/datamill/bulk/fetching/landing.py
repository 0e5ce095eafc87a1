"""Files as they come to lie on this machine: whole under their names, or not there.

A file is written beside its place and moved there once it is complete and was held against its hash. A big one that
was cut off stays beside it, hidden, and the next try goes on from its last good chunk. Needs the package blake3.
"""

import os
import stat
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from blake3 import blake3

from datamill.bulk.fetching.places import beside_of
from datamill.wire import content_v1_pb2 as content

WRITERS = 4  # making a file takes the system longer than filling it
WAITING, WAITING_BYTES = 256, 64 << 20
HASH_BYTES = 1 << 20
TELL_FILES, TELL_BYTES = 200, 4 << 20  # progress is told once so much was done

Seen = Callable[[int, int], None]


def is_there(path: str, wanted: content.Content) -> bool:
    """Whether the file is on this machine already."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    if not stat.S_ISREG(found.st_mode) or found.st_size != wanted.size_bytes:
        return False
    with suppress(OSError), open(path, "rb", 0) as file:
        hasher = blake3(max_threads=blake3.AUTO if found.st_size > HASH_BYTES else 1)
        buffer = memoryview(bytearray(min(HASH_BYTES, found.st_size + 1)))
        while count := file.readinto(buffer):
            hasher.update(buffer[:count])
        return hasher.digest() == wanted.digest
    return False


class Told:
    """Progress, told now and then."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._files = self._bytes = 0

    def __call__(self, files: int, size: int) -> None:
        self._files += files
        self._bytes += size
        if self._files >= TELL_FILES or self._bytes >= TELL_BYTES:
            self.rest()

    def rest(self) -> None:
        self._seen(self._files, self._bytes)
        self._files = self._bytes = 0


class Partial:
    """A big file beside its place. done: how many of its extents are good already; missing: of parts still to come."""

    def __init__(self, path: str, wanted: content.Content) -> None:
        folder, _, name = path.rpartition("/")
        self._path, self._wanted = path, wanted
        self._beside = f"{folder}/.{name[:200]}.{wanted.digest.hex()[:16]}.part"
        self._handle = os.open(self._beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        self.missing = 0
        self.done = self._good()
        self.at = sum(extent.size_bytes for extent in wanted.extents[: self.done])
        os.ftruncate(self._handle, self.at)

    def write(self, data: bytes | memoryview, at: int) -> None:
        """Put bytes at their place; the next try begins before the first that is missing."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self._handle, view, at)
            view, at = view[written:], at + written

    def finish(self) -> None:
        os.close(self._handle)
        self._handle = -1
        os.replace(self._beside, self._path)

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _good(self) -> int:
        at = 0
        for number, extent in enumerate(self._wanted.extents):
            data = os.pread(self._handle, extent.size_bytes, at)
            if len(data) != extent.size_bytes or blake3(data).digest() != extent.digest:
                return number
            at += len(data)
        return len(self._wanted.extents)


class Writers:
    """Small files on their way to disk, on threads. An error is raised at a later call, at the latest by `settle`."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._threads = ThreadPoolExecutor(WRITERS, thread_name_prefix="write")
        self._under_way: deque[tuple[Future[None], int]] = deque()
        self._bytes = 0

    def write(self, path: str, data: bytes) -> None:
        self._under_way.append((self._threads.submit(save, path, data), len(data)))
        self._bytes += len(data)
        while len(self._under_way) > WAITING or self._bytes > WAITING_BYTES:
            self._one()

    def settle(self) -> None:
        while self._under_way:
            self._one()

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)

    def _one(self) -> None:
        job, size = self._under_way.popleft()
        job.result()
        self._bytes -= size
        self._seen(1, size)


def save(path: str, data: bytes | memoryview) -> None:
    """Write a small file."""
    beside = beside_of(path)
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            written = os.write(handle, data)
            if written < len(data):
                view = memoryview(data)[written:]
                while view:
                    view = view[os.write(handle, view) :]
        finally:
            os.close(handle)
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(beside)
        raise
