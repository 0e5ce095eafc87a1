"""What a project and a repo are. Elsewhere: branches and commits (commits.py)."""

from dataclasses import dataclass
from datetime import datetime

from services.pfs.domain.commits import RepoNumber
from services.pfs.domain.keys import BranchKey, RepoKey


@dataclass(frozen=True, slots=True)
class Project:
    """A project: a space of names for repos and pipelines."""

    name: str
    description: str
    metadata: dict[str, str]
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Repo:
    """A repo; `created_at` never changes."""

    number: RepoNumber
    key: RepoKey
    description: str
    metadata: dict[str, str]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class RepoView:
    """A repo as clients see it. Its size is that of the FINISHED head of "master", else 0."""

    repo: Repo
    branches: tuple[BranchKey, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ProjectSummary:
    """How much a project holds in repos of type user."""

    project: str
    user_repos: int
    size_bytes: int
