"""Input trees in a spec: triggers, crons, meta repos, what they read, and every mistake at once."""

from datetime import UTC, datetime
from typing import Any

import pytest

from services.pps.domain.errors import BadSpec
from services.pps.domain.names import PipelineKey
from services.pps.domain.spec import input_rules, inputs
from services.pps.domain.spec.inputs import BranchRead

KEY = PipelineKey("default", "edges")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def leaf(**fields: Any) -> dict[str, Any]:
    return {"pfs": {"repo": "images", "glob": "/*", **fields}}


def cron(**fields: Any) -> dict[str, Any]:
    return {"cron": {"name": "tick", "spec": "@every 1m", **fields}}


def test_branches_with_a_trigger_are_numbered_by_repo_in_visit_order() -> None:
    follow = {"size": "1K"}
    tree = {
        "cross": [
            leaf(name="a", trigger=follow),
            leaf(name="b", repo="other", trigger=follow),
            leaf(name="c", trigger={"branch": "dev", "commits": "2"}),
            leaf(name="d", branch="own", trigger={"branch": "dev"}),
        ]
    }
    done = inputs.with_defaults(tree, KEY)
    found = [(one["repo"], one["branch"], one["trigger"]["branch"]) for one in inputs.leaves(done)]
    assert found == [
        ("images", "edges-trigger-1", "master"),
        ("other", "edges-trigger-1", "master"),
        ("images", "edges-trigger-2", "dev"),
        ("images", "own", "dev"),
    ]
    assert inputs.with_defaults(tree, KEY) == done
    input_rules.check(done, KEY)


def test_a_cron_has_a_repo_and_keeps_its_start_over_updates() -> None:
    tree = {"cross": [leaf(), cron(), cron(name="b", repo="ticks", start="2020-01-01T00:00:00Z")]}
    done = inputs.with_defaults(tree, KEY)
    input_rules.check(done, KEY)
    first = inputs.with_starts(done, before=None, now=NOW)
    assert first is not None
    assert [(one["project"], one["repo"], one["start"]) for one in inputs.crons(first)] == [
        ("default", "edges_tick", "2026-01-02T03:04:05.000000Z"),
        ("default", "ticks", "2020-01-01T00:00:00Z"),
    ]
    assert inputs.with_starts(done, before=first, now=NOW.replace(year=2027)) == first
    moved = inputs.with_defaults(cron(start="2026-06-01T00:00:00Z"), KEY)
    assert inputs.with_starts(moved, before=first, now=NOW) == moved
    other = inputs.with_starts(
        inputs.with_defaults(cron(spec="@every 1s"), KEY), before=first, now=NOW.replace(year=2027)
    )
    assert other is not None
    assert other["cron"]["start"] == "2027-01-02T03:04:05.000000Z"  # a year of seconds is not made up for
    assert inputs.branches(done)[1:] == [("default", "edges_tick", "master"), ("default", "ticks", "master")]


@pytest.mark.parametrize("start", ["1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", ""])
def test_a_time_that_nobody_gave_is_no_start(start: str) -> None:
    """Else a minute's cron would make up for all minutes since."""
    assert inputs.with_defaults(cron(start=start), KEY) == inputs.with_defaults(cron(), KEY)


def test_what_is_read_and_what_starts_jobs() -> None:
    never = {"propagationSpec": {"never": True}}
    tree = {
        "cross": [
            leaf(name="a", **never),
            leaf(name="b", repo="up", repoType="META", **never),
            leaf(name="c", repo="both", **never),
            leaf(name="d", repo="both"),
            cron(),
        ]
    }
    done = inputs.with_defaults(tree, KEY)
    input_rules.check(done, KEY)
    assert inputs.reads(done) == [
        BranchRead("default", "edges_tick", "master"),  # it has no name to be sorted by
        BranchRead("default", "images", "master", never=True),
        BranchRead("default", "up", "master", never=True),
        BranchRead("default", "both", "master"),
    ]
    assert inputs.reads(None) == []


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        (cron(name=""), "input must specify a name"),
        (cron(name="out"), "input cannot be named out"),
        (cron(spec=""), "error parsing cron-spec: Empty spec string"),
        (cron(spec="@reboot"), "error parsing cron-spec: unrecognized descriptor: @reboot"),
        (cron(spec="0 * * * * *"), "error parsing cron-spec: expected exactly 5 fields, found 6: '0 * * * * *'"),
        (cron(commit="x"), "input cannot come from a commit; use a branch with head pointing to the commit"),
        ({"cross": [cron(), leaf(name="tick")]}, 'name "tick" was used more than once'),
        (leaf(repoType="spec"), 'input.pfs.repoType must be one of user, meta, not "spec"'),
        ({"join": [leaf(s3=True, glob="/"), leaf(name="b")]}, "S3 inputs in join expressions are not supported"),
        ({"group": [leaf(s3=True, glob="/")]}, "S3 inputs in group expressions are not supported"),
        ({"union": [{"cross": [leaf(s3=True, glob="/")]}]}, "S3 inputs in union expressions are not supported"),
        (leaf(s3=True), 'inputs that set "s3" to true must also set "glob" to "/"'),
        (leaf(s3=True, glob="/", lazy=True), 'input cannot specify both "s3" and "lazy": '),
        (leaf(s3=True, glob="/", emptyFiles=True), 'input cannot specify both "s3" and "emptyFiles": '),
        (
            {"cross": [leaf(glob=""), {"join": [{}, leaf(name="images")]}, cron(spec="x")]},
            "input must specify a glob\nno input set\nerror parsing cron-spec: expected exactly 5 fields, "
            "found 1: 'x'\n"
            'name "images" was used more than once',
        ),
    ],
)
def test_mistakes(tree: dict[str, Any], text: str) -> None:
    with pytest.raises(BadSpec) as caught:
        input_rules.check(inputs.with_defaults(tree, KEY), KEY)
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize("spec", ["* * * * *", "@yearly", "@every 90s", " @never ", "@midnight"])
def test_schedules(spec: str) -> None:
    input_rules.check(inputs.with_defaults(cron(spec=spec), KEY), KEY)


def test_an_s3_input_may_be_crossed() -> None:
    tree = {"cross": [leaf(s3=True, glob="/"), leaf(repo="b", lazy=True, emptyFiles=True)]}
    input_rules.check(inputs.with_defaults(tree, KEY), KEY)
