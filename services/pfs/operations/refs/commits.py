"""Commits: starting, finishing, and what the finisher reports when a tree is ready.

FinishCommit only closes a commit for writing; FINISHED follows when the finisher has built and checked its tree.
Elsewhere: the finisher (finishing/finish.py); deleting commits (delete_commits.py); listing them (views.py).
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from sqlalchemy.orm import Session

from services.pfs.domain.commits import Branch, BranchNumber, Commit, CommitNumber, Origin, TreeRoot
from services.pfs.domain.errors import (
    CommitFinished,
    CommitForgotten,
    CommitNotClearable,
    Malformed,
    OutputBranch,
    ParentOpen,
    PipelineOwned,
    prefixed,
)
from services.pfs.domain.keys import META, SPEC, USER, BranchKey, CommitRef, RepoKey
from services.pfs.domain.names import check_branch_name
from services.pfs.operations.dag.change import Change
from services.pfs.operations.dag.resolve import find_repo, head_of, resolve_commit
from services.pfs.storage.branches import BranchStore
from services.pfs.storage.repos import RepoStore


def start_commit(
    change: Change, branch: BranchKey | None, *, parent: CommitRef | None = None, description: str = ""
) -> Commit:
    """Open a commit on top of a branch, which is made when it is missing.

    Raises Malformed, BadName, RepoNotFound, PickFailed, ParentOpen, CommitForgotten, OutputBranch, RepoChangedTwice.
    """
    if branch is None or not branch.name:
        raise Malformed("branch must be specified")
    target, derived = branch_to_write(change, branch)
    older = _parent(change, branch.repo, target, parent)
    return start_on(change, target or branch, older, description=description, derived=derived)


def branch_to_write(change: Change, key: BranchKey) -> tuple[Branch | None, bool]:
    """A branch that users commit to, None: still to be made; and whether what they write is derived.

    Raises BadName, RepoNotFound, OutputBranch.
    """
    check_branch_name(key.name)
    branch = change.branches.find(key)
    if branch is None:
        find_repo(change.tx, key.repo)
    return branch, branch is not None and writes_derive(change.tx, branch)


def writes_derive(tx: Session, branch: Branch) -> bool:
    """Whether what users write to a branch is made from its provenance. Raises OutputBranch when only jobs may."""
    above = BranchStore(tx).upstream([branch.number]).get(branch.number, ())
    if above and not of_spout(tx, branch, above):
        raise OutputBranch(branch.key)
    return bool(above)


def of_spout(tx: Session, branch: Branch, above: Sequence[BranchNumber]) -> bool:
    """Whether a branch is a spout's: its spec alone gives it commits, and no job keeps a meta repo beside it."""
    repo, branches = branch.key.repo, BranchStore(tx)
    giving = set(above).difference(branches.never([branch.number]).get(branch.number, ()))
    if {each.key.repo for each in branches.many(giving).values()} != {RepoKey(repo.project, repo.name, SPEC)}:
        return False
    return META not in {found.key.type for found in RepoStore(tx).of_name(repo.project, repo.name)}


def start_on(
    change: Change,
    branch: Branch | BranchKey,
    older: Commit | None,
    *,
    description: str = "",
    closed: bool = False,
    derived: bool = False,
) -> Commit:
    """Put a commit on top of `older` on a branch, which is made when only its key is given.

    closed: for writing. derived: made from the heads of the branch's provenance.
    Raises ParentOpen, CommitForgotten, RepoChangedTwice.
    """
    if older is not None and older.finishing is None:
        raise ParentOpen(older)
    if older is not None and older.forgotten:
        raise CommitForgotten()
    target = branch
    if isinstance(target, BranchKey):
        target = change.branches.add(find_repo(change.tx, target.repo).number, target.name, change.now)
    commit = change.add_commit(
        target,
        origin=Origin.USER,
        parent=older,
        description=description,
        finishing=closed,
        derived=derived,
    )
    change.propagate(target.number)
    return commit


def _parent(change: Change, repo: RepoKey, branch: Branch | None, wanted: CommitRef | None) -> Commit | None:
    if wanted is None or not wanted.text:
        return None if branch is None else head_of(change.tx, branch)
    with prefixed("parent commit not found: "):
        return resolve_commit(change.tx, CommitRef(repo, wanted.id, wanted.branch))


def finish_commit(
    change: Change, ref: CommitRef, *, description: str = "", error: str = "", force: bool = False
) -> Commit:
    """Close a commit for writing. Raises PickFailed, CommitFinished, PipelineOwned."""
    commit = resolve_commit(change.tx, ref)
    if commit.finishing is not None:
        raise CommitFinished(commit)
    if not force and _left_to_its_pipeline(change, commit):
        raise PipelineOwned("cannot finish a pipeline output or meta commit, use 'stop job' instead")
    change.not_before(commit.started)
    closed = replace(
        commit,
        description=description or commit.description,
        error=error,
        finishing=change.now,
        updated_at=change.now,
    )
    change.commits.close(closed)
    change.say_commit("pfs.commit.finishing", closed)
    return closed


def _left_to_its_pipeline(change: Change, commit: Commit) -> bool:
    # Only pipelines whose jobs end by themselves keep a meta repo; outputs of spouts and services may be finished.
    if commit.repo.type not in (USER, META) or not change.commits.upstream([commit.number]):
        return False
    types = {repo.key.type for repo in RepoStore(change.tx).of_name(commit.repo.project, commit.repo.name)}
    return {META, SPEC} <= types


def mark_finished(
    change: Change,
    number: CommitNumber,
    *,
    root: TreeRoot | None,
    size_bytes: int,
    error: str = "",
    compacting: timedelta = timedelta(0),
    validating: timedelta = timedelta(0),
) -> Commit | None:
    """Record the tree that the finisher built. None: the commit was deleted meanwhile, or is FINISHED already.

    error: what is wrong with the tree; an error given by FinishCommit stays.
    """
    found = change.commits.get(number)
    if found is None or found.finishing is None or found.finished is not None:
        return None
    change.not_before(found.finishing)
    finished = replace(
        found,
        root=root,
        size_bytes=size_bytes,
        error=found.error or error,
        compacting=compacting,
        validating=validating,
        finished=change.now,
        updated_at=change.now,
    )
    change.commits.finish(finished)
    change.say_commit("pfs.commit.finished", finished)
    return finished


def check_clearable(change: Change, ref: CommitRef) -> Commit:
    """The open commit whose own data ClearCommit is to remove. Raises PickFailed, CommitNotClearable."""
    commit = resolve_commit(change.tx, ref)
    if commit.finishing is not None:
        raise CommitNotClearable()
    return commit
