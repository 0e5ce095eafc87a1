"""Deleting everything there is in PFS."""

from services.pfs.domain.names import DEFAULT_PROJECT
from services.pfs.operations.dag.change import Change
from services.pfs.operations.refs.repos import delete_repos
from services.pfs.storage.repos import ProjectStore


def delete_all(change: Change, *, owner: bool = False) -> None:
    """Delete all repos and projects, and make the project `default` anew. Raises PipelineOwned."""
    delete_repos(change, projects=(), every=True, force=True, owner=owner)
    projects = ProjectStore(change.tx)
    for project in projects.every():
        projects.remove(project.name)
    projects.add(DEFAULT_PROJECT, "", change.now)
