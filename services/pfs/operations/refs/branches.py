"""Branches: making, moving, rewiring, listing and deleting them.

CreateBranch puts a branch into the state asked for: what is absent from the request is removed, but for its head.
Elsewhere: what the change does downstream (dag/change.py, dag/propagate.py).
"""

from collections.abc import Sequence
from typing import TypedDict

from sqlalchemy.orm import Session

from services.pfs.domain.commits import Branch, BranchNumber, BranchView, Commit, Origin
from services.pfs.domain.errors import (
    BranchFollowed,
    BranchInUse,
    CycleOfBranches,
    Malformed,
    PipelineOwned,
    RepoRowNotFound,
    prefixed,
)
from services.pfs.domain.keys import SPEC, BranchKey, CommitRef, RepoKey
from services.pfs.domain.names import check_branch_name
from services.pfs.domain.repos import Repo
from services.pfs.domain.triggers import Trigger
from services.pfs.operations.dag.change import Change
from services.pfs.operations.dag.propagate import provenance_closure
from services.pfs.operations.dag.resolve import find_branch, find_repo, resolve_commit
from services.pfs.operations.refs.views import branch_views
from services.pfs.operations.triggers.rules import check_trigger, has_trigger, set_trigger
from services.pfs.storage.branches import BranchStore
from services.pfs.storage.repos import RepoStore
from services.pfs.storage.triggers import TriggerStore


class Asked(TypedDict):
    """What create_branch is asked for, by the names of its parameters."""

    key: BranchKey | None
    head: CommitRef | None
    provenance: Sequence[BranchKey]
    never: Sequence[BranchKey]
    trigger: Trigger | None


def create_branch(
    change: Change,
    key: BranchKey | None,
    *,
    head: CommitRef | None = None,
    provenance: Sequence[BranchKey] = (),
    never: Sequence[BranchKey] = (),
    trigger: Trigger | None = None,
) -> None:
    """Make or change a branch. never: edges along which commits do not propagate. trigger: None keeps what there is.

    Raises Malformed, BadTrigger, BadName, RepoRowNotFound, PickFailed, CycleOfBranches, RepoChangedTwice, and
    TwoBranchesInDag and HeadForgotten at close.
    """
    key = _checked(change, key, head, provenance, never, trigger)
    repo = _repo(change.tx, key.repo)
    for above in provenance:
        _repo(change.tx, above.repo)
    target = None if head is None else _moved_to(change.tx, head)
    for above in provenance:
        if above.repo == key.repo:
            raise Malformed(f"repo {key.repo} cannot be in the provenance of its own branch")
    branch = change.branches.find(key) or change.branches.add(repo.number, key.name, change.now)
    before = set(change.branches.upstream([branch.number]).get(branch.number, ()))
    upstream = list(dict.fromkeys(_ensured(change, above).number for above in provenance))
    _check_cycles(change, branch, upstream)
    blocked = [found.number for above in never if (found := change.branches.find(above)) is not None]
    change.branches.set_provenance(branch.number, upstream, blocked)
    rewired = set(upstream) != before
    if rewired:
        change.check_dag(branch.number)
    _give_head(change, branch, target, derived=bool(upstream), renew=rewired and bool(upstream))
    if trigger is not None:
        set_trigger(change, branch, trigger)


def _checked(
    change: Change,
    key: BranchKey | None,
    head: CommitRef | None,
    provenance: Sequence[BranchKey],
    never: Sequence[BranchKey],
    trigger: Trigger | None,
) -> BranchKey:
    if key is None:
        raise Malformed("branch cannot be nil")
    if head is not None and head.repo != key.repo:
        raise Malformed("branch and head commit must belong to the same repo")
    if trigger is not None:
        check_trigger(change, key, trigger)
    if provenance and (trigger is not None or _follows(change, key)):
        raise Malformed("a branch cannot have both provenance and a trigger")
    for above in never:
        if above not in provenance:
            raise Malformed(
                f"branch propagation spec must reference provenant branch (referenced branch: {above.full})"
            )
    for each in (key, *provenance):
        check_branch_name(each.name)
    return key


def _follows(change: Change, key: BranchKey) -> bool:
    found = change.branches.find(key)
    return found is not None and has_trigger(change, found.number)


def _repo(tx: Session, key: RepoKey) -> Repo:
    repo = RepoStore(tx).get(key)
    if repo is None:
        raise RepoRowNotFound(key)
    return repo


def _moved_to(tx: Session, head: CommitRef) -> Commit:
    with prefixed(f"unable to inspect {head}: "):
        return resolve_commit(tx, head)


def _ensured(change: Change, key: BranchKey) -> Branch:
    found = change.branches.find(key)
    if found is None:
        repo = _repo(change.tx, key.repo)
        found = change.branches.add(repo.number, key.name, change.now)
        _give_empty_head(change, found)
    return found


def _give_empty_head(change: Change, branch: Branch) -> None:
    # Branches of one repo that are made in one transaction share one empty commit: a repo has one commit a set.
    shared = change.commits.find(branch.repo_number, change.id)
    if shared is not None and shared.finished is not None and shared.parent is None:
        change.branches.set_head(branch.number, shared.number, change.now)
    else:
        change.add_commit(branch, origin=Origin.AUTO, parent=None, finished=True)


def _check_cycles(change: Change, branch: Branch, upstream: Sequence[BranchNumber]) -> None:
    if not change.branches.downstream([branch.number]):
        return
    for number in upstream:
        if branch.number in provenance_closure(change.branches, number):
            above = change.branches.get(number)
            assert above is not None
            raise CycleOfBranches(above.key, branch.key)


def _give_head(change: Change, branch: Branch, target: Commit | None, *, derived: bool, renew: bool) -> None:
    """Move the head when asked; put a new commit on top when the provenance is new or there is no head at all."""
    head = branch.head
    if target is not None and target.number != head:
        head = target.number
        change.branches.set_head(branch.number, head, change.now)
        change.check_heads()
        change.propagate(branch.number)
    if head is None and not derived:
        _give_empty_head(change, branch)
        change.propagate(branch.number)
    elif head is None or renew:
        older = None if head is None else change.commits.get(head)
        own = older is not None and (older.id, older.branch_number) == (change.id, branch.number)
        if older is not None and own and older.finished is None:
            change.derive(older.number, branch.number)  # this change's own commit takes the new edges over
            return
        change.add_commit(branch, origin=Origin.AUTO, parent=older, derived=True)
        change.propagate(branch.number)


def inspect_branch(tx: Session, key: BranchKey) -> BranchView:
    """Raises BranchRowNotFound."""
    return branch_views(tx, [find_branch(tx, key)])[0]


def list_branches(tx: Session, repo: RepoKey | None, *, type: str = "", reverse: bool = False) -> list[BranchView]:
    """Of a repo, of a project (a key without a name) or of everything: newest first.

    Of those that one change made, the ones with fewest inputs come first. reverse: all the other way round.
    type: narrows a project's repos to one type.  Raises RepoNotFound.
    """
    if repo is not None and repo.name:
        found = BranchStore(tx).of_repo(find_repo(tx, repo).number)
        return branch_views(tx, found if reverse else found[::-1])
    views = branch_views(tx, BranchStore(tx).listed(project=repo.project if repo else "", type=type))
    return sorted(views, key=lambda view: (view.branch.created_at, -len(view.provenance)), reverse=not reverse)


def delete_branch(change: Change, key: BranchKey, *, force: bool = False, owner: bool = False) -> None:
    """Delete a branch; its commits stay. owner: the caller keeps pipelines and may delete the branches they write to.

    Raises BranchRowNotFound, BranchInUse, BranchFollowed, PipelineOwned.
    """
    branch = find_branch(change.tx, key)
    if not force and not owner and _made_by_pipeline(change, branch):
        raise PipelineOwned("cannot delete a branch associated with a pipeline - delete the pipeline instead")
    remove_branches(change, [branch], force=force)


def _made_by_pipeline(change: Change, branch: Branch) -> bool:
    """Whether a branch derives from the spec of the pipeline that its repo belongs to: no more jobs without it."""
    repo = branch.key.repo
    above = change.branches.many(change.branches.upstream([branch.number]).get(branch.number, ()))
    return RepoKey(repo.project, repo.name, SPEC) in {each.key.repo for each in above.values()}


def remove_branches(change: Change, branches: Sequence[Branch], *, force: bool) -> None:
    """Delete branches together: only what derives from them, or follows them, outside of the group keeps them.

    Raises BranchInUse, BranchFollowed.
    """
    going, triggers = {branch.number for branch in branches}, TriggerStore(change.tx)
    if not force:
        below = change.branches.downstream(going)
        for branch in branches:
            others = [number for number in below.get(branch.number, ()) if number not in going]
            if others:
                known = change.branches.many(others)
                raise BranchInUse(branch.key.name, [known[number].key for number in others])
            others = [one.target for one in triggers.following(branch.number) if one.target not in going]
            if others:
                known = change.branches.many(others)
                raise BranchFollowed(branch.key.name, [known[number].key for number in others])
    for branch in branches:
        triggers.remove_touching(branch.number)
    for branch in branches:
        change.branches.remove(branch.number)
