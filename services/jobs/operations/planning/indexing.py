"""The datum index of a job that has run: what it took over, and what its sets have added. In bounded memory."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile

from services.jobs.operations.planning.sorting import Sorting
from services.jobs.storage.objects import Indexes, read_directory
from services.kit.sortedmap.change import apply
from services.kit.sortedmap.rows import Edit, Root, Row
from services.kit.sortedmap.tree import build

AT_ONCE = 50_000
"""Rows that a map is changed by in one go: they are in memory."""


def index_of(indexes: Indexes, start: Root, records: Sequence[str], scratch: Path) -> tuple[Root, list[bytes]]:
    """start: what was taken over; records: objects with what has run. Returns the new packs, too. Blocks."""
    with TemporaryFile(dir=scratch) as file:
        sorting = Sorting(file)
        for name in records:
            sorting.add(read_directory(indexes.objects, name))
        return changed(indexes, start, sorting.rows())


def changed(indexes: Indexes, start: Root, edits: Iterator[Row] | Iterator[Edit]) -> tuple[Root, list[bytes]]:
    """An index with any number of edits carried out, ascending by key; and the packs written for it. Blocks."""
    sink, root = indexes.sink(), start
    if start.place is None:
        root = build((edit for edit in edits if isinstance(edit, Row)), sink)
        sink.flush()
        return root, sink.packs
    while some := list(islice(edits, AT_ONCE)):
        root = apply(indexes.reader, root, some, sink)
        sink.flush()
    return root, sink.packs
