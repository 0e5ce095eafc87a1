"""Jobs of a pipeline without processes: their plans, and what comes of them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count, takewhile
from pathlib import Path

from services.jobs.domain.datums import DatumState, Leaf
from services.jobs.domain.errors import CommitGone
from services.jobs.domain.jobs import Stats
from services.jobs.domain.planning.inputs import Input, leaves
from services.jobs.domain.planning.plans import SetRule
from services.jobs.domain.records import Ended, Planned, planned_line, read_planned, record_line
from services.jobs.domain.specs import PipelineSpec
from services.jobs.operations.planning.drafts import Part, Plan
from services.jobs.operations.planning.planner import Planner
from services.jobs.operations.running.bases import Base
from services.jobs.peers.pfs import CommitRef, Match
from services.jobs.storage.objects import Indexes, read_directory, write_records
from services.kit.objects.local import LocalObjects
from services.kit.sortedmap.change import apply
from services.kit.sortedmap.rows import EMPTY
from tests.unit.jobs.planning.trees import Contents, capture, matching

MADE = datetime(2026, 1, 1, tzinfo=UTC)
RECOVERED, SUCCESS = DatumState.RECOVERED, DatumState.SUCCESS


@dataclass
class Held:
    """Repos whose commits are kept here. globbed: patterns that were asked for in full."""

    commits: dict[str, Contents] = field(default_factory=dict)
    globbed: list[str] = field(default_factory=list)

    def _matches(self, ref: CommitRef, pattern: str) -> dict[str, Match]:
        leaf, held = Leaf(ref.repo, "", ref.repo, "", pattern), self.commits[ref.id]
        return {
            path: Match(path, held[ref.repo][path], bytes([held[ref.repo][path]]) * 32, (capture(path),))
            for path in matching(leaf, held)
        }

    async def glob(self, ref: CommitRef, pattern: str) -> AsyncIterator[list[Match]]:
        self.globbed.append(pattern)
        yield list(self._matches(ref, pattern).values())

    async def diff(
        self, new: CommitRef, old: CommitRef, pattern: str
    ) -> AsyncIterator[list[tuple[Match | None, Match | None]]]:
        if old.id not in self.commits:
            raise CommitGone(old.id)
        was, now = self._matches(old, pattern), self._matches(new, pattern)
        pairs = [(was.get(path), now.get(path)) for path in sorted(was.keys() | now.keys())]
        yield [pair for pair in pairs if pair[0] != pair[1]]


def spec_of(tree: Input, salt: str = "", *, every_job: bool = False) -> PipelineSpec:
    sets = SetRule(number=2)
    return PipelineSpec("p", "n", MADE, 1, "", "master", tree, salt, 1, sets, None, every_job, True, False, "", b"")


@dataclass
class Pipeline:
    """Jobs one after another, each planned in both ways."""

    folder: Path
    pfs: Held = field(default_factory=Held)
    base: Base = field(default_factory=lambda: Base(EMPTY))
    _numbers: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        self.indexes = Indexes.over(LocalObjects(self.folder / "store"))
        self.scratch = self.folder / "scratch"
        self.scratch.mkdir(exist_ok=True)

    def plan(self, spec: PipelineSpec, held: Contents, base: Base | None = None, part: Part | None = None) -> Plan:
        return self.again(spec, self.commit(held), base, part)

    def commit(self, held: Contents) -> str:
        """Inputs of the next job; their id."""
        id = f"c{next(self._numbers)}"
        self.pfs.commits[id] = held
        return id

    def forget(self, most: int, before: str) -> None:
        """Squash the oldest commits before one."""
        for id in [*takewhile(before.__ne__, self.pfs.commits)][:most]:
            del self.pfs.commits[id]

    def again(self, spec: PipelineSpec, id: str, base: Base | None = None, part: Part | None = None) -> Plan:
        """Of a commit that is there already."""
        assert spec.tree is not None
        commits = {leaf: CommitRef("default", leaf.repo, "user", id) for leaf in leaves(spec.tree)}
        planner = Planner(self.pfs, self.indexes, self.scratch)
        return asyncio.run(planner.plan(spec, commits, self.base if base is None else base, part))

    def lines(self, plan: Plan) -> list[Planned]:
        if not plan.key:
            return []
        return list(map(read_planned, self.indexes.objects.get(plan.key).splitlines()))

    def run(self, plan: Plan, states: Iterator[DatumState]) -> str:
        """Run what the plan says; the name of the records."""
        entries = [
            _entry(one, Ended(one.id, "j", next(states), "", Stats(), (f"/{one.id}",))) for one in self.lines(plan)
        ]
        return write_records(self.indexes.objects, self.indexes.fresh(), entries)

    def finish(self, plan: Plan, states: Iterator[DatumState], *before: str) -> None:
        """Run what the plan says: it is the next base. before: records of what the job has run already."""
        name = self.run(plan, states)
        sink = self.indexes.sink()
        rows = sorted(row for part in (*before, name) for row in read_directory(self.indexes.objects, part))
        root = apply(self.indexes.reader, plan.root, rows, sink)
        sink.flush()
        assert root.rows == plan.total
        recovered = any(row.kind == RECOVERED for row in rows)
        self.base = Base(root, 1, origin=plan.origin, recovered_in=(*before, name) if recovered else ())


def said(pipeline: Pipeline, plan: Plan) -> dict[str, object]:
    """All that a plan says, but the order in which things run, and which of several leaves gave a file."""
    lines = pipeline.lines(plan)
    assert sum(count for _, _, count in plan.ranges) == plan.to_run == len(lines)
    files = {
        one.id: [(file.leaf.name, file.commit, file.path, file.size_bytes, file.digest) for file in one.inputs]
        for one in lines
    }
    return {
        "runs": sorted((one.id, one.hash, files[one.id]) for one in lines),
        "counts": (plan.total, plan.skipped),
        "kept": plan.root.id,
        "removed": [(row.key, row.digest) for row in plan.removed],
        "origin": plan.origin and (plan.origin.tree, plan.origin.commits, [root.id for root in plan.origin.roots]),
    }


def _entry(one: Planned, ended: Ended) -> tuple[bytes, bytes, DatumState, bytes]:
    id, hash = bytes.fromhex(one.id), bytes.fromhex(one.hash)
    return id, hash, ended.state, record_line(planned_line(id, hash, one.inputs), ended)
