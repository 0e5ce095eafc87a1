"""The two plans of a job whose base still runs, held against the one plan of a job whose base has ended."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.jobs.domain.planning.inputs import Input
from services.jobs.domain.planning.origins import Origin
from services.jobs.domain.specs import PipelineSpec
from services.jobs.operations.planning.drafts import Plan
from services.jobs.operations.planning.phases import but, only_new, with_planned
from services.jobs.operations.planning.sorting import Sorting
from services.jobs.operations.running.bases import Base
from services.jobs.storage.objects import read_directory
from services.kit.sortedmap.tree import get, scan
from tests.unit.jobs.pipelines import RECOVERED, SUCCESS, Pipeline, said, spec_of
from tests.unit.jobs.planning.trees import Contents, Step, any_trees, contents, steps


def expected(pipeline: Pipeline, plans: Sequence[Plan]) -> Base:
    """What is known of a job that runs. plans: its only one, or the first and the rest."""
    stretches = [(plan.key, begin, begin + length) for plan in plans for begin, length, _ in plan.ranges]
    taken_over = Base(plans[-1].root, 1, origin=plans[-1].origin)
    return with_planned(pipeline.indexes, taken_over, stretches, pipeline.scratch)[0]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    any_trees,
    st.lists(st.tuples(contents, st.booleans()), min_size=2, max_size=4),
    st.sets(st.integers(0, 20)),
    st.booleans(),
    st.booleans(),
)
def test_two_plans_say_what_one_says(
    tree: Input, history: Sequence[tuple[Contents, bool]], recovered: set[int], every_job: bool, told: bool
) -> None:
    """However the base ends, and whether its datums are told from changes or looked up one by one."""
    number = count()
    states = iter(lambda: RECOVERED if next(number) in recovered else SUCCESS, None)
    spec = spec_of(tree, every_job=every_job)
    with TemporaryDirectory() as folder:
        pipeline = Pipeline(Path(folder))
        running, earlier = [pipeline.plan(spec, history[0][0])], list[str]()
        for at, (held, base_ends_well) in enumerate(history[1:], 1):
            before, next_base = pipeline.base, expected(pipeline, running)
            reader = pipeline.indexes.reader
            asked = next_base if told else replace(next_base, origin=None)
            first = pipeline.plan(spec, held, asked, only_new(reader, [before.root]))
            new = {bytes.fromhex(one.id) for one in pipeline.lines(first)}
            assert not any(get(reader, root, id) for id in new for root in (next_base.root, before.root))
            if base_ends_well:
                pipeline.finish(running[-1], states, *earlier)
            records = pipeline.run(first, states)
            base = pipeline.base if told else replace(pipeline.base, origin=None)
            with TemporaryFile(dir=pipeline.scratch) as file:
                done = Sorting(file)
                done.add(read_directory(pipeline.indexes.objects, records))
                rest = pipeline.again(spec, f"c{at}", base, but(done))
            one = said(pipeline, pipeline.again(spec, f"c{at}"))
            both = said(pipeline, rest)
            both["runs"] = sorted([*said(pipeline, first)["runs"], *both["runs"]])  # type: ignore[misc]
            assert both == one
            assert (first.total, first.skipped, first.root.rows, len(first.removed)) == (rest.total, 0, rest.total, 0)
            assert not new & {row.key for row in rest.removed}
            assert not new & {row.key for row in scan(reader, rest.root)}
            running, earlier = [first, rest], [records]
            wanted = {row.key for row in scan(reader, first.root)}
            assert wanted == {row.key for row in scan(reader, expected(pipeline, running).root)}, "known before its end"


@dataclass
class Side:
    """A job beside others: what it knows before its base has ended."""

    spec: PipelineSpec
    id: str
    first: Plan
    expected: Base
    records: str = ""


def begun(pipeline: Pipeline, spec: PipelineSpec, id: str, before: Sequence[Side]) -> Side:
    """Make the first plan of a job while those before it run, the one that was planned last of them being its base."""
    older = [pipeline.base.root, *(side.expected.root for side in before[:-1])]
    first = pipeline.again(spec, id, before[-1].expected, only_new(pipeline.indexes.reader, older))
    origin = replace(first.origin or Origin("", ()), wanted=first.root)
    return Side(spec, id, first, Base(first.root, 1, origin=origin))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(any_trees, any_trees, st.lists(steps, min_size=2, max_size=5), st.sets(st.integers(0, 20)))
def test_jobs_that_all_run_side_by_side_do_what_they_do_one_after_another(
    tree: Input, other: Input, history: Sequence[Step], recovered: set[int]
) -> None:
    number = count()
    states = iter(lambda: RECOVERED if next(number) in recovered else SUCCESS, None)
    with TemporaryDirectory() as folder:
        pipeline, sides = Pipeline(Path(folder)), list[Side]()
        for step in history:
            spec, id = spec_of(other if step.other else tree, step.salt), pipeline.commit(step.contents)
            if sides:
                sides.append(begun(pipeline, spec, id, sides))
                sides[-1].records = pipeline.run(sides[-1].first, states)
            else:
                plan = pipeline.again(spec, id)
                sides.append(Side(spec, id, plan, expected(pipeline, [plan])))
        if history[0].ends_well:
            pipeline.finish(sides[0].first, states)
        for step, side in zip(history[1:], sides[1:], strict=True):
            pipeline.forget(step.forgotten, side.id)
            rest = rest_of(pipeline, side)
            one, both = said(pipeline, pipeline.again(side.spec, side.id)), said(pipeline, rest)
            both["runs"] = sorted([*said(pipeline, side.first)["runs"], *both["runs"]])  # type: ignore[misc]
            assert both == one
            new = {bytes.fromhex(line.id) for line in pipeline.lines(side.first)}
            assert not new & {row.key for row in rest.removed}
            if step.ends_well:
                pipeline.finish(rest, states, side.records)


def rest_of(pipeline: Pipeline, side: Side) -> Plan:
    """The second plan, now that the base has ended."""
    with TemporaryFile(dir=pipeline.scratch) as file:
        done = Sorting(file)
        done.add(read_directory(pipeline.indexes.objects, side.records))
        return pipeline.again(side.spec, side.id, part=but(done))
