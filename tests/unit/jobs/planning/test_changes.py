"""Changes of datums told from changes of files, against the whole tree evaluated before and after."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings

from services.jobs.domain.datums import Datum, InputFile, Leaf
from services.jobs.domain.planning.changes import Changed, come, gone, identity, whole
from services.jobs.domain.planning.inputs import Group, Input, Join, datums, key_of, leaves
from tests.unit.jobs.planning.trees import Contents, capture, contents, matching, trees


def files_of(leaf: Leaf, held: Contents) -> list[InputFile]:
    return [
        InputFile(
            leaf,
            "c",
            path,
            1,
            bytes([held[leaf.repo][path]]),
            capture(path) if leaf.join_on else "",
            capture(path) if leaf.group_by else "",
        )
        for path in matching(leaf, held)
    ]


@dataclass
class Both:
    """Files before and now; those that are not announced by `whole` are not given."""

    before: Contents
    after: Contents
    tree: Input

    def changes(self, leaf: Leaf) -> Sequence[Changed]:
        old = {file.path: file for file in files_of(leaf, self.before)}
        new = {file.path: file for file in files_of(leaf, self.after)}
        pairs = [(old.get(path), new.get(path)) for path in sorted(old.keys() | new.keys())]
        return [Changed(a, b) for a, b in pairs if a is None or b is None or a.digest != b.digest]

    def now(self, leaf: Leaf) -> Sequence[InputFile]:
        assert leaf in whole(self.tree, self)
        return files_of(leaf, self.after)

    def members(self, node: Join | Group, key: str) -> list[list[InputFile]]:
        return [
            [file for leaf in leaves(child) for file in files_of(leaf, self.before) if key_of(node, file) == key]
            for child in node.children
        ]


def counted(found: list[Datum]) -> Counter[object]:
    return Counter(map(identity, found))


def content(found: list[Datum]) -> dict[object, list[bytes]]:
    return {identity(datum): [file.digest for file in datum] for datum in found}


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(trees, contents, contents)
def test_what_comes_and_goes_is_what_two_whole_plans_differ_in(tree: Input, before: Contents, after: Contents) -> None:
    both = Both(before, after, tree)
    old = list(datums(tree, lambda leaf: files_of(leaf, before)))
    new = list(datums(tree, lambda leaf: files_of(leaf, after)))
    came, left = list(come(tree, both)), list(gone(tree, both))
    fresh = [datum for datum, is_new in came if is_new]
    assert not counted(left) - counted(old)
    assert counted(old) - counted(left) + counted(fresh) == counted(new)
    was, now = content(old), content(new)
    assert {identity(datum) for datum, _ in came} >= {key for key in now if now[key] != was.get(key)}
    assert all([file.digest for file in datum] == now[identity(datum)] for datum, _ in came)
