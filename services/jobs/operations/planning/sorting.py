"""Rows in order of key, more of them than there is memory for: sorted runs in a file, merged."""

import heapq
import pickle
from collections.abc import Iterable, Iterator
from itertools import islice
from operator import itemgetter
from typing import IO

from services.kit.sortedmap.rows import Row

A_RUN, A_BLOCK = 100_000, 1_000
by_key = itemgetter(0)


class Sorting:
    """Used by one thread at a time; blocks. Keys are unique. file: empty, for what does not stay in memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._run: list[Row] = []
        self._runs: list[list[int]] = []
        """Where the blocks of each run begin."""

    def add(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._run.append(row)
            if len(self._run) == A_RUN:
                self._spill()

    def _spill(self) -> None:
        self._run.sort(key=by_key)
        rows, begins = iter(self._run), list[int]()
        while block := list(islice(rows, A_BLOCK)):
            begins.append(self._file.tell())
            pickle.dump([tuple(row) for row in block], self._file, pickle.HIGHEST_PROTOCOL)
        self._runs.append(begins)
        self._run = []

    def rows(self) -> Iterator[Row]:
        """All of them, ascending. Nothing may be added meanwhile."""
        self._run.sort(key=by_key)
        self._file.flush()
        return heapq.merge(*map(self._spilled, self._runs), self._run, key=by_key)

    def _spilled(self, begins: list[int]) -> Iterator[Row]:
        for begin in begins:
            self._file.seek(begin)
            yield from (Row(*fields) for fields in pickle.load(self._file))
