"""Deleting commits: squashing keeps what they wrote in their children, dropping moves branches back.

Elsewhere: what is announced (dag/change.py). Content that nothing refers to any more is left to the garbage collector.
"""

from collections.abc import Sequence

from services.pfs.domain.commits import BranchNumber, Commit, CommitNumber, Origin
from services.pfs.domain.errors import NotDeletable
from services.pfs.domain.keys import SPEC, CommitRef
from services.pfs.domain.walks import closure
from services.pfs.operations.dag.change import Change
from services.pfs.operations.dag.resolve import resolve_commit
from services.pfs.operations.refs.commits import of_spout


def delete_set(change: Change, id: str, *, squash: bool) -> None:
    """Squash or drop all commits of a set; an unknown set is no error. Raises NotDeletable."""
    commits = change.commits.of_set(id)
    own = {commit.number for commit in commits}
    below = change.commits.downstream(own)
    others = {number for numbers in below.values() for number in numbers} - own
    if others:
        sets = sorted({commit.id for commit in change.commits.many(others).values()})
        raise NotDeletable(
            f'commit set "{id}" cannot be dropped because it has subvenant commit sets: [{" ".join(sets)}]'
        )
    _delete(change, commits, squash=squash)


def delete_one(change: Change, ref: CommitRef, *, recursive: bool, squash: bool) -> None:
    """Squash or drop a commit and all that was made from it. Raises PickFailed, NotDeletable."""
    commit = resolve_commit(change.tx, ref)
    below = closure(commit.number, change.commits.downstream)
    if below and not recursive:
        verb = "squash" if squash else "drop"
        raise NotDeletable(f"cannot {verb} commit ({commit}) with subvenance without recursive")
    known = change.commits.many([commit.number, *below])
    _delete(change, [known[number] for number in (commit.number, *below)], squash=squash)


def _delete(change: Change, commits: Sequence[Commit], *, squash: bool) -> None:
    going = {commit.number for commit in commits}
    children = change.commits.children(going)
    known = change.commits.many(number for numbers in children.values() for number in numbers)
    above = change.commits.many(commit.parent for commit in commits if commit.parent is not None)
    for commit in commits:
        below = [known[number] for number in children.get(commit.number, ())]
        _check(commit, below, squash=squash)
        if squash and not commit.error:
            _check_kept(change, commit, below)
        if commit.parent is not None and above[commit.parent].forgotten:
            _check_shown(commit, below)
    for commit in sorted(commits, key=lambda commit: commit.number, reverse=True):
        _remove(change, commit.number)


def _check(commit: Commit, children: Sequence[Commit], *, squash: bool) -> None:
    if commit.repo.type == SPEC and commit.origin is Origin.USER:
        raise NotDeletable(f"cannot squash commit {commit} because it updated a pipeline")
    if not squash:
        if children:
            raise NotDeletable(f"cannot drop a commit that has children: {commit}")
        return
    if not children:
        raise NotDeletable(
            "cannot squash a commit that has no children as that would cause data loss, "
            f"use the drop operation instead: {commit}"
        )
    for child in children:
        if child.finished is None:
            hint = ", consider using WaitCommit" if child.finishing is not None else ""
            raise NotDeletable(f"cannot squash until child commit {child} is finished{hint}")


def _check_kept(change: Change, commit: Commit, children: Sequence[Commit]) -> None:
    """Errored commits hold no data of those before them: the next one on top of them would begin with nothing.

    Raises NotDeletable.
    """
    errored = [child for child in children if child.error]
    while errored:
        below = change.commits.children(child.number for child in errored)
        known = change.commits.many(number for numbers in below.values() for number in numbers)
        for child in errored:
            if not below.get(child.number):
                raise NotDeletable(
                    f"cannot squash commit {commit}: only errored commits follow it, which do not keep its data; "
                    f"drop commit {child} first"
                )
        for each in known.values():
            if each.finished is None:
                raise NotDeletable(f"cannot squash until commit {each} is finished, which builds on its data")
        errored = [each for each in known.values() if each.error]


def _check_shown(commit: Commit, children: Sequence[Commit]) -> None:
    """An errored commit shows the data of the one before it, which must not be a forgotten one."""
    for child in children:
        if child.error:
            raise NotDeletable(f"cannot squash commit {commit}: errored commit {child} needs its data")


def _remove(change: Change, number: CommitNumber) -> None:
    commit = change.commits.get(number)
    assert commit is not None
    change.commits.reparent(number, commit.parent)
    for at in change.commits.branches_at(number):
        branch = change.branches.get(at)
        assert branch is not None
        if commit.parent is not None:
            change.branches.set_head(branch.number, commit.parent, change.now)
            change.check_heads()
        else:
            _empty_head(change, commit, branch.number)
    change.say_commit("pfs.commit.deleted", commit)
    change.commits.remove(number)


def _empty_head(change: Change, commit: Commit, number: BranchNumber) -> None:
    """One new empty commit is the head of all branches left without one; it is open where a job must close it."""
    shared = change.commits.find(commit.repo_number, change.id)
    if shared is not None:
        change.branches.set_head(number, shared.number, change.now)
        return
    branch, above = change.branches.get(number), change.branches.upstream([number]).get(number, ())
    assert branch is not None
    closed = not above or of_spout(change.tx, branch, above)
    change.add_commit(branch, origin=Origin.AUTO, parent=None, finished=closed, derived=bool(above))
