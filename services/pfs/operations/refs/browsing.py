"""What there is to walk through on the way to files: projects, their repos, branches of these."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from services.pfs.domain.keys import USER, RepoKey
from services.pfs.operations.dag.resolve import find_repo
from services.pfs.operations.refs.projects import inspect_project, list_projects, summarise_projects
from services.pfs.operations.refs.repos import list_repos
from services.pfs.storage.branches import BranchStore
from services.pfs.storage.commits import CommitStore


@dataclass(frozen=True, slots=True)
class Place:
    """size_bytes: of what lies in it, as lists of projects and repos say it."""

    name: str
    size_bytes: int


def projects(tx: Session) -> list[Place]:
    """By name."""
    names = sorted(project.name for project in list_projects(tx))
    sizes = {found.project: found.size_bytes for found in summarise_projects(tx, names)}
    return [Place(name, sizes.get(name, 0)) for name in names]


def repos(tx: Session, project: str) -> list[Place]:
    """Users' repos, by name. Raises ProjectNotFound."""
    inspect_project(tx, project)
    return [Place(view.repo.key.name, view.size_bytes) for view in list_repos(tx, type=USER, projects=[project])]


def branches(tx: Session, key: RepoKey) -> list[Place]:
    """By name, each with the size of its head. Raises RepoNotFound."""
    found = sorted(BranchStore(tx).of_repo(find_repo(tx, key).number), key=lambda branch: branch.key.name)
    heads = CommitStore(tx).many(branch.head for branch in found if branch.head is not None)
    return [Place(one.key.name, heads[one.head].size_bytes if one.head in heads else 0) for one in found]
