"""Forgetting a commit: the data of an old output goes for good, its place in the history and its lineage stay.

Elsewhere: who is refused its data (files/tree_views.py, files/filesets.py); the store's room (operations/collection).
"""

from services.pfs.domain.errors import CommitNotForgettable, CommitOpen, prefixed
from services.pfs.domain.keys import CommitRef
from services.pfs.operations.dag.change import Change
from services.pfs.operations.dag.resolve import pick_commit

PREFIX = "Forget Commit: "


def forget_commit(change: Change, ref: CommitRef) -> None:
    """Raises RepoNotFound, BranchNotFound, CommitNotFound, CommitNotForgettable, HeadForgotten, CommitOpen."""
    with prefixed(PREFIX):
        commit = pick_commit(change.tx, ref)
        numbers = change.commits.children([commit.number]).get(commit.number, [])
        children = list(change.commits.many(numbers).values())
        if any(child.finished is None for child in children):
            raise CommitNotForgettable("direct descendants must be closed")
        for child in children:
            if child.error:
                raise CommitNotForgettable(f"errored commit {child} shows the data of {commit}")
        if not change.commits.upstream([commit.number]):
            raise CommitNotForgettable("the commit to be forgotten must be in an output repo")
        if commit.finished is None:
            raise CommitOpen(commit, commit.id)
        change.commits.forget(commit.number, change.now)
        change.check_heads(PREFIX)
