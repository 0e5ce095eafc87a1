"""Small ranges of a store that is far away, read in blocks that are kept: one request brings what the next will ask.

Ranges of a tree are a few KB each and lie next to each other in the order of keys. A reader that goes on from the block
before is taken to read on, and gets several blocks by its next request. Objects never change, so no block ever does.
Elsewhere: decoded ranges are kept, too (kit/sortedmap/packs.py); big reads of content do not come through here.
"""

from collections import OrderedDict
from threading import Lock
from typing import Protocol

from services.kit.errors import Corrupt
from services.kit.objects.port import Objects

BLOCK_BYTES = 256 << 10
AHEAD = 7  # blocks more for who reads on
KEPT_BYTES = 32 << 20


class Blocks:
    """Reads ranges. Safe for several threads; two that miss the same block both read it."""

    def __init__(self, objects: Objects, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._objects, self._limit = objects, kept_bytes
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._kept_bytes = 0
        self._lock = Lock()
        self.requests = 0
        """How many were made of the store (for tests and metrics)."""

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        """As of Objects."""
        if length > BLOCK_BYTES:
            return self._objects.get_range(key, offset, length)
        numbers = range(offset // BLOCK_BYTES, (offset + max(length, 1) - 1) // BLOCK_BYTES + 1)
        blocks = self._found(key, numbers)
        missing = [number for number in numbers if number not in blocks]
        if missing:
            blocks |= self._fetched(key, missing[0], missing[-1])
        begin = numbers[0] * BLOCK_BYTES
        data = b"".join([blocks.get(number, b"") for number in numbers])[offset - begin : offset - begin + length]
        if len(data) < length:
            raise Corrupt(f"object {key} ends before byte {offset + length}")
        return data

    def _found(self, key: str, numbers: range) -> dict[int, bytes]:
        found = {}
        with self._lock:
            for number in numbers:
                if (block := self._kept.get((key, number))) is not None:
                    self._kept.move_to_end((key, number))
                    found[number] = block
        return found

    def _fetched(self, key: str, first: int, last: int) -> dict[int, bytes]:
        with self._lock:
            self.requests += 1
            if (key, first - 1) in self._kept:
                last += AHEAD
        data = self._objects.get_up_to(key, first * BLOCK_BYTES, (last - first + 1) * BLOCK_BYTES)
        cut = range(0, len(data), BLOCK_BYTES)
        blocks = {first + place: data[at : at + BLOCK_BYTES] for place, at in enumerate(cut)}
        with self._lock:
            for number, block in blocks.items():
                if (key, number) not in self._kept:
                    self._kept[key, number] = block
                    self._kept_bytes += len(block)
            while self._kept_bytes > self._limit and len(self._kept) > 1:
                self._kept_bytes -= len(self._kept.popitem(last=False)[1])
        return blocks


class Ranges(Protocol):
    """Whatever ranges can be read from."""

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        """As of Objects."""
        ...


def small_ranges(objects: Objects) -> Ranges:
    """The way to read small ranges of a store: in blocks, unless it is a folder: the system keeps what was read."""
    return Blocks(objects) if objects.root is None else objects
