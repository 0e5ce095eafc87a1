"""Merging writes: many sorted runs of ops, older before newer, into one sorted run with one op a key.

Elsewhere: what an op does (entries.py); where runs are kept (storage/content/layers.py).
"""

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter

from services.pfs.domain.files.entries import Op, fold

Run = tuple[bytes, Iterable[Op]]
"""Ops ascending by key, at most one a key; and a key that none of theirs comes before."""


def merged(runs: Sequence[Run]) -> Iterator[Op]:
    """One op a key, ascending. runs: later ones were written later; each is opened when its first key may be next."""
    waiting: Op | None = None
    for op in _in_order(runs):
        if waiting is None:
            waiting = op
        elif op.key == waiting.key:
            waiting = fold(waiting, op)
        else:
            yield waiting
            waiting = op
    if waiting is not None:
        yield waiting


def _in_order(runs: Sequence[Run]) -> Iterator[Op]:
    """All ops by key, equal keys in the order of the runs. Runs that follow one another are never open together."""
    heap = [(first, number) for number, (first, _) in enumerate(runs)]
    heapq.heapify(heap)
    opened = dict[int, tuple[Op | None, Iterator[Op]]]()
    while heap:
        _, number = heapq.heappop(heap)
        op, rest = opened.pop(number) if number in opened else _begun(runs[number][1])
        until = heap[0] if heap else None
        while op is not None and (until is None or (op.key, number) < until):
            yield op
            op = next(rest, None)
        if op is not None:
            opened[number] = op, rest
            heapq.heappush(heap, (op.key, number))


def _begun(run: Iterable[Op]) -> tuple[Op | None, Iterator[Op]]:
    ops = iter(run)
    return next(ops, None), ops


class Draft:
    """The writes of one stream so far, folded; applied as a whole or not at all."""

    def __init__(self) -> None:
        self._ops: dict[bytes, Op] = {}
        self._order: list[bytes] | None = None  # their keys, ascending, once spans were asked for

    def __len__(self) -> int:
        return len(self._ops)

    def write(self, op: Op) -> None:
        before = self._ops.get(op.key)
        self._ops[op.key] = op if before is None else fold(before, op)
        if before is None and self._order is not None:
            insort(self._order, op.key)

    def keys(self, low: bytes, high: bytes) -> list[bytes]:
        """Those written to in low <= key < high, ascending."""
        if self._order is None:
            self._order = sorted(self._ops)
        return self._order[bisect_left(self._order, low) : bisect_left(self._order, high)]

    def sorted_ops(self) -> list[Op]:
        return sorted(self._ops.values(), key=itemgetter(0))

    def clear(self) -> None:
        self._ops.clear()
        self._order = None
