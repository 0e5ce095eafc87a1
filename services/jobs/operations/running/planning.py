"""Planning a job: its datums against the base job's index, what the base leaves behind, and the sets to run.

Datums stream into a file as they are found; in memory stay 80 bytes each. The plan object holds the lines of those
that run, in the order they are found, and a set is a range of it.
Elsewhere: which datums an input tree gives (domain/inputs.py); what runs (domain/plans.py); the base (bases.py).
"""

import asyncio
from array import array
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from services.jobs.clients import CommitRef, Pfs
from services.jobs.domain.datums import Datum, DatumState, InputFile, Leaf, datum_hash, datum_id
from services.jobs.domain.inputs import Input, Union, datums, leaves
from services.jobs.domain.plans import Fate, Known, cut_sets, fates
from services.jobs.domain.records import planned_line, read_record
from services.jobs.domain.specs import PipelineSpec
from services.jobs.domain.templates import evaluate
from services.jobs.storage.objects import PLANS, Indexes, key_of
from services.kit.sortedmap.change import apply
from services.kit.sortedmap.rows import EMPTY, Removed, Root, Row
from services.kit.sortedmap.tree import scan

ID_BYTES = 32


@dataclass(frozen=True, slots=True)
class Plan:
    """What a job does. ranges: (begin, length, datums) of each set in the object `key`.

    root: the base's index without what is removed, of which `packs` are new; removed: those rows, with the base's
    records.
    """

    key: str
    ranges: tuple[tuple[int, int, int], ...]
    total: int
    skipped: int
    root: Root
    packs: tuple[bytes, ...]
    removed: tuple[Row, ...]

    @property
    def to_run(self) -> int:
        return self.total - self.skipped


class Draft:
    """Datums of a job while they are found. Used by one thread at a time."""

    def __init__(self, folder: Path, salt: str) -> None:
        self._file = NamedTemporaryFile(dir=folder, suffix=".plan")  # noqa: SIM115 - closed by `close`
        self._salt = salt
        self._ids, self._hashes = bytearray(), bytearray()
        self._begins, self._sizes = array("Q", [0]), array("Q")

    def __len__(self) -> int:
        return len(self._sizes)

    def add(self, found: Iterable[Datum]) -> None:
        for inputs in found:
            id = datum_id(inputs)
            hash = datum_hash(id, inputs, self._salt)
            line = planned_line(id, hash, inputs)
            self._file.write(line)
            self._ids += id
            self._hashes += hash
            self._begins.append(self._begins[-1] + len(line))
            self._sizes.append(sum(file.size_bytes for file in inputs))

    def id(self, index: int) -> bytes:
        return bytes(self._ids[ID_BYTES * index : ID_BYTES * (index + 1)])

    def _hash(self, index: int) -> bytes:
        return bytes(self._hashes[ID_BYTES * index : ID_BYTES * (index + 1)])

    def by_id(self) -> list[int]:
        """Where each datum is, by ascending id; of equal ids the first counts."""
        order = sorted(range(len(self)), key=self.id)
        return [at for place, at in enumerate(order) if place == 0 or self.id(order[place - 1]) != self.id(at)]

    def plan(self, indexes: Indexes, base: Root, spec: PipelineSpec) -> Plan:
        """Decide, and store the plan object. Blocks."""
        order = self.by_id()
        rows: dict[bytes, Row] = {}
        runs = bytearray(len(self))
        position = iter(order)
        skipped = 0
        for id, fate in fates(
            ((self.id(at), self._hash(at)) for at in order), _known(indexes, base, rows), every_job=spec.every_job
        ):
            at = -1 if fate is Fate.GONE else next(position)
            if fate is Fate.SKIP:
                skipped += 1
                del rows[id]
            elif fate is not Fate.GONE:
                runs[at] = 1
        removed = tuple(rows[id] for id in sorted(rows))
        root, packs = self._without(indexes, base, removed) if skipped else (EMPTY, ())
        running = [at for at in range(len(self)) if runs[at]]
        key, ranges = self._store(indexes, running, spec)
        return Plan(key, ranges, len(order), skipped, root, packs, removed)

    @staticmethod
    def _without(indexes: Indexes, base: Root, removed: tuple[Row, ...]) -> tuple[Root, tuple[bytes, ...]]:
        if not removed:
            return base, ()
        sink = indexes.sink()
        root = apply(indexes.reader, base, (Removed(row.key) for row in removed), sink)
        sink.flush()
        return root, tuple(sink.packs)

    def _store(
        self, indexes: Indexes, running: list[int], spec: PipelineSpec
    ) -> tuple[str, tuple[tuple[int, int, int], ...]]:
        if not running:
            return "", ()
        key = key_of(PLANS, indexes.fresh().hex())
        lengths = cut_sets(
            (self._sizes[at] for at in running), spec.sets, to_run=len(running), workers=spec.parallelism
        )
        self._file.flush()
        ranges, begin, at = [], 0, 0
        with NamedTemporaryFile(dir=Path(self._file.name).parent, suffix=".plan", delete=False) as out:
            for count in lengths:
                part = running[at : at + count]
                size = 0
                for piece in self._pieces(part):
                    size += out.write(piece)
                ranges.append((begin, size, count))
                begin, at = begin + size, at + count
        indexes.objects.adopt(key, Path(out.name))
        return key, tuple(ranges)

    def _pieces(self, part: list[int]) -> Iterator[bytes]:
        """The lines of some datums; neighbours are read in one go."""
        start = 0
        for place in range(1, len(part) + 1):
            if place == len(part) or part[place] != part[place - 1] + 1:
                low, high = self._begins[part[start]], self._begins[part[place - 1] + 1]
                self._file.seek(low)
                yield self._file.read(high - low)
                start = place

    def close(self) -> None:
        self._file.close()


def _known(indexes: Indexes, base: Root, rows: dict[bytes, Row]) -> Iterator[Known]:
    """The base's datums. Each row is left in `rows`, for the caller to take out what stays."""
    for row in scan(indexes.reader, base):
        rows[row.key] = row
        yield Known(row.key, row.digest, DatumState(row.kind))


def outputs_of(indexes: Indexes, rows: Iterable[Row]) -> Iterator[tuple[str, str]]:
    """What datums wrote: (path, datum id). Blocks."""
    for row in rows:
        for path in read_record(indexes.record(row)).outputs:
            yield path, row.key.hex()


@dataclass(frozen=True)
class Planner:
    """Makes plans."""

    pfs: Pfs
    indexes: Indexes
    scratch: Path

    async def plan(self, spec: PipelineSpec, commits: Mapping[Leaf, CommitRef], base: Root) -> Plan:
        """Plan a job. commits: the finished commit behind each leaf."""
        assert spec.tree is not None
        draft = Draft(self.scratch, spec.salt)
        try:
            async for batch in self.datums(spec.tree, commits):
                await asyncio.to_thread(draft.add, batch)
            return await asyncio.to_thread(draft.plan, self.indexes, base, spec)
        finally:
            draft.close()

    async def datums(self, tree: Input, commits: Mapping[Leaf, CommitRef]) -> AsyncIterator[Iterable[Datum]]:
        """Datums of a tree, in batches; leaves and unions of them stream."""
        if isinstance(tree, Leaf):
            async for files in self._files(tree, commits[tree]):
                yield [(file,) for file in files]
        elif isinstance(tree, Union):
            for child in tree.children:
                async for batch in self.datums(child, commits):
                    yield batch
        else:
            kept = {leaf: await self._all(leaf, commits[leaf]) for leaf in leaves(tree)}
            yield datums(tree, lambda leaf: kept[leaf])

    async def _all(self, leaf: Leaf, commit: CommitRef) -> list[InputFile]:
        return [file async for files in self._files(leaf, commit) for file in files]

    async def _files(self, leaf: Leaf, commit: CommitRef) -> AsyncIterator[list[InputFile]]:
        async for batch in self.pfs.glob(commit, leaf.glob):
            yield [
                InputFile(
                    leaf,
                    commit.id,
                    match.path,
                    match.size_bytes,
                    match.digest,
                    evaluate(leaf.join_on, match.path, match.captures),
                    evaluate(leaf.group_by, match.path, match.captures),
                )
                for match in batch
            ]
