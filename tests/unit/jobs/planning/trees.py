"""Input trees, and contents of the repos that they are over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

from hypothesis import strategies as st

from services.jobs.domain.datums import Leaf
from services.jobs.domain.planning.changes import is_comparable
from services.jobs.domain.planning.inputs import Cross, Group, Input, Join, Union

Contents = Mapping[str, Mapping[str, int]]
"""Of each repo, what its files hold, by path."""
REPOS = "uvwx"
PATHS = ("/a", "/a/", "/b", "/c", "/d")  # what was a file may be a directory another time
SOME, ALL = "/[ac]", "/*"

LEAVES = tuple(Leaf(repo, "default", repo, "master", ALL, join_on="$1") for repo in REPOS)
OUTER = tuple(Leaf(repo, "default", repo, "master", ALL, join_on="$1", outer_join=True) for repo in REPOS)
FEWER = tuple(Leaf(repo, "default", repo, "master", SOME, join_on="$1", outer_join=True) for repo in REPOS)
GROUPED = tuple(Leaf(repo, "default", repo, "master", ALL, group_by="$1") for repo in REPOS)
GROUPED_FEWER = tuple(Leaf(repo, "default", repo, "master", SOME, group_by="$1") for repo in REPOS)
GROUPED_REFERENCE = Leaf("g", "default", "v", "master", ALL, group_by="$1", reference=True)
REFERENCE = Leaf("r", "default", "u", "master", ALL, join_on="$1", reference=True)


def matching(leaf: Leaf, contents: Contents) -> list[str]:
    """The paths that a leaf has, in order."""
    return [path for path in sorted(contents[leaf.repo]) if fnmatch(path, leaf.glob)]


def capture(path: str) -> str:
    """Of `/a` and `/b` the same, of `/c` another, of `/d` nothing."""
    return "low" if path < "/c" else "high" if path < "/d" else ""


contents = st.fixed_dictionaries({repo: st.dictionaries(st.sampled_from(PATHS), st.integers(1, 2)) for repo in REPOS})


def _flat(pool: Sequence[Leaf]) -> st.SearchStrategy[tuple[Input, ...]]:
    """Children of a join or group: leaves, and unions of them."""
    return st.lists(st.sampled_from(pool), min_size=1, max_size=4, unique=True).flatmap(
        lambda some: st.sampled_from([tuple(some), (Union(tuple(some)),), (some[0], Union(tuple(some[1:] or some)))])
    )


_nodes = st.one_of(
    st.sampled_from((*LEAVES, *FEWER, REFERENCE)),
    _flat((*LEAVES, *OUTER, *FEWER, REFERENCE)).map(Join),
    _flat((*GROUPED, *GROUPED_FEWER, GROUPED_REFERENCE)).map(Group),
)
any_trees: st.SearchStrategy[Input] = st.recursive(
    _nodes,
    lambda below: st.one_of(
        st.lists(below, min_size=1, max_size=3).map(lambda some: Union(tuple(some))),
        st.lists(below, min_size=1, max_size=2).map(lambda some: Cross(tuple(some))),
    ),
    max_leaves=4,
)


@dataclass(frozen=True)
class Step:
    """What a job finds: its inputs, its pipeline's version, and what becomes of the jobs and commits before it.

    other: whether it is planned from another tree than most. forgotten: how many of the commits before were squashed.
    """

    contents: Contents
    other: bool
    salt: str
    every_job: bool
    forgotten: int
    ends_well: bool


def _mostly(usual: bool) -> st.SearchStrategy[bool]:
    return st.integers(0, 4).map(lambda drawn: (drawn == 4) is not usual)


steps = st.builds(
    Step,
    contents,
    _mostly(False),
    st.sampled_from(["", "", "", "salt"]),
    _mostly(False),
    st.sampled_from([0, 0, 0, 1, 9]),
    _mostly(True),
)
trees = any_trees.filter(is_comparable)
