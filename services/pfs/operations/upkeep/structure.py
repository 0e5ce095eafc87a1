"""Checking that branches and commits hang together as they must. A sound instance has nothing to say.

Closures of provenance are computed from the edges whenever they are shown, and children from parents, so these cannot
disagree; what is looked at is what is stored. Everything is read in a few queries.
Elsewhere: files without a datum (zombies.py); bytes at rest (operations/storage_check.py).
"""

from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from services.pfs.domain.commits import Branch, BranchNumber, CommitNumber
from services.pfs.domain.keys import SPEC
from services.pfs.domain.walks import closure
from services.pfs.operations.dag.propagate import cached
from services.pfs.storage.branches import BranchStore
from services.pfs.storage.commits import CommitStore
from services.pfs.storage.content.content_tables import LIVE, MOVED, MOVING, PackRow
from services.pfs.storage.tables import BranchEdgeRow, CommitEdgeRow, CommitRow, RepoRow
from services.pfs.storage.triggers import TriggerRow

PREFIX = "consistency error: "
ROWS = 1000  # read at once


def check_structure(tx: Session) -> list[str]:
    """What is wrong, in words."""
    checks = (_branches, _branch_edges, _commits, _commit_edges, _triggers)
    return [PREFIX + trouble for check in checks for trouble in check(tx)]


def _branches(tx: Session) -> Iterator[str]:
    store, commits = BranchStore(tx), CommitStore(tx)
    branches = {branch.number: branch for branch in store.listed()}
    heads = commits.many(branch.head for branch in branches.values() if branch.head is not None)
    above, down = store.upstream(branches), cached(store.downstream)
    never = store.never(branches)
    made_from = commits.upstream(heads)
    for branch in branches.values():
        head = None if branch.head is None else heads.get(branch.head)
        if head is None:
            yield f"head commit of branch {branch.key} could not be found"
            continue
        if head.repo_number != branch.repo_number:
            yield f"head commit {head} of branch {branch.key} is in another repo"
        if head.forgotten:
            yield f"head commit of branch {branch.key} is a forgotten commit"
        if not {branch.number, *closure(branch.number, down)}.isdisjoint(above.get(branch.number, ())):
            yield f"branch {branch.key} is in its own subvenance"
        if branch.updated_at != head.created_at:
            continue  # the head was moved there later: it was made from what its branch derived from then
        for number in _causes(branch, branches, above.get(branch.number, []), never.get(branch.number, [])):
            cause = branches[number]
            if cause.head is not None and cause.head not in made_from.get(head.number, []):
                yield f"parent branch {cause.key} commit is not in direct provenance of head of branch {branch.key}"


def _causes(
    branch: Branch, known: dict[BranchNumber, Branch], above: list[BranchNumber], never: list[BranchNumber]
) -> list[BranchNumber]:
    """Branches whose every new head gives this one a new head."""
    if len(above) == 1 and above[0] in known and known[above[0]].key.repo.type == SPEC:
        return []  # a spout follows its spec by itself
    return [number for number in above if number in known and number not in never]


def _branch_edges(tx: Session) -> Iterator[str]:
    known = {branch.number: branch for branch in BranchStore(tx).listed()}
    for row in tx.scalars(select(BranchEdgeRow)):
        here, there = BranchNumber(row.downstream), BranchNumber(row.upstream)
        for end, other in ((here, there), (there, here)):
            if end not in known:
                name = known[other].key if other in known else other
                yield f"a branch in the provenance or subvenance of {name} could not be found"
        if here in known and there in known and known[here].repo_number == known[there].repo_number:
            yield f"branch {known[here].key} derives from branch {known[there].key} of its own repo"


def _commits(tx: Session) -> Iterator[str]:
    parent, repo = aliased(CommitRow), aliased(RepoRow)
    rows = (
        select(
            CommitRow.number,
            CommitRow.id,
            CommitRow.repo_number,
            CommitRow.parent,
            CommitRow.finishing,
            CommitRow.finished,
            CommitRow.root_pack,
            parent.number.label("above"),
            parent.repo_number.label("home"),
            parent.id.label("above_id"),
            repo.number.label("own"),
            PackRow.state,
        )
        .outerjoin(parent, parent.number == CommitRow.parent)
        .outerjoin(repo, repo.number == CommitRow.repo_number)
        .outerjoin(PackRow, PackRow.name == CommitRow.root_pack)
    )
    for commit in tx.execute(rows).yield_per(ROWS):
        if commit.own is None:
            yield f"repo of commit {commit.id} could not be found"
        if commit.parent is not None and commit.above is None:
            yield f"parent of commit {commit.id} could not be found"
        elif commit.above is not None and (commit.home != commit.repo_number or commit.above >= commit.number):
            pair = f"parent commit {commit.above_id} and child commit {commit.id}"
            yield f"{pair} disagree about their parent/child relationship"
        if commit.finished is not None and commit.finishing is None:
            yield f"commit {commit.id} is finished but was never closed"
        if commit.root_pack is not None and commit.state not in (LIVE, MOVING, MOVED):
            yield f"tree of commit {commit.id} could not be found"


def _commit_edges(tx: Session) -> Iterator[str]:
    below, above = aliased(CommitRow), aliased(CommitRow)
    rows = (
        select(CommitEdgeRow.downstream, CommitEdgeRow.upstream, below.id, above.id)
        .outerjoin(below, below.number == CommitEdgeRow.downstream)
        .outerjoin(above, above.number == CommitEdgeRow.upstream)
    )
    for here, there, id, cause in tx.execute(rows).yield_per(ROWS):
        if id is None or cause is None:
            yield f"a commit in the provenance or subvenance of {id or cause or CommitNumber(here)} could not be found"
        elif here == there:
            yield f"commit {id} is in its own provenance"


def _triggers(tx: Session) -> Iterator[str]:
    known = {branch.number: branch for branch in BranchStore(tx).listed()}
    for row in tx.scalars(select(TriggerRow)):
        target, source = known.get(BranchNumber(row.target)), known.get(BranchNumber(row.source))
        if target is None or source is None:
            yield f"a branch of the trigger of {target and target.key} could not be found"
        elif target.repo_number != source.repo_number:
            yield f"branch {target.key} triggers on branch {source.key} of another repo"
