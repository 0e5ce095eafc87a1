"""Commits, branches and repos with their neighbours, as clients see them; many at once cost a few queries."""

from collections.abc import Iterable, Sequence

from sqlalchemy.orm import Session

from services.pfs.domain.commits import (
    Branch,
    BranchNumber,
    BranchView,
    Commit,
    CommitNumber,
    CommitView,
    RepoNumber,
)
from services.pfs.domain.keys import BranchKey, CommitRef
from services.pfs.domain.repos import Repo, RepoView
from services.pfs.domain.walks import closure
from services.pfs.operations.dag.propagate import cached
from services.pfs.storage.branches import BranchStore
from services.pfs.storage.commits import CommitStore
from services.pfs.storage.neighbours import Kin, neighbours
from services.pfs.storage.repos import RepoStore
from services.pfs.storage.triggers import TriggerStore


def commit_views(tx: Session, commits: Sequence[Commit], *, sizes: bool = False) -> list[CommitView]:
    """Each commit with parent, children, provenance and subvenance; with estimated sizes when asked."""
    near = neighbours(tx, (commit.number for commit in commits))
    estimates = _estimates(tx, commits) if sizes else {}

    def refs(commit: Commit, kin: Kin) -> tuple[CommitRef, ...]:
        return tuple(near.get((commit.number, kin), ()))

    return [
        CommitView(
            commit=commit,
            parent=next(iter(refs(commit, Kin.PARENT)), None),
            children=refs(commit, Kin.CHILD),
            provenance=refs(commit, Kin.CAUSE),
            subvenance=refs(commit, Kin.EFFECT),
            size_upper_bound=estimates.get(commit.number, 0),
        )
        for commit in commits
    ]


def commit_view(tx: Session, commit: Commit) -> CommitView:
    """One commit with its neighbours."""
    return commit_views(tx, [commit])[0]


def _estimates(tx: Session, commits: Sequence[Commit]) -> dict[CommitNumber, int]:
    """Sizes; while a commit is being written, that of what it is written on, which is 0 until it is FINISHED."""
    bases = CommitStore(tx).bases(commit.number for commit in commits if commit.finished is None)
    return {commit.number: bases.get(commit.number, commit).size_bytes for commit in commits}


def branch_views(tx: Session, branches: Sequence[Branch]) -> list[BranchView]:
    """Each branch with its head, edges and closures."""
    store = BranchStore(tx)
    up, down = cached(store.upstream), cached(store.downstream)
    numbers = [branch.number for branch in branches]
    up(numbers), down(numbers)  # asked for together
    above = {number: closure(number, up) for number in numbers}
    below = {number: closure(number, down) for number in numbers}
    never, triggers = store.never(numbers), TriggerStore(tx).of(numbers)
    near: dict[BranchNumber, None] = {}
    for closures in (above, below):
        near.update((number, None) for some in closures.values() for number in some)
    known = store.many(near)
    heads = CommitStore(tx).many(branch.head for branch in branches if branch.head is not None)

    def keys(some: Iterable[BranchNumber]) -> tuple[BranchKey, ...]:
        return tuple(known[number].key for number in some)

    return [
        BranchView(
            branch=branch,
            head=heads[branch.head].ref if branch.head is not None else CommitRef(branch.key.repo),
            direct_provenance=keys(up([branch.number])[branch.number]),
            provenance=keys(above[branch.number]),
            subvenance=keys(below[branch.number]),
            never=keys(never.get(branch.number, ())),
            trigger=triggers[branch.number].rule if branch.number in triggers else None,
        )
        for branch in branches
    ]


def repo_views(tx: Session, repos: Sequence[Repo]) -> list[RepoView]:
    """Each repo with its branches and size."""
    numbers = [repo.number for repo in repos]
    branches = BranchStore(tx).of_repos(numbers)
    sizes = repo_sizes(tx, numbers)
    return [RepoView(repo, tuple(branches.get(repo.number, ())), sizes.get(repo.number, 0)) for repo in repos]


def repo_sizes(tx: Session, repos: Sequence[RepoNumber]) -> dict[RepoNumber, int]:
    """What the heads of "master" hold; while one is being written, what it is written on."""
    heads, commits = RepoStore(tx).heads(repos), CommitStore(tx)
    bases = commits.bases(head for head, size in heads.values() if size is None)
    return {
        repo: (bases[head].size_bytes if head in bases else 0) if size is None else size
        for repo, (head, size) in heads.items()
    }
