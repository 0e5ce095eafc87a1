"""Content packs as this client writes them: many small files in one object, read straight into its buffer.

The layout belongs to the store and is described where the services read it; a test holds the two writers together:
blobs one after another; a directory of (digest 32, offset u64, stored length u64, codec u8; big-endian, sorted by
digest); count u64, magic 8, BLAKE3-256 of directory + count + magic. Blobs are stored as they are (codec 0).
Needs the package blake3. Elsewhere: how packs travel (upload.py).
"""

import mmap
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass

from blake3 import blake3

TARGET_BYTES = 16 << 20  # a pack is full from here on
WHOLE_BYTES = 4 << 20  # files over this are no single blob: they are cut
MAGIC = b"dmpack\x00\x01"
ENTRY = struct.Struct(">32sQQB")
COUNT = struct.Struct(">Q8s")


@dataclass(frozen=True, slots=True)
class Blob:
    """Where a file's bytes lie in the pack. digest: BLAKE3-256."""

    digest: bytes
    offset: int
    size_bytes: int


class Pack:
    """A pack being filled. Equal contents are kept once."""

    def __init__(self) -> None:
        self._view = memoryview(mmap.mmap(-1, TARGET_BYTES + WHOLE_BYTES + 1))  # takes memory as it is filled
        self._used = self._room = 0
        self._blobs: dict[bytes, Blob] = {}

    @property
    def full(self) -> bool:
        return self._used >= TARGET_BYTES

    def __len__(self) -> int:
        return len(self._blobs)

    def take(self, handle: int) -> Blob | None:
        """Read an open file from where it stands; None when it holds more than WHOLE_BYTES. Not for a full pack."""
        start, end = self._used, self._used
        limit = start + WHOLE_BYTES + 1
        while count := os.readv(handle, [self._view[end:limit]]):
            end += count
            if end == limit:
                return None
        with self._view[start:end] as data:
            digest = blake3(data).digest()
        blob = self._blobs.get(digest)
        if blob is None:
            blob = self._blobs[digest] = Blob(digest, start, end - start)
            self._used = end
        return blob

    def room(self) -> memoryview:
        """Memory that chunks are read to; more than WHOLE_BYTES unless the pack is full."""
        self._room = self._used
        return self._view[self._used :]

    def keep(self, at: int, size: int, digest: bytes, settle: Callable[[], None]) -> None:
        """Put a chunk in that lies in the room. Not before one that was put in; settle: called before it is moved."""
        if digest in self._blobs:
            return
        here, start = self._room + at, self._used
        self._used += size
        if here != start:  # one before it was left out
            settle()
            self._view[start : self._used] = self._view[here : here + size]
        self._blobs[digest] = Blob(digest, start, size)

    def without(self, unwanted: set[bytes]) -> None:
        """Take the blobs with these digests out; the others move up."""
        kept = [blob for blob in self._blobs.values() if blob.digest not in unwanted]
        self._used, self._blobs = 0, {}
        for blob in kept:  # in order of offset, and never to the right
            start, self._used = self._used, self._used + blob.size_bytes
            if start != blob.offset:
                self._view[start : self._used] = bytes(self._view[blob.offset : blob.offset + blob.size_bytes])
            self._blobs[blob.digest] = Blob(blob.digest, start, blob.size_bytes)

    def place(self, digest: bytes) -> Blob:
        """Where a blob lies now. Raises KeyError."""
        return self._blobs[digest]

    def body(self) -> memoryview:
        """The blobs."""
        return self._view[: self._used]

    def trailer(self) -> bytes:
        """What follows the blobs."""
        ordered = sorted(self._blobs.values(), key=lambda blob: blob.digest)
        directory = b"".join(ENTRY.pack(blob.digest, blob.offset, blob.size_bytes, 0) for blob in ordered)
        signed = directory + COUNT.pack(len(ordered), MAGIC)
        return signed + blake3(signed).digest()

    def clear(self) -> None:
        """Empty it, for another use of its memory."""
        self._used = 0
        self._blobs = {}
