"""Small ranges of a store that is far away, read in blocks that are kept: one request brings what the next will ask.

Ranges of a tree are a few KB each and lie next to each other in the order of keys. A reader that goes on from the block
before is taken to read on, and gets several blocks by its next request. Who knows many ranges that it wants gets their
blocks side by side. Objects never change, so no block ever does.
Elsewhere: decoded ranges are kept, too (kit/sortedmap/packs.py); big reads of content do not come through here.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Protocol

from services.kit.errors import Corrupt
from services.kit.objects.port import Objects

BLOCK_BYTES = 256 << 10
AHEAD = 7  # blocks more for who reads on
KEPT_BYTES = 32 << 20
TOGETHER, IN_ONE = 64, 4  # blocks at most that are brought together, and of them by one request
_READING = ThreadPoolExecutor(16, thread_name_prefix="blocks")  # started when first used

Wanted = tuple[str, int, int]
"""A key, where a range begins in the object, and its length."""
_Block = tuple[str, int]


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

    def get_many(self, wanted: Sequence[Wanted]) -> list[bytes]:
        """Several ranges, in any order: their blocks are read side by side, TOGETHER at a time."""
        found = [b""] * len(wanted)
        some, blocks = list[int](), dict[_Block, None]()
        for at in sorted(range(len(wanted)), key=lambda at: wanted[at][:2]):
            key, offset, length = wanted[at]
            last = offset + max(length, 1) - 1
            mine = [(key, number) for number in range(offset // BLOCK_BYTES, last // BLOCK_BYTES + 1)]
            if some and len(blocks) + len(mine) > TOGETHER:
                self._read_together(some, wanted, blocks, found)
                some, blocks = [], {}
            some.append(at)
            blocks.update(dict.fromkeys(mine if length <= BLOCK_BYTES else ()))
        self._read_together(some, wanted, blocks, found)
        return found

    def _read_together(
        self, some: list[int], wanted: Sequence[Wanted], blocks: dict[_Block, None], found: list[bytes]
    ) -> None:
        with self._lock:
            runs = list(_runs([block for block in blocks if block not in self._kept]))
            self.requests += len(runs)
        for done in [_READING.submit(self._load, key, first, last) for key, first, last in runs]:
            done.result()
        for at in some:
            found[at] = self.get_range(*wanted[at])

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
        return self._load(key, first, last)

    def _load(self, key: str, first: int, last: int) -> dict[int, bytes]:
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


def _runs(blocks: list[_Block]) -> Iterator[tuple[str, int, int]]:
    """Ascending blocks as requests: a key, the first number and the last."""
    start = 0
    for at in range(1, len(blocks) + 1):
        (key, first), (_, last) = blocks[start], blocks[at - 1]
        if at == len(blocks) or blocks[at] != (key, last + 1) or at - start == IN_ONE:
            yield key, first, last
            start = at


class Ranges(Protocol):
    """Whatever ranges can be read from."""

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        """As of Objects."""
        ...


def ranges_together(objects: Ranges, wanted: Sequence[Wanted]) -> list[bytes]:
    """Several ranges, side by side where that is quicker."""
    return objects.get_many(wanted) if isinstance(objects, Blocks) else [objects.get_range(*each) for each in wanted]


def small_ranges(objects: Objects) -> Ranges:
    """The way to read small ranges of a store: in blocks, unless it is a folder: the system keeps what was read."""
    return Blocks(objects) if objects.root is None else objects
