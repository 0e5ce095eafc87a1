"""Everything that branches or commits derive from, or that derives from them, nearest first."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from services.pfs.domain.commits import BranchView, CommitView
from services.pfs.domain.keys import BranchKey, CommitRef
from services.pfs.domain.walks import closure
from services.pfs.operations.dag.resolve import find_branch, pick_commit
from services.pfs.operations.refs.views import branch_views, commit_views
from services.pfs.storage.branches import BranchStore
from services.pfs.storage.commits import CommitStore

MOST, DEEPEST = 10_000, 1_000


@dataclass(frozen=True, slots=True)
class Limits:
    """Of the walk from one start: how many results, and how many links away."""

    most: int = MOST
    depth: int = DEEPEST


def walk_branches(tx: Session, starts: Sequence[BranchKey], limits: Limits, *, down: bool) -> list[BranchView]:
    """Results of the starts one after the other; one may come twice. Raises BranchRowNotFound."""
    store, found = BranchStore(tx), list[BranchView]()
    edges = store.downstream if down else store.upstream
    for key in starts:
        numbers = closure(find_branch(tx, key).number, edges, most=limits.most, depth=limits.depth)
        known = store.many(numbers)
        found.extend(branch_views(tx, [known[number] for number in numbers]))
    return found


def walk_commits(tx: Session, starts: Sequence[CommitRef], limits: Limits, *, down: bool) -> list[CommitView]:
    """Results of the starts one after the other; one may come twice. Raises RepoNotFound, CommitNotFound."""
    store, found = CommitStore(tx), list[CommitView]()
    edges = store.downstream if down else store.upstream
    for ref in starts:
        numbers = closure(pick_commit(tx, ref).number, edges, most=limits.most, depth=limits.depth)
        known = store.many(numbers)
        found.extend(commit_views(tx, [known[number] for number in numbers]))
    return found
