"""What datums an input tree gives."""

import pytest

from services.jobs.domain.datums import Datum, InputFile, Leaf
from services.jobs.domain.planning.inputs import Cross, Group, Input, Join, Union, datums, leaves
from services.jobs.domain.planning.templates import evaluate

FILES = {
    "a": {"/1": "x", "/2": "y", "/3": "y"},
    "b": {"/4": "x", "/5": "z", "/6": "y"},
    "c": {"/7": "x"},
    "none": {},
}


def leaf(name: str, *, outer: bool = False) -> Leaf:
    return Leaf(name, "default", name, "master", "/*", join_on="$1", outer_join=outer)


def files_of(one: Leaf) -> list[InputFile]:
    """Files whose join and group keys are the values of FILES."""
    return [InputFile(one, "c", path, 1, b"", key, key) for path, key in FILES[one.name].items()]


def given(tree: Input) -> list[str]:
    return ["".join(file.path[1:] for file in datum) for datum in datums(tree, files_of)]


A, B, C, NONE = leaf("a"), leaf("b"), leaf("c"), leaf("none")


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        (A, ["1", "2", "3"]),
        (NONE, []),
        (Cross((A, C)), ["17", "27", "37"]),
        (Cross((C, A)), ["71", "72", "73"]),
        (Cross((A, NONE)), []),
        (Cross((NONE, A)), []),
        (Union((A, C, NONE)), ["1", "2", "3", "7"]),
        (Union((Cross((A, C)), C)), ["17", "27", "37", "7"]),
        (Join((A, B)), ["14", "26", "36"]),
        (Join((A, B, C)), ["147"]),
        (Join((A, leaf("b", outer=True))), ["14", "26", "36", "5"]),
        (Join((leaf("a", outer=True), leaf("b", outer=True), C)), ["147", "26", "36", "5"]),
        (Join((A, leaf("none", outer=True))), []),
        (Join((leaf("a", outer=True), NONE)), ["1", "2", "3"]),
        (Join((Union((A, C)), B)), ["14", "74", "26", "36"]),
        (Cross((Join((A, C)), C)), ["177"]),
    ],
)
def test_combinations(tree: Input, expected: list[str]) -> None:
    assert given(tree) == expected


def test_a_group_has_one_datum_a_key_child_by_child() -> None:
    found = given(Group((A, B, C)))
    assert [sorted(one) for one in found] == [["1", "4", "7"], ["2", "3", "6"], ["5"]]
    assert found[0] == "147"
    assert found[1].index("6") == 2


def test_a_group_takes_nested_inputs_one_by_one() -> None:
    assert [set(one) for one in given(Group((Cross((C, B)),)))] == [{"7", "4"}, {"6"}, {"5"}]


def test_leaves_are_found_from_left_to_right() -> None:
    assert [one.name for one in leaves(Cross((A, Union((B, Join((C, NONE)))))))] == ["a", "b", "c", "none"]


def test_a_cross_does_not_keep_its_first_child() -> None:
    asked: list[str] = []

    def counted(one: Leaf) -> list[InputFile]:
        asked.append(one.name)
        return files_of(one)

    found: list[Datum] = list(datums(Cross((A, B)), counted))
    assert len(found) == 9
    assert asked == ["b", "a"]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("$1", "cat"),
        ("${2}-$1", "7-cat"),
        ("$0", "/cat-7.png"),
        ("a$$1", "a$1"),
        ("$9", ""),
        ("$", "$"),
        ("$x", "$x"),
        ("${x}", "${x}"),
        ("plain", "plain"),
        ("", ""),
        ("$10", ""),
    ],
)
def test_templates(template: str, expected: str) -> None:
    assert evaluate(template, "/cat-7.png", ["cat", "7"]) == expected


def test_the_path_of_a_directory_has_no_slash_behind() -> None:
    assert evaluate("$0", "/cats/", []) == "/cats"
