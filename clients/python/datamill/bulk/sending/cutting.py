"""Big files in chunks, cut by their content as the service cuts them, so that a change touches few of them.

The parameters belong to the store; a test holds them to the service's. Needs the packages blake3 and pyfastcdc.
"""

import mmap
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

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
        self._hasher = blake3()
        self.size_bytes = 0

    def __iter__(self) -> Iterator[memoryview]:
        with ThreadPoolExecutor(1, thread_name_prefix="hash") as beside:  # the file's digest, while chunks are made
            yield from self._chunks(beside)

    def _chunks(self, beside: ThreadPoolExecutor) -> Iterator[memoryview]:
        window = memoryview(mmap.mmap(-1, WINDOW_BYTES))
        cutter = FastCDC(CHUNK_AVERAGE, min_size=CHUNK_MIN, max_size=CHUNK_MAX, normalized_chunking=1, seed=0)
        filled, more = 0, True
        while more or filled:
            known = filled
            while more and filled < WINDOW_BYTES:
                count = os.readv(self._handle, [window[filled:]])
                filled += count
                more = count > 0
            hashed = beside.submit(self._hasher.update, window[known:filled])
            start = 0
            for chunk in cutter.cut_buf(window[:filled]):
                if more and filled - start < CHUNK_MAX:
                    break  # what follows may move its end
                yield window[start : start + chunk.length]
                start += chunk.length
            hashed.result()
            window[: filled - start] = bytes(window[start:filled])
            filled -= start
            self.size_bytes += start

    @property
    def digest(self) -> bytes:
        return self._hasher.digest()
