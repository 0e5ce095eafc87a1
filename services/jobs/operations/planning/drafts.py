"""A plan while it is made: the datums found so far, held against what the base knows of them, and cut into sets.

Datums stream into a file as they are found; in memory stay 80 bytes each. The plan object holds the lines of those
that run, in the order they are found, and a set is a range of it.
Elsewhere: who finds them (planner.py); what runs (domain/planning/plans.py).
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from operator import eq
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, overload

from services.jobs.domain.datums import Datum, DatumState, datum_hash, datum_id
from services.jobs.domain.planning.origins import Origin
from services.jobs.domain.planning.plans import Fate, Known, cut_sets, fates
from services.jobs.domain.records import Lines
from services.jobs.domain.specs import PipelineSpec
from services.jobs.operations.planning.indexing import changed
from services.jobs.operations.running.removing import Removals
from services.jobs.storage.objects import PLANS, Indexes, key_of
from services.kit.sortedmap.rows import EMPTY, NO_DIGEST, Edit, Removed, Root, Row

ID_BYTES = 32


class Ranges(Sequence[tuple[int, int, int]]):
    """Of each set (begin, length, datums), in 24 bytes: there may be as many sets as datums."""

    def __init__(self, ranges: Iterable[tuple[int, int, int]] = ()) -> None:
        self._numbers = array("Q", chain.from_iterable(ranges))

    def __len__(self) -> int:
        return len(self._numbers) // 3

    @property
    def datums(self) -> int:
        """In all sets."""
        return sum(self._numbers[2::3])

    @overload
    def __getitem__(self, at: int) -> tuple[int, int, int]: ...
    @overload
    def __getitem__(self, at: slice) -> list[tuple[int, int, int]]: ...
    def __getitem__(self, at: int | slice) -> tuple[int, int, int] | list[tuple[int, int, int]]:
        if isinstance(at, slice):
            return [self[index] for index in range(*at.indices(len(self)))]
        if not 0 <= at < len(self):
            raise IndexError(at)
        begin, length, datums = self._numbers[3 * at : 3 * at + 3]
        return begin, length, datums


@dataclass(frozen=True, slots=True)
class Plan:
    """What a job does. ranges: (begin, length, datums) of each set in the object `key`.

    root: the base's index without what is removed; removed: those rows, with the base's records; packs: what is new of
    this index and of the maps of the origin. origin: None when the next plan cannot be told from this one.
    """

    key: str
    ranges: "Ranges"
    total: int
    skipped: int
    root: Root
    packs: tuple[bytes, ...]
    removed: Removals
    origin: Origin | None = None

    @property
    def to_run(self) -> int:
        return self.ranges.datums


@dataclass(frozen=True, slots=True)
class Part:
    """Which of the datums that are to run a plan holds, when another plan of the job holds the others.

    new_only: those that the base knows wait; nothing is removed, and the root is that of all the datums that the job
    wants. others: tells of datums that are new to the base, by ascending id, which of them are not in this plan.
    """

    new_only: bool
    others: Callable[[Iterable[bytes]], Iterable[bool]]


class Draft:
    """Datums of a job while they are found. Used by one thread at a time. file: empty, for their lines.

    folder: where the plan object is written before it goes to the store.
    """

    def __init__(self, file: IO[bytes], folder: Path, salt: str) -> None:
        self._file, self._folder = file, folder
        self._salt, self._lines = salt, Lines()
        self._ids, self._hashes = bytearray(), bytearray()
        self._begins, self._sizes = array("Q", [0]), array("Q")

    def __len__(self) -> int:
        return len(self._sizes)

    def add(self, found: Iterable[Datum]) -> None:
        for inputs in found:
            self.put(datum_id(inputs), inputs)

    def put(self, id: bytes, inputs: Datum) -> None:
        """Add a datum whose id is known."""
        hash = datum_hash(id, inputs, self._salt)
        line = self._lines.line(id, hash, inputs)
        self._file.write(line)
        self._ids += id
        self._hashes += hash
        self._begins.append(self._begins[-1] + len(line))
        self._sizes.append(sum([file.size_bytes for file in inputs]))

    def id(self, index: int) -> bytes:
        return bytes(self._ids[ID_BYTES * index : ID_BYTES * (index + 1)])

    def _hash(self, index: int) -> bytes:
        return bytes(self._hashes[ID_BYTES * index : ID_BYTES * (index + 1)])

    def by_id(self) -> tuple[list[int], dict[bytes, int]]:
        """Where each datum is, by ascending id, of equal ids the first; and how often those came that came again."""
        every = bytes(self._ids)
        ids = [every[begin : begin + ID_BYTES] for begin in range(0, len(every), ID_BYTES)]
        order = sorted(range(len(ids)), key=ids.__getitem__)
        if not any(map(eq, map(ids.__getitem__, order), map(ids.__getitem__, islice(order, 1, None)))):
            return order, {}
        counts = Counter(ids)
        firsts = [at for place, at in enumerate(order) if place == 0 or ids[order[place - 1]] != ids[at]]
        return firsts, {id: count - 1 for id, count in counts.items() if count > 1}

    def plan(
        self,
        indexes: Indexes,
        base: Root,
        known: Iterable[Row],
        spec: PipelineSpec,
        order: list[int],
        part: Part | None = None,
    ) -> Plan:
        """Decide, and store the plan object. known: rows of the base, ascending; the rest of them stays. Blocks."""
        if base.rows or part is not None:
            removed, running, skipped, looked_at, edits = self._decided(known, order, part, every_job=spec.every_job)
        else:
            removed, running, skipped, looked_at, edits = Removals(), array("Q", sorted(order)), 0, 0, []
        untouched = base.rows - looked_at
        skipped += untouched
        key, ranges = self._store(indexes, running, spec)
        if part is not None and part.new_only:
            wanted, more = changed(indexes, base, iter(edits)) if edits else (base, [])
            return Plan(key, ranges, untouched + len(order), 0, wanted, tuple(more), removed)
        root, packs = without(indexes, base, removed) if skipped else (EMPTY, ())
        return Plan(key, ranges, untouched + len(order), skipped, root, packs, removed)

    def _decided(
        self, known: Iterable[Row], order: Sequence[int], part: Part | None, *, every_job: bool
    ) -> tuple[Removals, Sequence[int], int, int, list[Edit]]:
        """What is removed, what runs in the order found, how many are skipped, and how many of the base were known.

        For a part of only new datums also what makes the base's index that of all that the job wants.
        """
        removed, runs, position, fresh = Removals(), bytearray(len(self)), iter(order), array("Q")
        new_only = part is not None and part.new_only
        looked_at = skipped = 0
        edits = list[Edit]()
        row: Row | None = None

        def told() -> Iterator[Known]:
            nonlocal looked_at, row
            for row in known:
                looked_at += 1
                yield Known(row.key, row.digest, DatumState(row.kind))

        wanted = ((self.id(at), self._hash(at)) for at in order)
        for id, fate in fates(wanted, told(), every_job=every_job):
            at = -1 if fate is Fate.GONE else next(position)
            if fate is Fate.SKIP:
                skipped += 1
                continue
            if fate is Fate.NEW:
                fresh.append(at)
                if new_only:
                    edits.append(Row(id, 0, 0, NO_DIGEST))
            elif new_only and fate is Fate.GONE:
                edits.append(Removed(id))
            elif not new_only:
                assert row is not None
                removed.add(row)  # the one that was told last: nothing is told ahead
            if fate is Fate.NEW or (fate is Fate.RERUN and not new_only):
                runs[at] = 1
        if part is not None:
            for at, another in zip(fresh, part.others(map(self.id, fresh)), strict=True):
                runs[at] = not another
        running = array("Q", (at for at in range(len(self)) if runs[at]))
        return removed, running, skipped, looked_at, edits

    def _store(self, indexes: Indexes, running: Sequence[int], spec: PipelineSpec) -> tuple[str, Ranges]:
        if not running:
            return "", Ranges()
        key = key_of(PLANS, indexes.fresh().hex())
        sizes = ((self._sizes[at], self._begins[at + 1] - self._begins[at]) for at in running)
        lengths = cut_sets(sizes, spec.sets, to_run=len(running), workers=spec.parallelism)
        self._file.flush()
        with NamedTemporaryFile(dir=self._folder, suffix=".plan", delete=False) as out:
            ranges = Ranges(self._written(out, running, lengths))
        indexes.objects.adopt(key, Path(out.name))
        return key, ranges

    def _written(
        self, out: IO[bytes], running: Sequence[int], lengths: Iterable[int]
    ) -> Iterator[tuple[int, int, int]]:
        begin = at = 0
        for count in lengths:
            size = sum(map(out.write, self._pieces(running[at : at + count])))
            yield begin, size, count
            begin, at = begin + size, at + count

    def _pieces(self, part: Sequence[int]) -> Iterator[bytes]:
        """The lines of some datums; neighbours are read in one go."""
        start = 0
        for place in range(1, len(part) + 1):
            if place == len(part) or part[place] != part[place - 1] + 1:
                low, high = self._begins[part[start]], self._begins[part[place - 1] + 1]
                self._file.seek(low)
                yield self._file.read(high - low)
                start = place


def without(indexes: Indexes, base: Root, removed: Removals) -> tuple[Root, tuple[bytes, ...]]:
    """An index without some of its rows, and the packs written for it. Blocks."""
    if not removed:
        return base, ()
    root, packs = changed(indexes, base, (Removed(row.key) for row in removed))
    return root, tuple(packs)
