"""Which commits a change opens downstream, and which shapes a DAG of branches may have.

Commits downstream are opened when a commit starts, not when it finishes; they carry the same id.
The cost follows what can be reached from the change, never the number of branches there are.
Elsewhere: when this runs (change.py).
"""

from collections.abc import Callable, Iterable, Sequence

from services.pfs.domain.commits import Branch, BranchNumber, CommitNumber
from services.pfs.domain.errors import TwoBranchesInDag
from services.pfs.domain.keys import SPEC, RepoKey
from services.pfs.domain.walks import closure, in_order
from services.pfs.storage.branches import BranchStore, Edges


def check_shape(branches: BranchStore, start: BranchNumber) -> None:
    """Two branches of one repo must not hang together. Raises TwoBranchesInDag."""
    seen = {start}
    frontier = [start]
    while frontier:
        around = [branches.upstream(frontier), branches.downstream(frontier)]
        frontier = [
            number
            for edges in around
            for numbers in edges.values()
            for number in numbers
            if number not in seen and not seen.add(number)  # type: ignore[func-returns-value]  # add says nothing
        ]
    taken: dict[RepoKey, BranchNumber] = {}
    for branch in branches.many(sorted(seen)).values():
        if taken.setdefault(branch.key.repo, branch.number) != branch.number:
            raise TwoBranchesInDag(branch.key.repo)


def downstream_of(branches: BranchStore, moved: Iterable[BranchNumber]) -> list[tuple[Branch, list[Branch]]]:
    """Branches that need a commit because others moved, each with those that it directly derives from and after them.

    A spout's output derives from its spec alone and is left to the spout.
    """
    targets: dict[BranchNumber, None] = {}
    for start in moved:
        reached = closure(start, lambda some: branches.downstream(some, propagating=True))
        targets.update(dict.fromkeys(reached))
    if not targets:
        return []
    above = branches.upstream(targets)
    known = branches.many({*targets, *(number for numbers in above.values() for number in numbers)})
    ordered = in_order(list(targets), lambda number: above.get(number, ()))
    found = [(known[number], [known[up] for up in above.get(number, ())]) for number in ordered]
    return [(branch, upstream) for branch, upstream in found if not _spout([up.key.repo for up in upstream])]


def provenance_of(branches: BranchStore, branch: BranchNumber) -> list[CommitNumber]:
    """The heads of what a branch directly derives from, in order."""
    above = branches.upstream([branch]).get(branch, [])
    known = branches.many(above)
    return [head for number in above if (head := known[number].head) is not None]


def provenance_closure(branches: BranchStore, branch: BranchNumber) -> list[BranchNumber]:
    """Everything a branch derives from, nearest first."""
    return closure(branch, branches.upstream)


def cached(fetch: Callable[[Iterable[BranchNumber]], Edges]) -> Callable[[Iterable[BranchNumber]], Edges]:
    """Ask for the edges of each branch once."""
    kept: Edges = {}

    def look(numbers: Iterable[BranchNumber]) -> Edges:
        wanted = list(numbers)
        if missing := [number for number in wanted if number not in kept]:
            found = fetch(missing)
            kept.update({number: found.get(number, []) for number in missing})
        return {number: kept[number] for number in wanted}

    return look


def _spout(upstream: Sequence[RepoKey]) -> bool:
    return len(upstream) == 1 and upstream[0].type == SPEC
