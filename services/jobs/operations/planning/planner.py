"""Planning a job: its datums, held against the base job's index.

A plan costs what has changed: where the base was planned from the same tree and salt, the files that differ between
its input commits and the job's tell which datums came and which are gone; all others are skipped unseen, but for those
that were RECOVERED. Otherwise, or when more has changed than stays in memory, every datum is found and held against the
whole index of the base; both ways give the same plan (ADR 12).
Elsewhere: datums of a tree, changes of datums, and what runs (domain/planning/);
a plan while it is made (drafts.py); the base (bases.py); joins and groups by key (matching.py).
"""

import asyncio
import heapq
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryFile
from typing import Protocol

from services.jobs.domain.datums import Datum, DatumState, InputFile, Leaf, datum_id
from services.jobs.domain.errors import CommitGone
from services.jobs.domain.planning.changes import Changed, come, gone, is_comparable, keyed, may_repeat, whole
from services.jobs.domain.planning.inputs import Cross, Group, Input, Join, Union, datums, leaves
from services.jobs.domain.planning.origins import Origin, fingerprint
from services.jobs.domain.planning.templates import evaluate
from services.jobs.domain.records import read_record
from services.jobs.domain.specs import PipelineSpec
from services.jobs.operations.planning.drafts import Draft, Part, Plan
from services.jobs.operations.planning.matching import Matching
from services.jobs.operations.planning.sorting import Sorting, by_key
from services.jobs.operations.running.bases import Base
from services.jobs.peers.pfs import CommitRef, Match
from services.jobs.storage.objects import Indexes, read_directory
from services.kit.sortedmap.change import apply
from services.kit.sortedmap.packs import Reader
from services.kit.sortedmap.rows import EMPTY, NO_DIGEST, Edit, Removed, Root, Row
from services.kit.sortedmap.tree import build, get, get_many, scan

MOST_CHANGES = 100_000
"""Files that may have changed for a plan to be told from them: they are in memory."""
Commits = Mapping[Leaf, CommitRef]


class Trees(Protocol):
    """The files of commits."""

    def glob(self, ref: CommitRef, pattern: str) -> AsyncIterator[list[Match]]:
        """Files and directories, in path order, in batches."""
        ...

    def diff(
        self, new: CommitRef, old: CommitRef, pattern: str
    ) -> AsyncIterator[list[tuple[Match | None, Match | None]]]:
        """(old, new) of each that differs, in path order, in batches. Raises CommitGone."""
        ...


@dataclass(frozen=True)
class Now:
    """What a plan is to be made from. leaves: each once, from left to right."""

    spec: PipelineSpec
    tree: Input
    leaves: list[Leaf]
    commits: Commits
    comparable: bool

    @property
    def matching(self) -> Matching:
        return Matching(self.tree, self.commits)

    def origin(self) -> Origin:
        return Origin(fingerprint(self.tree, self.spec.salt), tuple(self.commits[leaf].id for leaf in self.leaves))


@dataclass(frozen=True)
class _Changes:
    """What has changed since the base was planned; implements changes.Files."""

    changed: Mapping[Leaf, Sequence[Changed]]
    all: Mapping[Leaf, Sequence[InputFile]]
    matching: Matching
    reader: Reader
    matches: Root

    def changes(self, leaf: Leaf) -> Sequence[Changed]:
        return self.changed[leaf]

    def now(self, leaf: Leaf) -> Sequence[InputFile]:
        return self.all[leaf]

    def members(self, node: Join | Group, key: str) -> list[list[InputFile]]:
        return self.matching.members(self.reader, self.matches, node, key)


@dataclass(frozen=True)
class Planner:
    """Makes plans."""

    pfs: Trees
    indexes: Indexes
    scratch: Path

    async def plan(self, spec: PipelineSpec, commits: Commits, base: Base, part: Part | None = None) -> Plan:
        """Plan a job, or a part of it. commits: the finished commit behind each leaf."""
        assert spec.tree is not None
        now = Now(spec, spec.tree, list(dict.fromkeys(leaves(spec.tree))), commits, is_comparable(spec.tree))
        with TemporaryFile(dir=self.scratch) as file:
            draft = Draft(file, self.scratch, spec.salt)
            changes = await self._changes(now, base)
            if changes is not None:
                return await asyncio.to_thread(self._told, now, base, changes, draft, part)
            return await self._full(now, base, draft, part)

    async def _full(self, now: Now, base: Base, draft: Draft, part: Part | None) -> Plan:
        """Find every datum."""
        matches, packs = await self._matches(now) if now.comparable and keyed(now.tree) else (EMPTY, [])
        async for batch in self._found(now, now.tree, matches):
            await asyncio.to_thread(draft.add, batch)

        def decided() -> Plan:
            order, again = draft.by_id()
            known = scan(self.indexes.reader, base.root)
            plan = draft.plan(self.indexes, base.root, known, now.spec, order, part)
            if not now.comparable:
                return plan
            repeats, more = EMPTY, list[bytes]()
            if again:
                sink = self.indexes.sink()
                repeats = build((Row(id, 0, again[id], NO_DIGEST) for id in sorted(again)), sink)
                sink.flush()
                more = sink.packs
            origin = replace(now.origin(), matches=matches, repeats=repeats)
            return replace(plan, origin=origin, packs=(*plan.packs, *packs, *more))

        return await asyncio.to_thread(decided)

    async def _found(self, now: Now, tree: Input, matches: Root) -> AsyncIterator[Iterable[Datum]]:
        """Datums of a tree, in batches; joins and groups from their map when there is one."""
        if isinstance(tree, Union):
            for child in tree.children:
                async for batch in self._found(now, child, matches):
                    yield batch
        elif isinstance(tree, Join | Group) and now.comparable:
            yield now.matching.datums(self.indexes.reader, matches, tree)
        else:
            async for batch in self.datums(tree, now.commits):
                yield batch

    async def _matches(self, now: Now) -> tuple[Root, list[bytes]]:
        """The files of joins and groups by key, and the packs that hold them."""
        sink = self.indexes.sink()

        def built(sorting: Sorting) -> Root:
            root = build(sorting.rows(), sink)
            sink.flush()
            return root

        with TemporaryFile(dir=self.scratch) as file:
            sorting = Sorting(file)
            below = {leaf for node in keyed(now.tree) for leaf in leaves(node)}
            for leaf in below:
                async for files in self._files(leaf, now.commits[leaf]):
                    await asyncio.to_thread(sorting.add, now.matching.rows(leaf, files))
            return await asyncio.to_thread(built, sorting), sink.packs

    async def datums(self, tree: Input, commits: Commits) -> AsyncIterator[Iterable[Datum]]:
        """Datums of a tree, in batches; leaves, unions, and the first children of crosses stream."""
        if isinstance(tree, Leaf):
            async for files in self._files(tree, commits[tree]):
                yield [(file,) for file in files]
        elif isinstance(tree, Union):
            for child in tree.children:
                async for batch in self.datums(child, commits):
                    yield batch
        elif isinstance(tree, Cross):
            first, *others = tree.children
            rest = [[one async for batch in self.datums(child, commits) for one in batch] for child in others]
            if all(rest):
                async for batch in self.datums(first, commits):
                    yield (sum(tail, head) for head in batch for tail in product(*rest))
        else:
            kept = {leaf: await self._all(leaf, commits[leaf]) for leaf in leaves(tree)}
            yield datums(tree, lambda leaf: kept[leaf])

    async def _all(self, leaf: Leaf, commit: CommitRef) -> list[InputFile]:
        return [file async for files in self._files(leaf, commit) for file in files]

    async def _files(self, leaf: Leaf, commit: CommitRef) -> AsyncIterator[list[InputFile]]:
        async for batch in self.pfs.glob(commit, leaf.glob):
            yield [_file(leaf, commit, match) for match in batch]

    async def _changes(self, now: Now, base: Base) -> _Changes | None:
        """What has changed since the base was planned. None: that cannot be told, or is too much to be."""
        origin, tree = base.origin, now.tree
        if origin is None or not now.comparable or now.spec.every_job or origin.tree != now.origin().tree:
            return None
        changed: dict[Leaf, list[Changed]] = {}
        try:
            for leaf, before in zip(now.leaves, origin.commits, strict=True):
                changed[leaf] = await self._changed(leaf, now.commits[leaf], replace(now.commits[leaf], id=before))
                if sum(map(len, changed.values())) > MOST_CHANGES:
                    return None
        except CommitGone:
            return None
        found = _Changes(changed, {}, now.matching, self.indexes.reader, origin.matches)
        wanted = whole(tree, found)
        return replace(found, all={leaf: await self._all(leaf, now.commits[leaf]) for leaf in wanted})

    async def _changed(self, leaf: Leaf, new: CommitRef, old: CommitRef) -> list[Changed]:
        found: list[Changed] = []
        if new == old:
            return found
        async for batch in self.pfs.diff(new, old, leaf.glob):
            for was, now in batch:
                before, after = (
                    None if match is None else _file(leaf, commit, match) for match, commit in ((was, old), (now, new))
                )
                found.append(Changed(before, after))
            if len(found) > MOST_CHANGES:
                break
        return found

    def _told(self, now: Now, base: Base, changes: _Changes, draft: Draft, part: Part | None) -> Plan:
        """Plan from what has changed. Blocks."""
        assert base.origin is not None
        reader = self.indexes.reader
        counts, left, counting = Counter[bytes](), set[bytes](), may_repeat(now.tree)
        for datum, is_new in come(now.tree, changes):
            id = datum_id(datum)
            draft.put(id, datum)
            if counting:
                counts[id] += is_new
        for datum in gone(now.tree, changes):
            id = datum_id(datum)
            left.add(id)
            if counting:
                counts[id] -= 1
        sink = self.indexes.sink()
        repeats = base.origin.repeats
        if counting:
            extra = self._extra(base, counts)
            left = {id for id in left if extra[id] < 0}
            repeats = apply(reader, repeats, _repeated(extra), sink)
        matching = now.matching
        edits = [edit for leaf in now.leaves for edit in matching.edits(leaf, changes.changed[leaf])]
        matches = apply(reader, base.origin.matches, sorted(edits, key=by_key), sink)
        sink.flush()
        if base.recovered_in:
            self._add_recovered(now, base, draft, left)
        order, _ = draft.by_id()
        touched = heapq.merge(sorted(left), map(draft.id, order))  # nothing is in both
        known = (row for row in get_many(reader, base.root, touched) if row is not None)
        plan = draft.plan(self.indexes, base.root, known, now.spec, order, part)
        origin = replace(now.origin(), matches=matches, repeats=repeats)
        return replace(plan, origin=origin, packs=(*plan.packs, *sink.packs))

    def _extra(self, base: Base, counts: Mapping[bytes, int]) -> dict[bytes, int]:
        """How many leaves give each of these datums now, but one; -1: none does."""
        assert base.origin is not None
        found, reader = dict[bytes, int](), self.indexes.reader
        for id in sorted(counts):
            more = get(reader, base.origin.repeats, id)
            before = more.size if more is not None else 0 if get(reader, base.root, id) is not None else -1
            found[id] = before + counts[id]
        return found

    def _add_recovered(self, now: Now, base: Base, draft: Draft, left: set[bytes]) -> None:
        """What the base RECOVERED runs again, changed or not. All of these have run in the base itself."""
        known = left.union(map(draft.id, range(len(draft))))
        commits = {(leaf.name, leaf.repo, leaf.branch): commit.id for leaf, commit in now.commits.items()}
        for name in base.recovered_in:
            for row in read_directory(self.indexes.objects, name):
                if row.kind == DatumState.RECOVERED and row.key not in known:
                    inputs = read_record(self.indexes.record(row)).inputs
                    draft.put(row.key, tuple(_at(file, commits) for file in inputs))


def _at(file: InputFile, commits: Mapping[tuple[str, str, str], str]) -> InputFile:
    leaf = file.leaf
    return file._replace(commit=commits[leaf.name, leaf.repo, leaf.branch])


def _repeated(extra: Mapping[bytes, int]) -> Iterator[Edit]:
    for id in sorted(extra):
        yield Row(id, 0, extra[id], NO_DIGEST) if extra[id] > 0 else Removed(id)


def _file(leaf: Leaf, commit: CommitRef, match: Match) -> InputFile:
    path, size, digest, captures = match
    join_on = leaf.join_on and evaluate(leaf.join_on, path, captures)
    group_by = leaf.group_by and evaluate(leaf.group_by, path, captures)
    return InputFile(leaf, commit.id, path, size, digest, join_on, group_by)
