"""What a spec must be: names, the input tree with its defaults, what is refused by name, how defaults merge."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.pps.domain.errors import BadSpec, NotBuiltYet
from services.pps.domain.names import PipelineKey, ancestry, check_name
from services.pps.domain.pipelines import Pipeline, State, Version, readers_first
from services.pps.domain.spec import input_rules, inputs, specs
from services.pps.domain.spec.merge import BUILT_IN, merged, without_nulls

KEY = PipelineKey("default", "edges")
NAME_RULE = "only alphanumeric characters, underscores, and dashes are allowed"


def leaf(**fields: Any) -> dict[str, Any]:
    return {"pfs": {"repo": "images", "glob": "/*", **fields}}


def spec(**fields: Any) -> dict[str, Any]:
    base = {"transform": {"cmd": ["true"]}, "input": leaf(), **fields}
    return specs.completed(merged(BUILT_IN, base), KEY)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", "request.Pipeline.Name cannot be empty"),
        ("a.b", f"name (a.b) invalid: {NAME_RULE}"),
        ("a b", f"name (a b) invalid: {NAME_RULE}"),
        ("-a", "pipeline names must start with an alphanumeric character"),
        ("_a", "pipeline names must start with an alphanumeric character"),
        ("x" * 52, f'pipeline name "{"x" * 52}" is 1 characters longer than the 51 max'),
    ],
)
def test_bad_names(name: str, text: str) -> None:
    with pytest.raises(BadSpec) as caught:
        check_name(PipelineKey("default", name))
    assert text in str(caught.value)


def test_long_names_fit_together_with_their_project() -> None:
    check_name(PipelineKey("default", "x" * 51))
    with pytest.raises(BadSpec, match="1 characters longer than the 63 max"):
        check_name(PipelineKey("p" * 8, "x" * 51))


@pytest.mark.parametrize(
    ("name", "wanted"), [("a", ("a", 0)), ("a^", ("a", 1)), ("a^^", ("a", 2)), ("a~3", ("a", 3)), ("a^0", ("a", 0))]
)
def test_ancestry(name: str, wanted: tuple[str, int]) -> None:
    assert ancestry(name) == wanted


def test_input_defaults() -> None:
    assert inputs.with_defaults(leaf(glob="*/x/"), KEY) == {
        "pfs": {
            "repo": "images", "name": "images", "project": "default", "repoType": "user", "branch": "master",
            "glob": "/*/x",
        }
    }  # fmt: skip
    assert inputs.with_defaults(leaf(glob="/"), KEY)["pfs"]["glob"] == "/"


def test_an_empty_text_is_like_none() -> None:
    empty = leaf(name="", project="", branch="", repoType="", joinOn="")
    assert inputs.with_defaults(empty, KEY) == inputs.with_defaults(leaf(), KEY)


def test_children_are_sorted_by_the_name_they_were_given() -> None:
    tree = {"cross": [leaf(name="b"), leaf(repo="z"), leaf(name="a"), leaf(repo="y")]}
    done = inputs.with_defaults(tree, KEY)
    assert [child["pfs"]["name"] for child in done["cross"]] == ["z", "y", "a", "b"]


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        ({}, "no input set"),
        ({"cross": []}, "no input set"),
        ({**leaf(), "union": [leaf()]}, "multiple input types set"),
        (leaf(repo=""), "input must specify a repo"),
        (leaf(glob=""), "input must specify a glob"),
        (leaf(name="out"), "input cannot be named out"),
        (leaf(name=".env"), "input cannot be named .env"),
        (leaf(name="a/b"), "input cannot be named a/b"),
        (leaf(name="a=b"), "input cannot be named a=b: = is not allowed"),
        (leaf(name="a*"), "input cannot be named a*: * is not allowed"),
        (leaf(name="ö"), "input cannot be named ö: only printable ASCII characters are allowed"),
        (leaf(name="a\nb"), "only printable ASCII characters are allowed"),
        (leaf(name=".memory"), "input cannot be named .memory"),
        (leaf(name="ö" * 128), "input cannot be named ö"),
        (leaf(repo="out"), "input cannot be named out"),
        (leaf(commit="x"), "input cannot come from a commit; use a branch with head pointing to the commit"),
        (leaf(repo="edges"), 'pipeline "default/edges" cannot be its own input'),
        ({"cross": [leaf(), leaf(repo="b", name="images")]}, 'name "images" was used more than once'),
        ({"cross": [leaf(), {"union": [leaf(), leaf(repo="b", name="c")]}]}, 'name "images" was used more than once'),
    ],
)
def test_bad_inputs(tree: dict[str, Any], text: str) -> None:
    with pytest.raises(BadSpec) as caught:
        input_rules.check(inputs.with_defaults(tree, KEY), KEY)
    assert text in str(caught.value)


def test_what_is_given_empty_gets_its_default() -> None:
    done = spec(outputBranch="", datumTries="0", reprocessSpec="", transform={"cmd": ["true"], "image": ""})
    assert done == spec()


def test_siblings_of_a_union_may_share_a_name() -> None:
    input_rules.check(inputs.with_defaults({"union": [leaf(), leaf(branch="b")]}, KEY), KEY)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"transform": None}, "pipeline must specify a transform"),
        ({"tfJob": {"tfJob": "x"}}, "embedding TFJobs in pipelines is not supported yet"),
        ({"reprocessSpec": "always"}, "ReprocessSpec must be one of 'until_success' or 'every_job'"),
        ({"podSpec": "{"}, "malformed PodSpec"),
        ({"podPatch": "["}, "malformed PodPatch"),
        (
            {"tolerations": [{"key": "a"}, {"operator": "EXISTS"}, {}]},
            "toleration 1/3: cannot omit key/value comparison",
        ),
    ],
)
def test_bad_specs(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(BadSpec) as caught:
        specs.check(spec(**fields), KEY)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"s3Out": True}, "s3Out"), ({"input": leaf(s3=True, glob="/")}, "input.pfs.s3"),
    ],
)  # fmt: skip
def test_what_is_not_built_is_refused_by_name(fields: dict[str, Any], name: str) -> None:
    with pytest.raises(NotBuiltYet) as caught:
        specs.check(spec(**fields), KEY)
    assert name in str(caught.value)
    assert "nothing was changed" in str(caught.value)


def test_merging_follows_rfc_7396() -> None:
    """The examples of the RFC's appendix that tell the rules apart."""
    assert merged({"a": "b"}, {"a": "c"}) == {"a": "c"}
    assert merged({"a": "b", "b": "c"}, {"a": None}) == {"b": "c"}
    assert merged({"a": [{"b": "c"}]}, {"a": [1]}) == {"a": [1]}
    assert merged({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}) == {"a": {"b": "d"}}
    assert merged({"e": None}, {"a": 1}) == {"e": None, "a": 1}
    assert merged({}, {"a": {"bb": {"ccc": None}}}) == {"a": {"bb": {}}}


DOCUMENTS = st.recursive(
    st.none() | st.integers() | st.text("ab", max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=3) | st.lists(inner, max_size=3),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from("abcd"), DOCUMENTS, max_size=4)


@given(OBJECTS, OBJECTS)
def test_the_later_layer_wins_and_merging_it_again_changes_nothing(base: dict[str, Any], patch: dict[str, Any]) -> None:
    once = merged(base, patch)
    assert merged(once, patch) == once
    assert merged(base, {}) == base
    for key, value in patch.items():
        assert (key not in once) if value is None else isinstance(value, dict) or once[key] == value


@given(OBJECTS)
def test_nulls_go_wherever_a_name_has_one(document: dict[str, Any]) -> None:
    done = without_nulls(document)
    assert without_nulls(done) == done
    assert set(done) == {key for key, value in document.items() if value is not None}
    assert without_nulls({"a": [{"b": None, "c": [{"d": None}]}]}) == {"a": [{"c": [{}]}]}


@given(st.permutations(["a", "b", "c", "d"]))
def test_readers_come_before_what_they_read(names: list[str]) -> None:
    reads = {"a": ["images"], "b": ["a"], "c": ["a", "b"], "d": ["images"]}
    order = [one.key.name for one in readers_first(reading(name, reads[name]) for name in names)]
    assert sorted(order) == ["a", "b", "c", "d"]
    assert order.index("c") < order.index("b") < order.index("a")


def reading(name: str, repos: list[str]) -> Pipeline:
    """A pipeline of that name over these repos."""
    key, at = PipelineKey("default", name), datetime(2026, 1, 1, tzinfo=UTC)
    tree = {"cross": [leaf(repo=repo) for repo in repos]}
    version = Version(
        key=key, number=1, token="", spec_commit="", salt="", spec=spec(input=tree), user_json="", effective_json="",
        at=at,
    )  # fmt: skip
    return Pipeline(
        key=key, state=State.RUNNING, reason="", stopped=False, doing="", keep_repo=False, force=False, created_at=at,
        workers_started_at=None, version=version,
    )  # fmt: skip


def test_salt_is_kept_unless_everything_runs_again() -> None:
    assert specs.salt_for({"salt": "mine"}, old=None, reprocess=False, fresh="f") == "mine"
    assert specs.salt_for({}, old=None, reprocess=False, fresh="f") == "f"
    assert specs.salt_for({"salt": "mine"}, old="old", reprocess=False, fresh="f") == "old"
    assert specs.salt_for({"salt": "mine"}, old="old", reprocess=True, fresh="f") == "f"
