"""Where the rows of two ranges differ.

Elsewhere: which ranges are worth comparing (../compare.py).
"""

from bisect import bisect_left
from collections.abc import Iterator

from services.kit.sortedmap.encoding.chunks import Leaf

FEW = 8  # rows that are compared one by one
Pair = tuple[int | None, int | None]
"""Indexes of one key's rows; None where a side has none."""


def differing(a: Leaf, i: int, i_stop: int, b: Leaf, j: int, j_stop: int) -> Iterator[Pair]:
    """Where the rows i… of one range and j… of another differ: halves that are equal as a whole are left alone."""
    if _same(a, i, i_stop, b, j, j_stop):
        return
    many, more = i_stop - i, j_stop - j
    if max(many, more) <= FEW or not many or not more:
        yield from _few(a, i, i_stop, b, j, j_stop)
        return
    if many >= more:
        middle = i + many // 2
        other = bisect_left(b.keys, a.keys[middle], j, j_stop)
    else:
        other = j + more // 2
        middle = bisect_left(a.keys, b.keys[other], i, i_stop)
    yield from differing(a, i, middle, b, j, other)
    yield from differing(a, middle, i_stop, b, other, j_stop)


def changed_keys(a: Leaf, a_id: bytes, b: Leaf, b_id: bytes) -> list[bytes] | None:
    """The keys among which all differences of two ranges are, when both are stored against one base; else None."""
    a_base = a_id if a.base is None else a.base[0]
    b_base = b_id if b.base is None else b.base[0]
    if a_base != b_base:
        return None
    return sorted({edit.key for edit in a.delta} | {edit.key for edit in b.delta})


def differing_among(keys: list[bytes], a: Leaf, i: int, i_stop: int, b: Leaf, j: int, j_stop: int) -> Iterator[Pair]:
    """Where rows differ, as `differing` says, when all else than these keys is known to be the same."""
    for key in keys:
        i, j = bisect_left(a.keys, key, i, i_stop), bisect_left(b.keys, key, j, j_stop)
        in_a, in_b = i < i_stop and a.keys[i] == key, j < j_stop and b.keys[j] == key
        if in_a and in_b:
            if not _same(a, i, i + 1, b, j, j + 1):
                yield i, j
        elif in_a or in_b:
            yield (i, None) if in_a else (None, j)


def _same(a: Leaf, i: int, i_stop: int, b: Leaf, j: int, j_stop: int) -> bool:
    return (
        i_stop - i == j_stop - j
        and a.digests[32 * i : 32 * i_stop] == b.digests[32 * j : 32 * j_stop]
        and a.kinds[i:i_stop] == b.kinds[j:j_stop]
        and a.sizes[i:i_stop] == b.sizes[j:j_stop]
        and a.keys[i:i_stop] == b.keys[j:j_stop]
    )


def _few(a: Leaf, i: int, i_stop: int, b: Leaf, j: int, j_stop: int) -> Iterator[Pair]:
    while i < i_stop and j < j_stop:
        if a.keys[i] < b.keys[j]:
            yield i, None
            i += 1
        elif b.keys[j] < a.keys[i]:
            yield None, j
            j += 1
        else:
            if not _same(a, i, i + 1, b, j, j + 1):
                yield i, j
            i, j = i + 1, j + 1
    yield from ((index, None) for index in range(i, i_stop))
    yield from ((None, index) for index in range(j, j_stop))
