"""Plans told from what has changed, held against plans of everything: job after job, over any tree and any edits."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.jobs.domain.planning.inputs import Input, Union
from services.jobs.domain.specs import PipelineSpec
from tests.unit.jobs.pipelines import RECOVERED, SUCCESS, Pipeline, said, spec_of
from tests.unit.jobs.planning.trees import ALL, LEAVES, Contents, any_trees, contents


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path)


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
