"""Plans told from what has changed, held against plans of everything: job after job, over any tree and any edits."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.jobs.domain.datums import DatumState, Leaf
from services.jobs.domain.errors import CommitGone
from services.jobs.domain.jobs import Stats
from services.jobs.domain.planning.inputs import Input, Union, leaves
from services.jobs.domain.planning.plans import SetRule
from services.jobs.domain.records import Planned, Record, read_planned, record_line
from services.jobs.domain.specs import PipelineSpec
from services.jobs.operations.planning.drafts import Part, Plan
from services.jobs.operations.planning.planner import Planner
from services.jobs.operations.running.bases import Base
from services.jobs.peers.pfs import CommitRef, Match
from services.jobs.storage.objects import Indexes, read_directory, write_records
from services.kit.objects.local import LocalObjects
from services.kit.sortedmap.change import apply
from services.kit.sortedmap.rows import EMPTY
from tests.unit.jobs.trees import ALL, LEAVES, Contents, any_trees, capture, contents, matching

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
    return PipelineSpec("p", "n", 1, "", "master", tree, salt, 1, sets, None, every_job, True, False, "", b"")


@dataclass
class Pipeline:
    """Jobs one after another, each planned in both ways."""

    folder: Path
    pfs: Held = field(default_factory=Held)
    base: Base = field(default_factory=lambda: Base(EMPTY))

    def __post_init__(self) -> None:
        self.indexes = Indexes.over(LocalObjects(self.folder / "store"))
        self.scratch = self.folder / "scratch"
        self.scratch.mkdir(exist_ok=True)

    def plan(self, spec: PipelineSpec, held: Contents, base: Base | None = None) -> Plan:
        assert spec.tree is not None
        id = f"c{len(self.pfs.commits)}"
        self.pfs.commits[id] = held
        return self.again(spec, id, base)

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

    def finish(self, plan: Plan, states: Iterator[DatumState]) -> None:
        """Run what the plan says: it is the next base."""
        records = [
            Record(one.id, one.hash, one.inputs, "j", next(states), "", Stats(), (f"/{one.id}",))
            for one in self.lines(plan)
        ]
        entries = [(bytes.fromhex(one.id), bytes.fromhex(one.hash), one.state, record_line(one)) for one in records]
        name = write_records(self.indexes.objects, self.indexes.fresh(), entries)
        sink = self.indexes.sink()
        root = apply(self.indexes.reader, plan.root, sorted(read_directory(self.indexes.objects, name)), sink)
        sink.flush()
        assert root.rows == plan.total
        recovered = any(one.state is RECOVERED for one in records)
        self.base = Base(root, 1, origin=plan.origin, recovered_in=(name,) if recovered else ())


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path)


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


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(any_trees, st.lists(contents, min_size=1, max_size=4), st.sets(st.integers(0, 20)), st.booleans())
def test_a_plan_told_from_changes_is_the_plan_of_everything(
    tree: Input, history: Sequence[Contents], recovered: set[int], every_job: bool
) -> None:
    number = iter(range(10_000))
    states = iter(lambda: RECOVERED if next(number) in recovered else SUCCESS, None)
    with TemporaryDirectory() as folder:
        pipeline = Pipeline(Path(folder))
        for held in history:
            spec = spec_of(tree, every_job=every_job)
            told = pipeline.plan(spec, held)
            full = pipeline.again(spec, f"c{len(pipeline.pfs.commits) - 1}", replace(pipeline.base, origin=None))
            assert said(pipeline, told) == said(pipeline, full)
            pipeline.finish(told, states)


def first(pipeline: Pipeline, spec: PipelineSpec) -> None:
    pipeline.finish(pipeline.plan(spec, {repo: {"/a": 1, "/b": 1} for repo in "uvwx"}), iter([SUCCESS] * 99))
    pipeline.pfs.globbed.clear()


NEXT = {"u": {"/a": 2, "/b": 1}, **{repo: {"/a": 1, "/b": 1} for repo in "vwx"}}


def test_what_has_not_changed_is_not_asked_for(pipeline: Pipeline) -> None:
    spec = spec_of(Union(LEAVES))
    first(pipeline, spec)
    plan = pipeline.plan(spec, NEXT)
    assert (plan.total, plan.to_run, pipeline.pfs.globbed) == (8, 1, [])


@pytest.mark.parametrize(
    "other", [spec_of(LEAVES[0], "other salt"), spec_of(replace(LEAVES[0], glob="/[a]")), spec_of(Union(LEAVES))]
)
def test_another_salt_or_tree_is_planned_in_full(pipeline: Pipeline, other: PipelineSpec) -> None:
    first(pipeline, spec_of(LEAVES[0]))
    plan = pipeline.plan(other, NEXT)
    assert pipeline.pfs.globbed
    assert plan.origin is not None
    assert plan.origin.tree != pipeline.base.origin.tree  # type: ignore[union-attr]


def test_without_the_old_commit_it_is_planned_in_full(pipeline: Pipeline) -> None:
    first(pipeline, spec_of(LEAVES[0]))
    pipeline.pfs.commits = {"unused": {}, "other": {}}
    plan = pipeline.plan(spec_of(LEAVES[0]), NEXT)
    assert (plan.total, plan.to_run, pipeline.pfs.globbed) == (2, 1, [ALL])
