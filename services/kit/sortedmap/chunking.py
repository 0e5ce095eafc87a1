"""Where a sequence of items is cut into ranges (level 0) and nodes (level 1 and up).

A cut depends on the key before it alone, so an edit renews only the chunk it falls in, and a directory's chunks do
not depend on its neighbours. What lies between two boundaries is a run, and is one chunk; a run that chosen names made
too long is cut again at the next lower mask, and so on, at last by counting: still a function of its own keys alone.
Source of the rule and its parameters: content-defined boundaries over key hashes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Generic

import xxhash

from services.kit.sortedmap.encoding.chunks import C
from services.kit.sortedmap.rows import LONGEST_NODE, LONGEST_RANGE, mask_of

_hash: Callable[[bytes], int] = xxhash.xxh3_64_intdigest
_hash_bytes: Callable[[bytes], bytes] = xxhash.xxh3_64_digest  # the same, big-endian


def boundaries(keys: Iterable[bytes], level: int) -> list[int]:
    """Behind which of the keys a run ends at `level`: 1 for the first key, and so on."""
    mask = mask_of(level)
    hashes = b"".join(map(_hash_bytes, keys))
    ends, low, at = list[int](), hashes[7::8].translate(_low_bits(mask & 0xFF)), -1
    while (at := low.find(0, at + 1)) >= 0:  # few are: the others cost no turn of a loop
        if not int.from_bytes(hashes[8 * at : 8 * at + 8], "big") & mask:
            ends.append(at + 1)
    return ends


@cache
def _low_bits(mask: int) -> bytes:
    """What makes of each byte its bits in the mask."""
    return bytes(byte & mask for byte in range(256))


@dataclass(slots=True)
class Cutter:
    """Cuts one level's keys as they come. Knows only how deep the open run has been cut already."""

    level: int
    depth: int = 0
    bits: int = field(init=False)
    deepest: int = field(init=False)
    """How many times the mask may be halved. A node's children all end at boundaries of the level below, more or less:
    a mask as low as theirs would make a node of each."""
    longest: int = field(init=False)

    def __post_init__(self) -> None:
        self.bits = mask_of(self.level).bit_length()
        below = mask_of(self.level - 1).bit_length() if self.level else 0
        self.deepest = max(0, self.bits - below - 1)
        self.longest = LONGEST_NODE if self.level else LONGEST_RANGE

    def feed(self, keys: Sequence[bytes], start: int, ends: list[int]) -> list[int]:
        """Where to cut `keys`: those left uncut before, up to `start`, and new ones, among which runs have `ends`."""
        if self.depth == 0 and all(b - a <= self.longest for a, b in pairwise((0, *ends, len(keys)))):
            return ends
        cuts, begin = list[int](), 0
        for at in range(start, len(keys)):
            while at + 1 - begin > self.longest:
                cuts += self._deeper(keys, begin, at)
                begin = cuts[-1]
            found = self._depth_of(keys[at])
            if found <= min(self.depth, self.deepest):
                cuts.append(at + 1)
                begin, self.depth = at + 1, found
        return cuts

    def _depth_of(self, key: bytes) -> int:
        """The first depth at which `key` is a boundary: 0 at the full mask, one more for each bit less."""
        hashed = _hash(key)
        zeros = (hashed & -hashed).bit_length() - 1 if hashed else 64
        return max(0, self.bits - zeros)

    def _deeper(self, keys: Sequence[bytes], begin: int, last: int) -> list[int]:
        """Cut what is too long with the key at `last`: before it, at the first depth that does, or by counting."""
        while self.depth <= self.deepest:
            self.depth += 1
            allowed = min(self.depth, self.deepest)
            cuts = [at + 1 for at in range(begin, last) if self._depth_of(keys[at]) <= allowed]
            if cuts:
                return cuts
        return [begin + self.longest]


class Chunker(Generic[C]):
    """Makes chunks of items that come in pieces of any length."""

    def __init__(self, level: int) -> None:
        self._cutter = Cutter(level)
        self._open: C | None = None

    def feed(self, items: C, ends: list[int]) -> Iterator[C]:
        """The chunks that are complete with `items`, in which runs end at `ends`."""
        start = 0
        if self._open is not None:
            start, items = len(self._open.keys), self._open.plus(items)
            ends = [start + end for end in ends]
        at, self._open = 0, None
        for cut in self._cutter.feed(items.keys, start, ends):
            yield items.part(at, cut)
            at = cut
        if at < len(items.keys):
            self._open = items.part(at, len(items.keys))

    def rest(self) -> Iterator[C]:
        """The last chunk, which need not end at a boundary; none when the last one was complete."""
        if self._open is not None:
            yield self._open
            self._open = None

    @property
    def is_closed(self) -> bool:
        """Whether all items so far are in complete runs, so that what follows does not matter to them."""
        return self._open is None and self._cutter.depth == 0
