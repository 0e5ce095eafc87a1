"""Merging writes: many sorted runs of ops, older before newer, into one sorted run with one op a key.

Elsewhere: what an op does (entries.py); where runs are kept (storage/content/layers.py).
"""

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter

from services.pfs.domain.files.entries import Op, fold


def merged(runs: Sequence[Iterable[Op]]) -> Iterator[Op]:
    """One op a key, ascending. runs: each ascending by key, at most one op a key; later runs were written later."""
    if len(runs) == 1:
        yield from runs[0]
        return
    waiting: Op | None = None
    for op in heapq.merge(*runs, key=itemgetter(0)):  # the merge is stable: equal keys come in the order of the runs
        if waiting is None:
            waiting = op
        elif op.key == waiting.key:
            waiting = fold(waiting, op)
        else:
            yield waiting
            waiting = op
    if waiting is not None:
        yield waiting


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
