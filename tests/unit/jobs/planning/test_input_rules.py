"""Datums of random input trees against the rules as they are written down, taken literally."""

from collections.abc import Iterator
from itertools import product

from hypothesis import example, given
from hypothesis import strategies as st

from services.jobs.domain.datums import Datum, InputFile, Leaf, datum_id
from services.jobs.domain.planning.inputs import Cross, Group, Input, Join, Union, datums

Names = tuple[str, ...]
REPOS = "abc"
FILES = st.dictionaries(
    st.sampled_from(REPOS), st.dictionaries(st.sampled_from("12345"), st.sampled_from("xyz"), max_size=4)
)


def leaf(repo: str, outer: bool) -> Leaf:
    return Leaf(f"{repo}{'+' if outer else ''}", "default", repo, "master", "/*", outer_join=outer)


LEAVES = st.builds(leaf, st.sampled_from(REPOS), st.booleans())
TREES = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        lambda kind, children: kind(tuple(children)),
        st.sampled_from([Cross, Union, Join, Group]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=5,
)


class Small:
    """The rules over few files."""

    def __init__(self, files: dict[str, dict[str, str]]) -> None:
        self._files = files

    def files_of(self, one: Leaf) -> list[InputFile]:
        """The key of a file for joins and groups is its content."""
        found = sorted(self._files.get(one.repo, {}).items())
        return [InputFile(one, "c", f"/{name}", 1, b"", key, key) for name, key in found]

    def datums(self, tree: Input) -> Iterator[Datum]:
        if isinstance(tree, Leaf):
            yield from ((file,) for file in self.files_of(tree))
            return
        children = [list(self.datums(child)) for child in tree.children]
        singles = [[file for datum in child for file in datum] for child in children]
        match tree:
            case Cross():
                for combination in product(*children):
                    yield tuple(file for part in combination for file in part)
            case Union():
                yield from (datum for child in children for datum in child)
            case Join():
                for key in {file.join_on for child in singles for file in child}:
                    having = [[file for file in child if file.join_on == key] for child in singles]
                    for files in product(*filter(None, having)):
                        kept = list(files) if all(having) else [file for file in files if file.leaf.outer_join]
                        if kept:
                            yield tuple(kept)
            case Group():
                for key in {file.group_by for child in singles for file in child}:
                    yield tuple(file for child in singles for file in self._members(child, key))

    @staticmethod
    def _members(child: list[InputFile], key: str) -> list[InputFile]:
        """Each once, by the id that it had as a datum of its own."""
        return sorted({file for file in child if file.group_by == key}, key=lambda file: datum_id((file,)))


MIXED = Join((Union((leaf("a", True), leaf("a", False))), leaf("b", True), leaf("c", False)))
TWICE = Group((Cross((leaf("a", False), leaf("b", False))),))


@given(TREES, FILES)
@example(MIXED, {"a": {"1": "x"}, "b": {"2": "x"}})
@example(TWICE, {"a": {"1": "x"}, "b": {"2": "x", "3": "x"}})
def test_datums_are_those_of_the_rules(tree: Input, files: dict[str, dict[str, str]]) -> None:
    small = Small(files)
    found, wanted = list(datums(tree, small.files_of)), list(small.datums(tree))
    assert {datum_id(datum): shown(datum) for datum in found} == {datum_id(datum): shown(datum) for datum in wanted}


@given(TREES, FILES)
def test_the_order_is_the_same_every_time(tree: Input, files: dict[str, dict[str, str]]) -> None:
    small = Small(files)
    assert list(map(shown, datums(tree, small.files_of))) == list(map(shown, datums(tree, small.files_of)))


def shown(datum: Datum) -> Names:
    return tuple(f"{file.leaf.name}:{file.path}" for file in datum)
