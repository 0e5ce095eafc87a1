"""Plans told from what has changed, held against plans of everything: job after job, over any tree and any edits."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.jobs.domain.planning.inputs import Cross, Input, Union
from services.jobs.domain.specs import PipelineSpec
from tests.unit.jobs.pipelines import RECOVERED, SUCCESS, Pipeline, said, spec_of
from tests.unit.jobs.planning.trees import ALL, FEWER, LEAVES, SOME, Step, any_trees, steps


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(any_trees, any_trees, st.lists(steps, min_size=1, max_size=5), st.sets(st.integers(0, 20)))
def test_a_plan_told_from_changes_is_the_plan_of_everything(
    tree: Input, other: Input, history: Sequence[Step], recovered: set[int]
) -> None:
    """Whatever became of the jobs and commits before."""
    number = count()
    states = iter(lambda: RECOVERED if next(number) in recovered else SUCCESS, None)
    with TemporaryDirectory() as folder:
        pipeline = Pipeline(Path(folder))
        for step in history:
            spec = spec_of(other if step.other else tree, step.salt, every_job=step.every_job)
            id = pipeline.commit(step.contents)
            pipeline.forget(step.forgotten, id)
            told = pipeline.again(spec, id)
            full = pipeline.again(spec, id, replace(pipeline.base, origin=None))
            assert said(pipeline, told) == said(pipeline, full)
            if step.ends_well:
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


def test_of_a_cross_only_what_is_combined_with_a_change_is_listed(pipeline: Pipeline) -> None:
    spec = spec_of(Cross((LEAVES[0], FEWER[1])))
    first(pipeline, spec)
    plan = pipeline.plan(spec, NEXT)
    assert (plan.total, plan.to_run, pipeline.pfs.globbed) == (2, 1, [SOME])


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
