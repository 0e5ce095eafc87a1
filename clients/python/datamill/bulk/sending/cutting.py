"""Big files in chunks, cut by their content as the service cuts them, so that a change touches few of them.

The parameters belong to the store; a test holds them to the service's.
"""

import os
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec

from blake3 import blake3

USABLE = find_spec("pyfastcdc") is not None
if USABLE:
    from pyfastcdc import FastCDC

    USABLE = ".py." not in FastCDC.__module__
"""Whether the cutter is there, compiled: else it is slower than sending the bytes to the service."""
CHUNK_AVERAGE, CHUNK_MIN, CHUNK_MAX = 1 << 20, 256 << 10, 4 << 20


class Cut:
    """An open file, cut in memory that the caller lends, so that a chunk need not be copied into its pack. Close it."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._hasher = blake3()
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="hash")  # the file's digest, while chunks are made
        self._hashed: Future[object] = Future()
        self._rest = b""  # was read, and belongs to no chunk yet
        self._more = True
        self.size_bytes = 0

    @property
    def done(self) -> bool:
        """Whether every chunk was given."""
        return not self._more and not self._rest

    @property
    def digest(self) -> bytes:
        """Of the whole file; valid once it is done."""
        return self._hasher.digest()

    def chunks(self, room: memoryview) -> Generator[tuple[int, int], None, None]:
        """Where the next chunks begin in `room`, and how long they are: one after another, from 0 on.

        Who stops taking them closes this; what was not given comes another time. room: over CHUNK_MAX. What lies in it
        must not be changed before `settle`.
        """
        known = filled = len(self._rest)
        room[:filled] = self._rest
        while self._more and filled < len(room):
            count = os.readv(self._handle, [room[filled:]])
            filled += count
            self._more = count > 0
        self._hashed = self._beside.submit(self._hasher.update, room[known:filled])
        cutter = FastCDC(CHUNK_AVERAGE, min_size=CHUNK_MIN, max_size=CHUNK_MAX, normalized_chunking=1, seed=0)
        start = 0
        try:
            for chunk in cutter.cut_buf(room[:filled]):
                if self._more and filled - start < CHUNK_MAX:
                    break  # what follows may move its end
                start += chunk.length
                yield start - chunk.length, chunk.length
        finally:
            self.settle()
            self._rest = bytes(room[start:filled])
            self.size_bytes += start

    def settle(self) -> None:
        """Wait until the room may be changed."""
        self._hashed.result()

    def close(self) -> None:
        self._beside.shutdown()
