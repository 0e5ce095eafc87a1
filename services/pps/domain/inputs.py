"""The input tree of a spec: its defaults, its rules, and the branches it reads.

A tree is the spec's own JSON (camelCase): exactly one of pfs, cross, union, join, group, cron in each object.
Elsewhere: what datums a tree gives (services/jobs).
"""

from collections.abc import Iterator
from typing import Any

from services.pps.domain.errors import BadSpec
from services.pps.domain.names import DEFAULT_PROJECT, PipelineKey

Tree = dict[str, Any]
COMBINING = ("cross", "union", "join", "group")
KINDS = ("pfs", *COMBINING, "cron")
NOT_A_NAME = frozenset({"out", ".env", ".", "..", ".scratch"})  # an input's name is that of a folder below /pfs
LONGEST_FILE_NAME = 255  # bytes


def with_defaults(tree: Tree, key: PipelineKey) -> Tree:
    """The tree as it is stored: children sorted by their given name, then names, branches and globs filled in."""
    return _filled(_sorted(tree), key)


def _sorted(tree: Tree) -> Tree:
    for kind in COMBINING:
        if tree.get(kind):
            return {**tree, kind: sorted((_sorted(child) for child in tree[kind]), key=_given_name)}
    return tree


def _given_name(tree: Tree) -> str:
    """As the user wrote it, of the leftmost leaf."""
    for kind in COMBINING:
        if tree.get(kind):
            return _given_name(tree[kind][0])
    return str(tree.get("pfs", {}).get("name", ""))


def _filled(tree: Tree, key: PipelineKey) -> Tree:
    for kind in COMBINING:
        if tree.get(kind):
            return {**tree, kind: [_filled(child, key) for child in tree[kind]]}
    if "pfs" not in tree:
        return tree
    given = {name: value for name, value in tree["pfs"].items() if value != ""}  # as on the wire, "" is "not given"
    project = key.project or DEFAULT_PROJECT
    leaf = {"project": project, "repoType": "user", "branch": "master", "name": given.get("repo", ""), **given}
    if leaf.get("glob"):
        leaf["glob"] = _clean_glob(leaf["glob"])
    return {**tree, "pfs": {name: value for name, value in leaf.items() if value != ""}}


def _clean_glob(glob: str) -> str:
    return "/" + glob.strip("/") if glob.strip("/") else "/"


def leaves(tree: Tree) -> Iterator[Tree]:
    """The pfs inputs, left to right."""
    if tree.get("pfs"):
        yield tree["pfs"]
    for kind in COMBINING:
        for child in tree.get(kind) or ():
            yield from leaves(child)


def check(tree: Tree, key: PipelineKey) -> None:
    """Raises BadSpec. `tree` has its defaults."""
    _check_shape(tree)
    for leaf in leaves(tree):
        _check_leaf(leaf, key)
    _names(tree)


def _check_shape(tree: Tree) -> None:
    kinds = [kind for kind in KINDS if tree.get(kind)]
    if not kinds:
        raise BadSpec("no input set")
    if len(kinds) > 1:
        raise BadSpec("multiple input types set")
    for child in tree.get(kinds[0], ()) if kinds[0] in COMBINING else ():
        _check_shape(child)


def _check_leaf(leaf: Tree, key: PipelineKey) -> None:
    if not leaf.get("repo"):
        raise BadSpec("input must specify a repo")
    name = leaf.get("name", "")
    if not name:
        raise BadSpec("input must specify a name")
    if name in NOT_A_NAME or "/" in name or len(name.encode()) > LONGEST_FILE_NAME:
        raise BadSpec(f"input cannot be named {name}")
    if not leaf.get("branch"):
        raise BadSpec("input must specify a branch")
    if leaf.get("commit"):
        raise BadSpec("input cannot come from a commit; use a branch with head pointing to the commit")
    if not leaf.get("glob"):
        raise BadSpec("input must specify a glob")
    if PipelineKey(leaf["project"], leaf["repo"]) == key:
        raise BadSpec(f'pipeline "{key}" cannot be its own input: name another repo than "{key.name}"')


def _names(tree: Tree) -> set[str]:
    """All names in a tree; siblings of a union are alternatives and may share theirs."""
    if tree.get("pfs"):
        return {tree["pfs"]["name"]}
    found = set[str]()
    for kind in COMBINING:
        for child in tree.get(kind) or ():
            names = _names(child)
            if kind != "union" and found & names:
                raise BadSpec(f'name "{min(found & names)}" was used more than once')
            found |= names
    return found


def branches(tree: Tree | None) -> list[tuple[str, str, str]]:
    """(project, repo, branch) of every leaf, in visit order, each once."""
    if not tree:
        return []
    return list(dict.fromkeys((leaf["project"], leaf["repo"], leaf["branch"]) for leaf in leaves(tree)))
