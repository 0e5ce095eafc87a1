"""An input tree that somebody asks about and that is no pipeline's: it gets the defaults of one, and has its rules.

Elsewhere: trees that PPS has looked at (spec_reader.py), whose rules these are.
"""

from collections.abc import Iterator

from datamill.wire import pps_v2_pb2 as pps
from services.jobs.domain.errors import Wrong
from services.jobs.domain.planning.inputs import Input
from services.jobs.servicers.from_wire import DEFAULT_PROJECT
from services.jobs.spec_reader import has_cron, read_tree, sorted_tree

COMBINING = ("cross", "union", "join", "group")
NOT_A_NAME = frozenset({"out", ".env", ".", "..", ".scratch"})
FROM_A_COMMIT = "input cannot come from a commit; use a branch with head pointing to the commit"


def asked_tree(tree: pps.Input, *, no_cron: str) -> Input:
    """The tree with its defaults. no_cron: what is said of one with a cron. Raises Wrong with all mistakes."""
    if has_cron(tree):
        raise Wrong(no_cron)
    if found := list(dict.fromkeys((*_shape(tree), *_repeated(tree)[1]))):
        raise Wrong("\n".join(found))
    return read_tree(sorted_tree(tree), DEFAULT_PROJECT)


def _shape(tree: pps.Input) -> Iterator[str]:
    kinds = [kind for kind in COMBINING if getattr(tree, kind)] + ["pfs"] * tree.HasField("pfs")
    if not kinds:
        yield "no input set"
    elif len(kinds) > 1:
        yield "multiple input types set"
    elif kinds[0] == "pfs":
        yield from _leaf(tree.pfs)
    else:
        for child in getattr(tree, kinds[0]):
            yield from _shape(child)


def _leaf(leaf: pps.PFSInput) -> Iterator[str]:
    name = leaf.name or leaf.repo
    if not leaf.repo:
        yield "input must specify a repo"
    if not name:
        yield "input must specify a name"
    elif name in NOT_A_NAME or "/" in name:
        yield f"input cannot be named {name}"
    if leaf.commit:
        yield FROM_A_COMMIT
    if not leaf.glob:
        yield "input must specify a glob"


def _repeated(tree: pps.Input) -> tuple[set[str], list[str]]:
    """All names in a tree, and what is wrong with them: siblings of a union may share theirs."""
    if tree.HasField("pfs"):
        return {tree.pfs.name or tree.pfs.repo} - {""}, []
    found, wrong = set[str](), list[str]()
    for kind in COMBINING:
        for child in getattr(tree, kind):
            names, below = _repeated(child)
            wrong += below
            if kind != "union":
                wrong += [f'name "{name}" was used more than once' for name in sorted(found & names)]
            found |= names
    return found, wrong
