"""Which commit a reference means, and whose tree a commit builds on.

A reference that finds nothing in its repo but names a known set falls back to the set's provenance: when only A
changed, `B@<that set>` is the older commit of B that the set was made with. It is a rule of lookup; nothing is stored.
Elsewhere: how references are written (domain/ancestry.py).
"""

from sqlalchemy.orm import Session

from services.pfs.domain.ancestry import parse_ancestry
from services.pfs.domain.commits import Branch, Commit
from services.pfs.domain.errors import (
    BadAncestry,
    BranchNotFound,
    BranchRowNotFound,
    CommitNotFound,
    Malformed,
    PickFailed,
    RepoNotFound,
)
from services.pfs.domain.keys import BranchKey, CommitRef, RepoKey
from services.pfs.domain.names import is_id
from services.pfs.domain.repos import Repo
from services.pfs.storage.branches import BranchStore
from services.pfs.storage.commits import CommitStore
from services.pfs.storage.repos import RepoStore


def find_repo(tx: Session, key: RepoKey) -> Repo:
    """Raises RepoNotFound."""
    repo = RepoStore(tx).get(key)
    if repo is None:
        raise RepoNotFound(key)
    return repo


def find_branch(tx: Session, key: BranchKey) -> Branch:
    """Raises BranchRowNotFound."""
    branch = BranchStore(tx).find(key)
    if branch is None:
        raise BranchRowNotFound(key)
    return branch


def resolve_commit(tx: Session, ref: CommitRef) -> Commit:
    """The commit that `ref` means now. Raises PickFailed (a NotFound), BadAncestry, Malformed."""
    if not ref.text:
        raise Malformed("commit must have an id or a branch")
    if not ref.repo.name:
        raise Malformed("commit must have a repo")
    try:
        return pick_commit(tx, ref)
    except (RepoNotFound, BranchNotFound, CommitNotFound) as why:
        found = _by_alias(tx, ref)
        if found is None:
            raise PickFailed(ref, why) from None
        return found


def head_of(tx: Session, branch: Branch) -> Commit:
    """The head of a branch; outside the transaction that makes it a branch always has one."""
    commit = None if branch.head is None else CommitStore(tx).get(branch.head)
    if commit is None:
        raise CommitNotFound(branch.key)
    return commit


def base_of(tx: Session, commit: Commit) -> Commit | None:
    """The nearest ancestor whose data a commit builds on: errored ones are passed over. It may be unfinished."""
    commits = CommitStore(tx)
    parent = None if commit.parent is None else commits.get(commit.parent)
    if parent is None or not parent.error:
        return parent
    return commits.bases([commit.number]).get(commit.number)


def pick_commit(tx: Session, ref: CommitRef) -> Commit:
    """Like `resolve_commit` without falling back to sets. Raises RepoNotFound, BranchNotFound, CommitNotFound."""
    try:
        steps = parse_ancestry(ref.text)
        start = _start(tx, ref, steps.base)
    except (BadAncestry, BranchNotFound, CommitNotFound):
        find_repo(tx, ref.repo)  # looked for only now: a repo that is missing is the first thing to say
        raise
    commits = CommitStore(tx)
    if steps.nth is None and not steps.back:
        return start
    if steps.nth is None:
        number = commits.ancestor(start.number, steps.back)
        if number is None:
            raise BadAncestry(f"invalid offset for ancestor of commit: {ref}")
    else:
        if is_id(steps.base.lower()):
            raise BadAncestry(f"invalid ancestry format: {ref.text}")
        back = commits.chain_length(start.number) - steps.nth
        number = commits.ancestor(start.number, back) if back >= 0 else None
        if number is None:
            raise BadAncestry(f"invalid offset from branch root {steps.nth}: {ref}")
    found = commits.get(number)
    if found is None:
        raise CommitNotFound(ref)
    return found


def _start(tx: Session, ref: CommitRef, base: str) -> Commit:
    """The commit that steps are counted from."""
    if is_id(base.lower()):
        commit = CommitStore(tx).of_repo(ref.repo, base.lower())
        if commit is None:
            raise CommitNotFound(ref)
        return commit
    key = BranchKey(ref.repo, base)
    branch = BranchStore(tx).find(key)
    if branch is None:
        raise BranchNotFound(key)
    return head_of(tx, branch)


def _by_alias(tx: Session, ref: CommitRef) -> Commit | None:
    id = ref.text.lower()
    if not is_id(id):
        return None
    commits = CommitStore(tx)
    frontier = [commit.number for commit in commits.of_set(id)]
    seen = set(frontier)
    while frontier:
        above = {number for numbers in commits.upstream(frontier).values() for number in numbers} - seen
        found = commits.in_repo_among(above, ref.repo)
        if found is not None:
            return commits.get(found)
        seen |= above
        frontier = list(above)
    return None
