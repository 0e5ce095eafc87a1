"""Editing the pairs of projects, repos, branches, commits, pipelines and the instance: several edits, all or none.

Every edit is tried, also after one that failed, so that a caller hears of all mistakes at once.
Elsewhere: the ways to edit (domain/metadata.py); where pairs are shown (views.py, servicers).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from services.kit.time.clock import Now
from services.pfs.domain.errors import Malformed, PipelineNotFound, Problem
from services.pfs.domain.keys import SPEC, BranchKey, CommitRef, RepoKey
from services.pfs.domain.metadata import Edit, EditsFailed, Pairs
from services.pfs.operations.dag.resolve import find_branch, find_repo, resolve_commit
from services.pfs.operations.refs.projects import inspect_project
from services.pfs.storage import metadata as rows
from services.pfs.storage.branches import one_at_a_time
from services.pfs.storage.repos import RepoStore


@dataclass(frozen=True, slots=True)
class ProjectTarget:
    """A project."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class InstanceTarget:
    """The instance."""

    def __str__(self) -> str:
        return "cluster"


@dataclass(frozen=True, slots=True)
class PipelineTarget:
    """A pipeline, by the key of its output repo. Its pairs are those of its spec repo."""

    output: RepoKey

    def __str__(self) -> str:
        return str(self.output)


Target = ProjectTarget | PipelineTarget | RepoKey | BranchKey | CommitRef | InstanceTarget
KINDS: dict[type, str] = {
    ProjectTarget: "project",
    PipelineTarget: "pipeline",
    RepoKey: "repo",
    BranchKey: "branch",
    CommitRef: "commit",
    InstanceTarget: "cluster",
}


def edit_metadata(tx: Session, edits: Sequence[tuple[Target, Edit]], clock: Now) -> None:
    """In order, all or none. Raises EditsFailed when a key is taken, Malformed when something else is wrong."""
    one_at_a_time(tx)  # commits and branches are changed by others meanwhile
    failed, taken, now = list[str](), False, clock()
    for at, (target, edit) in enumerate(edits):
        try:
            _edit(tx, target, edit, now)
        except Problem as problem:
            taken = taken or isinstance(problem, EditsFailed)
            failed.append(f"edit #{at}: edit {KINDS[type(target)]} {target}: {problem}")
    if failed:
        text = "apply edits: " + "\n".join(failed)
        raise EditsFailed(text) if taken else Malformed(text)


def _edit(tx: Session, target: Target, edit: Edit, now: datetime) -> None:
    match target:
        case ProjectTarget(name):
            rows.keep_project_pairs(tx, name, edit(inspect_project(tx, name).metadata))
        case PipelineTarget(key):
            spec = RepoStore(tx).get(RepoKey(key.project, key.name, SPEC))
            if spec is None:
                raise PipelineNotFound(key)
            rows.keep_repo_pairs(tx, spec.number, edit(spec.metadata))
        case RepoKey():
            repo = find_repo(tx, target)
            rows.keep_repo_pairs(tx, repo.number, edit(repo.metadata))
        case BranchKey():
            branch = find_branch(tx, target)
            rows.keep_branch_pairs(tx, branch.number, edit(branch.metadata), now)
        case CommitRef():
            commit = resolve_commit(tx, target)
            rows.keep_commit_pairs(tx, commit.number, edit(commit.metadata), now)
        case InstanceTarget():
            rows.keep_instance_pairs(tx, edit(rows.instance_pairs(tx)))
    tx.expire_all()


def instance_metadata(tx: Session) -> Pairs:
    """The pairs of the instance."""
    return rows.instance_pairs(tx)
