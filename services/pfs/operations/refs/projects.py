"""Projects: making, describing, listing and deleting them; and the instance's own identity."""

from datetime import datetime

from sqlalchemy.orm import Session

from services.kit.time.clock import fresh_id
from services.pfs.domain.errors import ProjectExists, ProjectNotEmpty, ProjectNotFound, prefixed
from services.pfs.domain.keys import USER
from services.pfs.domain.names import DEFAULT_PROJECT, check_project_name
from services.pfs.domain.repos import Project, ProjectSummary
from services.pfs.operations.refs.views import repo_sizes
from services.pfs.storage.repos import ProjectStore, RepoStore, instance_fact, keep_instance_fact


def settle(tx: Session, now: datetime) -> None:
    """Give a new instance its ids and the project `default`; later, do nothing."""
    if instance_fact(tx, "id") is None:
        for name in ("id", "deployment_id"):
            keep_instance_fact(tx, name, fresh_id())
        ProjectStore(tx).add(DEFAULT_PROJECT, "", now)


def create_project(tx: Session, name: str, description: str, update: bool, now: datetime) -> None:
    """Make a project, or describe one that must exist. Raises BadName, ProjectExists, ProjectNotFound."""
    projects = ProjectStore(tx)
    if update:
        inspect_project(tx, name)
        projects.describe(name, description)
        return
    check_project_name(name)
    if projects.get(name) is not None:
        raise ProjectExists(name)
    projects.add(name, description, now)


def inspect_project(tx: Session, name: str) -> Project:
    """Raises ProjectNotFound."""
    found = ProjectStore(tx).get(name)
    if found is None:
        with prefixed(f'error getting project "{name}": '):
            raise ProjectNotFound(name)
    return found


def list_projects(tx: Session) -> list[Project]:
    """In the order of creation."""
    return ProjectStore(tx).every()


def delete_project(tx: Session, name: str) -> None:
    """Delete a project that holds no repo. Raises BadName, ProjectNotFound, ProjectNotEmpty."""
    check_project_name(name)
    if ProjectStore(tx).get(name) is None:
        raise ProjectNotFound(name)
    if repos := RepoStore(tx).listed(projects=[name]):
        raise ProjectNotEmpty(name, [repo.key for repo in repos])
    ProjectStore(tx).remove(name)


def summarise_projects(tx: Session, names: list[str]) -> list[ProjectSummary]:
    """What each project holds, in this order; projects without user repos are left out."""
    found = list[ProjectSummary]()
    for name in names:
        if repos := RepoStore(tx).listed(type=USER, projects=[name]):
            sizes = repo_sizes(tx, [repo.number for repo in repos])
            found.append(ProjectSummary(name, len(repos), sum(sizes.values())))
    return found


def instance_ids(tx: Session) -> tuple[str, str]:
    """The instance's id and its deployment's."""
    return instance_fact(tx, "id") or "", instance_fact(tx, "deployment_id") or ""
