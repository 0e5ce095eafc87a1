"""What can go wrong with projects, repos, branches and commits. Deployed clients match on the sentences.

The kind decides the status: most refusals of the protocol carry UNKNOWN, that is a plain Problem.
Elsewhere: problems of names (names.py) and of files (files/paths.py, files/entries.py).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from services.kit.errors import (
    AlreadyExists,
    Contradiction,
    Forbidden,
    Invalid,
    NotFound,
    Problem,
    Refused,
    Resource,
    Unavailable,
)
from services.pfs.domain.keys import BranchKey, RepoKey

__all__ = ["Forbidden", "Problem", "Unavailable"]


class ProjectNotFound(NotFound):
    def __init__(self, project: str) -> None:
        super().__init__(f'project "{project}" not found')


class ProjectExists(AlreadyExists):
    def __init__(self, project: str) -> None:
        super().__init__(f"project {project} already exists")


class ProjectNotEmpty(Refused):
    def __init__(self, project: str, repos: Iterable[RepoKey]) -> None:
        super().__init__("\n".join(f"cannot delete project {project}: repo {repo} still exists" for repo in repos))


class RepoNotFound(NotFound):
    def __init__(self, repo: RepoKey) -> None:
        super().__init__(f"repo {repo} not found")


class RepoRowNotFound(NotFound):
    """The other form of RepoNotFound, which says all parts of the key."""

    def __init__(self, repo: RepoKey) -> None:
        super().__init__(f"repo (id=0, project={repo.project}, name={repo.name}, type={repo.type}) not found")


class RepoExists(AlreadyExists):
    def __init__(self, repo: RepoKey) -> None:
        super().__init__(f"repo {repo} already exists")


class BranchNotFound(NotFound):
    def __init__(self, branch: BranchKey) -> None:
        super().__init__(f'branch "{branch.name}" not found in repo {branch.repo}')


class BranchRowNotFound(NotFound):
    """BranchNotFound in both of its forms, as InspectBranch and DeleteBranch say it."""

    def __init__(self, branch: BranchKey) -> None:
        super().__init__(
            f'branch "{branch.name}" not found in repo {branch.repo}\n'
            f"branch (id=0, branch={branch.repo}@{branch.name}) not found"
        )


class CommitNotFound(NotFound):
    def __init__(self, commit: object) -> None:
        super().__init__(f"commit {commit} not found")


class CommitSetNotFound(NotFound):
    def __init__(self, id: str) -> None:
        super().__init__(f"no commits found for commitset {id}")


class CommitFinished(Problem):
    def __init__(self, commit: object) -> None:
        super().__init__(f"commit {commit} has already finished")


class CommitDeleted(Problem):
    def __init__(self, commit: object) -> None:
        super().__init__(f"commit {commit} was deleted")


class CommitOpen(Unavailable):
    """A search looks at finished commits only; later it may go on."""

    def __init__(self, commit: object, id: str) -> None:
        super().__init__(f"commit {commit} not finished")
        self.resource = Resource("pfs:commit", id, "commit not finished")


class CommitForgotten(Problem):
    """The data of a commit is gone for good."""

    def __init__(self) -> None:
        super().__init__("the commit is forgotten")


class HeadForgotten(Problem):
    def __init__(self, prefix: str) -> None:
        super().__init__(
            f"{prefix}list branch in transaction: for each branch: the branch head cannot be a forgotten commit"
        )


class CommitNotForgettable(Problem):
    """A commit whose data others need, or that could not be made again."""


class CommitNotClearable(Problem):
    def __init__(self) -> None:
        super().__init__("cannot clear finished commit")


class ParentOpen(Problem):
    def __init__(self, commit: object) -> None:
        super().__init__(f"parent commit {commit} has not been finished")


class BaseUnfinished(Problem):
    """Reading an open commit needs its parent's tree."""

    def __init__(self, base: object, commit: object) -> None:
        super().__init__(f"base commit {base} for commit {commit} unfinished")


class OutputBranch(Problem):
    def __init__(self, branch: BranchKey) -> None:
        super().__init__(f"cannot start a commit on an output branch: {branch}")


class RepoChangedTwice(AlreadyExists):
    """A transaction makes at most one commit in a repo."""

    def __init__(self, commit: object, number: int, parent: object) -> None:
        super().__init__(
            f"commit {commit} already exists\ninconsistent dependencies: cannot create commit from {parent}; "
            f"repo ({number}) already has a commit in this transaction"
        )


class BadAncestry(Problem):
    """A reference such as "master^~2" that cannot be read, or that leads beyond the root."""


class CycleOfBranches(Contradiction):
    def __init__(self, branch: BranchKey, provenance: BranchKey) -> None:
        super().__init__(f"cycle detected because {branch} is already in the subvenance of {provenance}")


class TwoBranchesInDag(Problem):
    def __init__(self, repo: RepoKey) -> None:
        super().__init__(
            "validate DAG at end of transaction: multiple branches from the same repo, "
            f'"{repo}", cannot participate in a DAG'
        )


class BranchInUse(Problem):
    def __init__(self, branch: str, downstream: Iterable[BranchKey]) -> None:
        names = " ".join(map(str, downstream))
        super().__init__(f'branch "{branch}" cannot be deleted because it\'s in the direct provenance of [{names}]')


class BranchFollowed(Problem):
    def __init__(self, branch: str, followers: Iterable[BranchKey]) -> None:
        names = " ".join(map(str, followers))
        super().__init__(f'branch "{branch}" cannot be deleted because it triggers branches [{names}]')


class PipelineOwned(Problem):
    """Only the owner of a pipeline's repos and commits may do this to them."""


class PipelineNotFound(NotFound):
    def __init__(self, output: RepoKey) -> None:
        super().__init__(f'pipeline "{output}" not found')


class Malformed(Problem):
    """A request that lacks something, or whose parts contradict one another. Status UNKNOWN."""


class MissingField(Invalid):
    """A field that the protocol itself requires is absent. Status INVALID_ARGUMENT.

    streaming: the method's requests or answers are a stream.
    """

    def __init__(self, field: str, *, streaming: bool = False) -> None:
        super().__init__(f"validate {'recv' if streaming else 'request'}: {field}: value is required")


class NoRepo(Invalid):
    def __init__(self) -> None:
        super().__init__("no repo specified")


class NotDeletable(Problem):
    """A commit or set that cannot be squashed or dropped as things are."""


class PickFailed(NotFound):
    """Nothing answers to a reference, not even by alias."""

    def __init__(self, ref: object, why: Problem) -> None:
        super().__init__(f"pick commit tx: commit {ref} not found\n{why}")


def again(problem: Problem, prefix: str) -> NoReturn:
    """Raise a problem of the same kind whose sentence has `prefix` in front."""
    copy = type(problem).__new__(type(problem))
    copy.args = (f"{prefix}{problem}",)
    raise copy from problem


@contextmanager
def prefixed(prefix: str) -> Iterator[None]:
    """Put `prefix` in front of the sentence of any problem the block raises."""
    try:
        yield
    except Problem as problem:
        again(problem, prefix)


class TransactionNotFound(NotFound):
    def __init__(self, id: str) -> None:
        super().__init__(f"transaction {id} not found")


class HeadMoved(Problem):
    """A staged request was prepared for another state of things."""

    def __init__(self, branch: BranchKey) -> None:
        super().__init__(f"branch {branch} has changed since the request was added to the transaction; add it again")
