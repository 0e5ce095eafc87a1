"""Big files in chunks, cut by their content as the service cuts them, so that a change touches few of them.

The parameters belong to the store; a test holds them to the service's. Needs the packages blake3 and pyfastcdc.
"""

import os
from collections.abc import Iterator

from blake3 import blake3
from pyfastcdc import FastCDC

CHUNK_AVERAGE, CHUNK_MIN, CHUNK_MAX = 1 << 20, 256 << 10, 4 << 20
WINDOW_BYTES = 16 << 20
COMPILED = ".py." not in FastCDC.__module__
"""Without its compiled part the cutter is slower than sending the bytes to the service."""


class Cut:
    """The chunks of an open file, as views that hold until the next one is asked for. digest: valid at the end."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._hasher = blake3(max_threads=blake3.AUTO)
        self.size_bytes = 0

    def __iter__(self) -> Iterator[memoryview]:
        window = memoryview(bytearray(WINDOW_BYTES))
        cutter = FastCDC(CHUNK_AVERAGE, min_size=CHUNK_MIN, max_size=CHUNK_MAX, normalized_chunking=1, seed=0)
        filled, more = 0, True
        while more or filled:
            while more and filled < WINDOW_BYTES:
                count = os.readv(self._handle, [window[filled:]])
                self._hasher.update(window[filled : filled + count])
                filled += count
                more = count > 0
            start = 0
            for chunk in cutter.cut_buf(window[:filled]):
                if more and filled - start < CHUNK_MAX:
                    break  # what follows may move its end
                yield window[start : start + chunk.length]
                start += chunk.length
            window[: filled - start] = bytes(window[start:filled])
            filled -= start
            self.size_bytes += start

    @property
    def digest(self) -> bytes:
        return self._hasher.digest()
