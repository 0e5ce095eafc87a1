"""Requests as the domain's values: default project and type filled in, ids in lower case."""

from collections.abc import Iterable

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from services.pfs.domain.errors import Malformed, MissingField
from services.pfs.domain.keys import USER, BranchKey, CommitRef, RepoKey
from services.pfs.domain.names import DEFAULT_PROJECT, is_id
from services.pfs.domain.triggers import Trigger


def project_name(project: pfs.Project) -> str:
    return project.name or DEFAULT_PROJECT


def repo_key(repo: pfs.Repo) -> RepoKey:
    return RepoKey(project_name(repo.project), repo.name, repo.type or USER)


def some_repo(repo: pfs.Repo, given: bool) -> RepoKey:
    """Raises Malformed when the request has no repo."""
    if not given:
        raise Malformed("repo cannot be nil")
    return repo_key(repo)


def branch_key(branch: pfs.Branch) -> BranchKey:
    """Raises Malformed when the branch has no repo."""
    if not branch.HasField("repo"):
        raise Malformed("branch repo cannot be nil")
    return BranchKey(repo_key(branch.repo), branch.name)


def some_branch(branch: pfs.Branch, given: bool) -> BranchKey:
    """Raises Malformed when the request has no branch."""
    if not given:
        raise Malformed("branch cannot be nil")
    return branch_key(branch)


def branch_keys(branches: Iterable[pfs.Branch]) -> list[BranchKey]:
    return [branch_key(branch) for branch in branches]


def commit_ref(commit: pfs.Commit | None) -> CommitRef:
    """Raises Malformed when there is no commit, or it has no repo.

    Some clients fill a repo that nobody named with what repos begin with: then the branch's counts as well.
    """
    if commit is None:
        raise Malformed("commit cannot be nil")
    if commit.repo.name or (commit.HasField("repo") and not commit.branch.repo.name):
        repo = commit.repo
    elif commit.branch.HasField("repo"):
        repo = commit.branch.repo
    else:
        raise Malformed("commit must have a repo")
    id = commit.id.lower() if is_id(commit.id.lower()) else commit.id
    return CommitRef(repo_key(repo), id, commit.branch.name)


def maybe_commit(commit: pfs.Commit, given: bool) -> CommitRef | None:
    return commit_ref(commit) if given else None


def some_commit(commit: pfs.Commit, given: bool) -> CommitRef:
    """Raises Malformed when the request has no commit."""
    return commit_ref(commit if given else None)


def commit_set(some: pfs.CommitSet, given: bool) -> str:
    """Raises Malformed when the request has no commit set."""
    if not given:
        raise Malformed("commitset cannot be nil")
    return some.id.lower()


def required_set(some: pfs.CommitSet, given: bool) -> str:
    """Raises MissingField when the request has no commit set."""
    if not given:
        raise MissingField("commit_set")
    return some.id.lower()


def picked_project(picker: pfs.ProjectPicker) -> str:
    """Raises Malformed."""
    if not picker.name:
        raise Malformed("project picker cannot be nil")
    return picker.name


def trigger(message: pfs.Trigger) -> Trigger | None:
    """None: nothing is said."""
    if not message.ByteSize():
        return None
    return Trigger(
        source=message.branch,
        every=message.all,
        rate_limit=message.rate_limit_spec,
        size=message.size,
        commits=message.commits,
        cron=message.cron_spec,
    )


def picked_repo(picker: pfs.RepoPicker) -> RepoKey:
    """Raises Malformed."""
    if not picker.HasField("name"):
        raise Malformed("repo picker cannot be nil")
    if not picker.name.HasField("project"):
        raise Malformed("project picker cannot be nil")
    return RepoKey(picker.name.project.name or DEFAULT_PROJECT, picker.name.name, picker.name.type or USER)


def picked_pipeline(picker: pps.PipelinePicker) -> RepoKey:
    """The key of the pipeline's own repo. Raises Malformed."""
    if not picker.HasField("name"):
        raise Malformed("pipeline picker cannot be nil")
    if not picker.name.HasField("project"):
        raise Malformed("project picker cannot be nil")
    return RepoKey(picker.name.project.name or DEFAULT_PROJECT, picker.name.name)


def picked_branch(picker: pfs.BranchPicker) -> BranchKey:
    """Raises Malformed."""
    if not picker.HasField("name"):
        raise Malformed("branch picker cannot be nil")
    return BranchKey(picked_repo(picker.name.repo), picker.name.name)


def picked_commit(picker: pfs.CommitPicker) -> CommitRef:
    """A picker as the reference that says the same; offsets from a branch's root count from 0. Raises Malformed."""
    match picker.WhichOneof("picker"):
        case "branch_head":
            branch = picked_branch(picker.branch_head)
            return CommitRef(branch.repo, branch=branch.name)
        case "id":
            return CommitRef(picked_repo(picker.id.repo), picker.id.id.lower())
        case "branch_root":
            branch = picked_branch(picker.branch_root.branch)
            return CommitRef(branch.repo, f"{branch.name}.{picker.branch_root.offset + 1}")
        case "ancestor":
            back, start = 0, picker
            while start.HasField("ancestor"):
                back, start = back + start.ancestor.offset, start.ancestor.start
            ref = picked_commit(start)
            return CommitRef(ref.repo, f"{ref.text}^{back}" if back else ref.text)
    raise Malformed("commit picker cannot be nil")
