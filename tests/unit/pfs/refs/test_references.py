"""Names, references by steps, and walks over edges: the parts of PFS that need no database."""

from collections.abc import Iterable, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kit.errors import NotFound, Problem
from services.pfs.domain.ancestry import Ancestry, parse_ancestry
from services.pfs.domain.errors import BadAncestry, RepoNotFound, prefixed
from services.pfs.domain.keys import BranchKey, CommitRef, RepoKey
from services.pfs.domain.names import BadName, check_branch_name, check_name, check_project_name, is_id
from services.pfs.domain.walks import closure, in_order

ID = "0123456789ab4def0123456789abcdef"
IMAGES = RepoKey("default", "images")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("master", Ancestry("master", None, 0)),
        ("master^", Ancestry("master", None, 1)),
        ("master~~~", Ancestry("master", None, 3)),
        ("master^12", Ancestry("master", None, 12)),
        (f"{ID}~2", Ancestry(ID, None, 2)),
        ("master.1", Ancestry("master", 1, 0)),
        ("master.70^12", Ancestry("master", 58, 0)),
        ("master.3~~", Ancestry("master", 1, 0)),
    ],
)
def test_steps_are_read(text: str, wanted: Ancestry) -> None:
    assert parse_ancestry(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "master^~",
        "master^1^",
        "master..",
        "master.x",
        "master.0",
        "master.2^2",
        "a^b",
        "m^\u0663",
        "m~" + "9" * 30,
        "m." + "9" * 5000,
    ],
)
def test_steps_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(BadAncestry):
        parse_ancestry(text)


@given(st.text(alphabet="master.^~012x", max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse_ancestry(text)
    except BadAncestry:
        return
    assert text.startswith(found.base)
    assert found.back >= 0


def test_an_id_wins_over_a_branch_but_for_a_bare_suffix() -> None:
    assert str(CommitRef(IMAGES, ID, "master")) == f"default/images@{ID}"
    assert str(CommitRef(IMAGES, "^2", "master")) == "default/images@master^2"
    assert str(CommitRef(IMAGES, branch="master")) == "default/images@master"


def test_the_type_of_a_users_repo_goes_without_saying() -> None:
    assert str(BranchKey(IMAGES, "master")) == "default/images@master"
    assert str(RepoKey("default", "images", "meta")) == "default/images.meta"
    assert IMAGES.full == "default/images.user"


@pytest.mark.parametrize("name", ["", "a/b", "a.b", "a b", "é", "a:", "a@b", "a^", "a\n"])
def test_names_have_letters_digits_underscores_and_dashes(name: str) -> None:
    with pytest.raises(BadName, match="only alphanumeric characters"):
        check_name(name)


@pytest.mark.parametrize("name", ["_a", "-a", "x" * 52, "a/b", ""])
def test_bad_names_of_projects(name: str) -> None:
    with pytest.raises(BadName, match=r"^invalid project name: "):
        check_project_name(name)


def test_a_project_may_have_51_bytes() -> None:
    check_project_name("x" * 51)
    with pytest.raises(BadName, match="is 1 characters longer than the 51 max"):
        check_project_name("x" * 52)


def test_a_branch_must_not_look_like_an_id() -> None:
    assert is_id(ID)
    assert not is_id(ID.replace("4", "5"))
    check_branch_name(ID[:-1])
    for id in (ID, ID.upper()):
        with pytest.raises(BadName, match="branch name cannot be a UUID V4"):
            check_branch_name(id)


def test_a_prefix_keeps_the_kind_of_a_problem() -> None:
    with pytest.raises(NotFound, match=r"^while looking: repo default/images not found$"), prefixed("while looking: "):
        raise RepoNotFound(IMAGES)
    with pytest.raises(Problem) as caught, prefixed("x: "):
        raise RepoNotFound(IMAGES)
    assert type(caught.value) is RepoNotFound


GRAPHS = st.dictionaries(st.integers(0, 12), st.lists(st.integers(0, 12), max_size=4, unique=True), max_size=13)


class Edges:
    def __init__(self, graph: Mapping[int, Sequence[int]]) -> None:
        self.graph, self.asked = graph, list[int]()

    def __call__(self, numbers: Iterable[int]) -> Mapping[int, Sequence[int]]:
        some = list(numbers)
        self.asked += some
        return {number: self.graph[number] for number in some if number in self.graph}


@given(GRAPHS)
def test_a_closure_has_all_that_can_be_reached_nearest_first(graph: dict[int, list[int]]) -> None:
    far = {0: 0}
    queue = [0]
    for node in queue:
        for other in graph.get(node, ()):
            if other not in far:
                far[other] = far[node] + 1
                queue.append(other)
    edges = Edges(graph)
    found = closure(0, edges)
    assert set(found) == far.keys() - {0}
    assert [far[node] for node in found] == sorted(far[node] for node in found)
    assert len(edges.asked) == len(set(edges.asked))
    assert closure(0, edges, depth=1) == [node for node in found if far[node] == 1]
    assert closure(0, edges, most=2) == found[:2]


@given(st.permutations(range(10)), GRAPHS)
def test_nothing_is_placed_before_its_causes(nodes: list[int], graph: dict[int, list[int]]) -> None:
    causes = {node: [cause for cause in graph.get(node, ()) if cause < node] for node in range(13)}
    ordered = in_order(nodes, lambda node: causes[node])
    assert sorted(ordered) == sorted(nodes)
    for at, node in enumerate(ordered):
        assert all(cause in ordered[:at] for cause in causes[node] if cause in nodes)
