"""Whether everything that jobs refer to is there and whole: plans, results of sets, indexes and the records they name.

Elsewhere: what is referred to (marking.py).
"""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from xxhash import xxh3_64_intdigest

from services.jobs.operations.upkeep.marking import Held, Walk
from services.jobs.storage import log_objects
from services.jobs.storage.objects import INDEX, PLANS, RECORDS, Indexes, key_of, read_directory
from services.kit.errors import Corrupt
from services.kit.sortedmap.rows import Root, Row


@dataclass
class Verification:
    """One look. All of it blocks."""

    indexes: Indexes
    objects: int = 0
    rows: int = 0
    damaged: int = 0
    _records: dict[str, "array[int]"] = field(default_factory=dict)
    """Of each records object the short hashes of what it holds, ascending; nothing for a damaged one."""

    def problems(self, found: Held) -> Iterator[str]:
        """What is wrong, in words that name the object."""
        for name in found.plans:
            self.objects += 1
            if self.indexes.objects.size(key_of(PLANS, name)) is None:
                yield self._problem(f"{key_of(PLANS, name)}: it is missing")
        for name in found.records:
            yield from self._read(name)
        walk = Walk(self.indexes)
        for root in found.roots:
            yield from self._index(walk, root, self._row)
        for root in found.maps:
            yield from self._index(walk, root, lambda _row: iter(()))
        self.objects += len(walk.packs) + len(found.logs)
        for problem in log_objects.problems(self.indexes.objects, found.logs):
            yield self._problem(problem)

    def _index(self, walk: Walk, root: Root, look: Callable[[Row], Iterator[str]]) -> Iterator[str]:
        try:
            for leaf in walk.leaves([root]):
                for at in range(len(leaf.keys)):
                    yield from look(leaf.row(at))
        except Corrupt as problem:
            pack = getattr(getattr(problem, "place", root.place), "pack", b"").hex()
            yield self._problem(f"{key_of(INDEX, pack)}: {problem}")

    def _row(self, row: Row) -> Iterator[str]:
        self.rows += 1
        if row.place is None:
            yield self._problem(f"datum {row.key.hex()} has no record")
            return
        name = row.place.pack.hex()
        yield from self._read(name)
        held, wanted = self._records[name], _short(row)
        at = bisect_left(held, wanted)
        if held and (at == len(held) or held[at] != wanted):
            yield self._problem(f"{key_of(RECORDS, name)}: it has no record of datum {row.key.hex()}")

    def _read(self, name: str) -> Iterator[str]:
        """Look at a records object, once."""
        if name in self._records:
            return
        self.objects += 1
        try:
            self._records[name] = array("Q", sorted(map(_short, read_directory(self.indexes.objects, name))))
        except Corrupt as problem:
            self._records[name] = array("Q")
            yield self._problem(f"{key_of(RECORDS, name)}: {problem}")

    def _problem(self, text: str) -> str:
        self.damaged += 1
        return text


def _short(row: Row) -> int:
    """A row in eight bytes: indexes have millions."""
    at = b"" if row.place is None else b"%d %d" % (row.place.offset, row.place.stored)
    return xxh3_64_intdigest(row.key + row.digest + at)
