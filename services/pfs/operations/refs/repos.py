"""Repos: making, describing, listing and deleting them.

A repo belongs to a pipeline when a spec repo of its name exists; then only datamill's own services may delete it.
Elsewhere: deleting a branch (branches.py).
"""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from services.pfs.domain.errors import (
    Malformed,
    NoRepo,
    PipelineOwned,
    ProjectNotFound,
    RepoExists,
    prefixed,
)
from services.pfs.domain.keys import META, SPEC, USER, RepoKey
from services.pfs.domain.names import check_repo_name
from services.pfs.domain.repos import Repo, RepoView
from services.pfs.operations.dag.change import Change
from services.pfs.operations.dag.resolve import find_repo
from services.pfs.operations.refs.branches import remove_branches
from services.pfs.operations.refs.views import repo_views
from services.pfs.storage.repos import ProjectStore, RepoStore


def create_repo(change: Change, key: RepoKey, *, description: str = "", update: bool = False) -> None:
    """Make a repo, or describe it when `update`. Raises BadName, ProjectNotFound, RepoExists, Malformed."""
    check_repo_name(key.name)
    if key.type not in (USER, META, SPEC):
        raise Malformed(f'repo type "{key.type}" is none of {USER}, {META}, {SPEC}')
    repos = RepoStore(change.tx)
    if ProjectStore(change.tx).get(key.project) is None:
        with prefixed(f'cannot find project "{key.project}": '):
            raise ProjectNotFound(key.project)
    if (found := repos.get(key)) is not None:
        if not update:
            raise RepoExists(key)
        if found.description != description:
            repos.describe(key, description)
        return
    if key.type != USER and repos.get(RepoKey(key.project, key.name)) is None:
        raise Malformed("cannot create a system repo without a corresponding 'user' repo")
    repos.add(key, description, change.now)


def inspect_repo(tx: Session, key: RepoKey) -> RepoView:
    """Raises RepoNotFound."""
    return repo_views(tx, [find_repo(tx, key)])[0]


def list_repos(
    tx: Session, *, type: str = "", projects: Sequence[str] = (), skip: int = 0, limit: int | None = None
) -> list[RepoView]:
    """By project and name."""
    return repo_views(tx, RepoStore(tx).listed(type=type, projects=projects, skip=skip, limit=limit))


def delete_repo(change: Change, key: RepoKey | None, *, force: bool = False, owner: bool = False) -> bool:
    """Delete a repo; a user's together with its system repos. False: there was none.

    owner: the caller keeps pipelines and may delete theirs.  Raises PipelineOwned, BranchInUse.
    """
    if key is None:
        raise NoRepo()
    repo = RepoStore(change.tx).get(key)
    if repo is None:
        return False
    same_name = RepoStore(change.tx).of_name(key.project, key.name)
    if not owner and any(other.key.type == SPEC for other in same_name):
        raise PipelineOwned("cannot delete a repo associated with a pipeline - delete the pipeline instead")
    _remove(change, same_name if key.type == USER else [repo], force=force)
    return True


def delete_repos(
    change: Change, *, projects: Sequence[str], every: bool, force: bool, owner: bool = False
) -> list[RepoKey]:
    """Delete the repos of some projects, or every repo, and say which. Raises PipelineOwned, BranchInUse."""
    if not every and not projects:
        return []
    repos = RepoStore(change.tx).listed(projects=() if every else projects)
    named = {(repo.key.project, repo.key.name) for repo in repos if repo.key.type == SPEC}
    if not owner and named:
        raise PipelineOwned("cannot delete a repo associated with a pipeline - delete the pipeline instead")
    _remove(change, repos, force=force)
    return [repo.key for repo in repos]


def _remove(change: Change, repos: Sequence[Repo], *, force: bool) -> None:
    branches = [branch for repo in repos for branch in change.branches.of_repo(repo.number)]
    remove_branches(change, branches, force=force)
    for repo in sorted(repos, key=lambda repo: repo.key.type == USER):
        for commit in change.commits.unfinished_of(repo.number):
            change.say_commit("pfs.commit.deleted", commit)  # somebody may wait for it or work on it
        change.commits.remove_all(repo.number)
        RepoStore(change.tx).remove(repo.number)
        change.say_repo_deleted(repo.key)
