"""Files read into packs, on one thread: small ones whole, big ones cut into chunks.

Elsewhere: packs (packs.py), cutting (cutting.py), what becomes of a full pack (upload.py).
"""

import os
import queue
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from blake3 import blake3

from datamill.bulk.local import LocalFile
from datamill.bulk.recalling.columns import Look, look_of
from datamill.bulk.recalling.memory import Chunk, settled
from datamill.bulk.sending import cutting
from datamill.bulk.sending.packs import Pack
from datamill.wire import content_v1_pb2 as content

PACKS = 5  # in memory at once, 20 MiB each


class Big:
    """A file of several chunks, which may come to lie in several packs."""

    def __init__(self, file: LocalFile) -> None:
        self.file = file
        self.extents: list[content.Extent] = []
        self.digest = b""
        self.look: Look | None = None
        self._missing, self._lock = 1, Lock()  # parts that are not stored yet; one stands for the file's end

    def wait_for_one(self) -> None:
        with self._lock:
            self._missing += 1

    def one_came(self) -> bool:
        """Whether it was the last."""
        with self._lock:
            self._missing -= 1
            return not self._missing


@dataclass(frozen=True, slots=True)
class Small:
    """A file that is one blob. look: when a later change of it is sure to show."""

    file: LocalFile
    look: Look | None
    digest: bytes
    size_bytes: int


@dataclass
class Filled:
    """A pack, and what is in it."""

    pack: Pack
    files: list[Small] = field(default_factory=list)
    chunks: list[tuple[Big, content.Extent]] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        """Of its files and chunks."""
        return sum(one.size_bytes for one in self.files) + sum(extent.size_bytes for _, extent in self.chunks)


class Filling:
    """chunk: where a chunk lies already. ended: is told of a big file that has been read to its end. progress: is told
    of chunks that need not be stored."""

    def __init__(
        self,
        chunk: Callable[[bytes], Chunk | None],
        ended: Callable[[Big], None],
        progress: Callable[[int, int], None],
    ) -> None:
        self._chunk, self._ended, self._progress = chunk, ended, progress
        self._spare: queue.SimpleQueue[Pack] = queue.SimpleQueue()
        for _ in range(PACKS):
            self._spare.put(Pack())
        self._filled: Filled | None = None
        self.too_big: list[LocalFile] = []
        """Files that this machine cannot cut."""

    def read(self, file: LocalFile) -> Iterator[Filled]:
        """Put a file into packs; gives those that are full, each to be given back."""
        began = time.time_ns()
        handle = os.open(file.source, os.O_RDONLY | os.O_CLOEXEC)
        try:
            filled = self._open()
            blob = filled.pack.take(handle)
            if blob is not None:
                filled.files.append(Small(file, _look(handle, began), blob.digest, blob.size_bytes))
                yield from self._turn()
            elif not cutting.USABLE:
                self.too_big.append(file)
            else:
                os.lseek(handle, 0, os.SEEK_SET)
                yield from self._cut(file, handle, began)
        finally:
            os.close(handle)

    def rest(self) -> Iterator[Filled]:
        """The last pack, if there is anything in it."""
        if self._filled is not None and (self._filled.files or self._filled.chunks):
            yield self._filled
            self._filled = None

    def give_back(self, filled: Filled) -> None:
        """Its pack may be filled anew."""
        filled.pack.clear()
        self._spare.put(filled.pack)

    def _cut(self, file: LocalFile, handle: int, began: int) -> Iterator[Filled]:
        big = Big(file)
        with closing(cutting.Cut(handle)) as pieces:
            while not pieces.done:
                self._cut_into(self._open(), big, pieces)
                yield from self._turn()
            big.digest, big.look = pieces.digest, _look(handle, began)
        self._ended(big)

    def _cut_into(self, filled: Filled, big: Big, pieces: Any) -> None:
        """Read the next chunks into a pack, until it is full."""
        pack, room = filled.pack, filled.pack.room()
        with closing(pieces.chunks(room)) as chunks:
            for at, size in chunks:
                digest = blake3(room[at : at + size]).digest()
                extent = content.Extent(digest=digest, size_bytes=size, stored_bytes=size)
                big.extents.append(extent)
                if (known := self._chunk(digest)) is not None:
                    extent.pack_id, extent.offset_bytes = known.pack, known.offset
                    self._progress(0, size)
                    continue
                big.wait_for_one()
                pack.keep(at, size, digest, pieces.settle)
                filled.chunks.append((big, extent))
                if pack.full:
                    break

    def _open(self) -> Filled:
        if self._filled is None:
            self._filled = Filled(self._spare.get())
        return self._filled

    def _turn(self) -> Iterator[Filled]:
        """Take another pack once this one is full."""
        if self._filled is not None and self._filled.pack.full:
            yield self._filled
            self._filled = None


def _look(handle: int, began: int) -> Look | None:
    look = look_of(os.fstat(handle))
    return look if settled(look, began) else None
