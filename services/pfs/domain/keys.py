"""What things are called, in the forms that error sentences carry and clients match on.

Elsewhere: which names are allowed (names.py); how a reference finds its commit (operations/dag/resolve.py).
"""

from dataclasses import dataclass

USER, META, SPEC = "user", "meta", "spec"


@dataclass(frozen=True, slots=True, order=True)
class RepoKey:
    """A repo: "project/name", with ".type" behind it unless it is a user's."""

    project: str
    name: str
    type: str = USER

    def __str__(self) -> str:
        return f"{self.project}/{self.name}" if self.type == USER else self.full

    @property
    def full(self) -> str:
        """The form that always says the type, as news carry it."""
        return f"{self.project}/{self.name}.{self.type}"


@dataclass(frozen=True, slots=True, order=True)
class BranchKey:
    """A branch: "<repo>@name"."""

    repo: RepoKey
    name: str

    def __str__(self) -> str:
        return f"{self.repo}@{self.name}"

    @property
    def full(self) -> str:
        """The form that always says the repo's type."""
        return f"{self.repo.full}@{self.name}"


@dataclass(frozen=True, slots=True)
class CommitRef:
    """A commit as somebody refers to it: by id, by branch, or by steps from either ("master^2", "master.1")."""

    repo: RepoKey
    id: str = ""
    branch: str = ""

    @property
    def text(self) -> str:
        """What stands behind the "@"; the id wins over the branch, and a bare suffix is put behind the branch."""
        if not self.id:
            return self.branch
        return self.branch + self.id if self.branch and self.id[0] in ".^~" else self.id

    def __str__(self) -> str:
        return f"{self.repo}@{self.text}"
