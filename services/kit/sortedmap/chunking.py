"""Where a sequence of items is cut into ranges (level 0) and nodes (level 1 and up).

A cut depends on the key before it alone, so an edit renews only the chunk it falls in, and a directory's chunks do
not depend on its neighbours. Source of the rule and its parameters: content-defined boundaries over key hashes.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

import xxhash

from services.kit.sortedmap.rows import LONGEST_RANGE, Child, Row, key_hash, mask_of


class Keyed(Protocol):
    """An item with a key."""

    @property
    def key(self) -> bytes: ...


K = TypeVar("K", bound=Keyed)


def cut(items: Iterable[K], level: int) -> Iterator[list[K]]:
    """Chunks of `items`; the last one may lack a boundary."""
    mask, found, digest = mask_of(level), list[K](), xxhash.xxh3_64_intdigest
    for item in items:
        found.append(item)
        if not digest(item.key) & mask:
            yield from _shortened(found, mask) if level == 0 else (found,)
            found = []
    if found:
        yield from _shortened(found, mask) if level == 0 else (found,)


def _shortened(items: list[K], mask: int) -> Iterator[list[K]]:
    """A range that chosen names made too long, cut again at the next lower mask: still a function of its keys alone."""
    if len(items) <= LONGEST_RANGE:
        yield items
        return
    if mask <= 1:  # hashes are no help: the same key hash can be met only so often, so plain counting is left
        for at in range(0, len(items), LONGEST_RANGE):
            yield items[at : at + LONGEST_RANGE]
        return
    lower, part = mask >> 1, list[K]()
    for item in items:
        part.append(item)
        if not key_hash(item.key) & lower:
            yield from _shortened(part, lower)
            part = []
    if part:
        yield from _shortened(part, lower)


def total_of(items: Sequence[Row] | Sequence[Child]) -> tuple[int, int]:
    """Rows and bytes that the items stand for."""
    rows = sum(item.rows if isinstance(item, Child) else 1 for item in items)
    return rows, sum(item.size_bytes if isinstance(item, Child) else item.size for item in items)
