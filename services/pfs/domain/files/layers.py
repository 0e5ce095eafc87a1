"""Merging writes: many sorted runs of ops, older before newer, into one sorted run with one op a key.

Elsewhere: what an op does (entries.py); where runs are kept (storage/content/layers.py).
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter

from services.pfs.domain.files.entries import APPEND, REPLACE, Op, fold, removal


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

    def __len__(self) -> int:
        return len(self._ops)

    def write(self, op: Op) -> None:
        before = self._ops.get(op.key)
        self._ops[op.key] = op if before is None else fold(before, op)

    def remove_below(self, low: bytes, high: bytes, tag: bytes, visible: Iterable[bytes]) -> None:
        """Remove every key of a span whose datum tag is `tag`.

        visible: the keys that readers of the target see in the span, whatever their tag.
        """
        suffix = b"\0" + tag
        own = [key for key in self._ops if low <= key < high and key.endswith(suffix)]
        for key in own:
            self._ops[key] = removal(key)
        for key in visible:
            if key.endswith(suffix):
                self._ops[key] = removal(key)

    def sorted_ops(self) -> list[Op]:
        return sorted(self._ops.values(), key=itemgetter(0))

    def clear(self) -> None:
        self._ops.clear()


def settled(op: Op) -> Op:
    """The op as it is when nothing lies below it: an append makes the file."""
    return op._replace(kind=REPLACE) if op.kind == APPEND else op
