"""Projects, repos, branches and commits as the protocol's messages.

A commit's branch is the client's own field: answers leave it out, but in children, provenance and subvenance.
"""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from datamill.wire import pfs_v2_pb2 as pfs
from services.pfs.domain.commits import BranchView, Commit, CommitView
from services.pfs.domain.keys import BranchKey, CommitRef, RepoKey
from services.pfs.domain.repos import Project, RepoView
from services.pfs.domain.triggers import Trigger


def repo(key: RepoKey) -> pfs.Repo:
    return pfs.Repo(name=key.name, type=key.type, project=pfs.Project(name=key.project))


def branch(key: BranchKey) -> pfs.Branch:
    return pfs.Branch(repo=repo(key.repo), name=key.name)


def bare_commit(ref: CommitRef) -> pfs.Commit:
    """Without its branch."""
    return pfs.Commit(id=ref.id, repo=repo(ref.repo))


def commit(ref: CommitRef) -> pfs.Commit:
    """With the branch it was made on, if that is still there."""
    message = bare_commit(ref)
    if ref.branch:
        message.branch.CopyFrom(branch(BranchKey(ref.repo, ref.branch)))
    return message


def moment(at: datetime | None) -> Timestamp | None:
    if at is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp


def commit_info(view: CommitView) -> pfs.CommitInfo:
    one: Commit = view.commit
    info = pfs.CommitInfo(
        commit=bare_commit(one.ref),
        origin=pfs.CommitOrigin(kind=pfs.OriginKind.ValueType(one.origin)),
        description=one.description,
        parent_commit=None if view.parent is None else bare_commit(view.parent),
        child_commits=map(commit, view.children),
        started=moment(one.started),
        finishing=moment(one.finishing),
        finished=moment(one.finished),
        error=one.error,
        size_bytes_upper_bound=view.size_upper_bound,
        direct_provenance=map(commit, view.provenance),
        direct_subvenance=map(commit, view.subvenance),
        metadata=one.metadata,
        created_by=one.created_by,
        created_at=moment(one.created_at),
        updated_at=moment(one.updated_at),
    )
    info.details.SetInParent()
    if one.finished is not None:
        info.details.size_bytes = one.size_bytes
        info.details.compacting_time.FromTimedelta(one.compacting)
        info.details.validating_time.FromTimedelta(one.validating)
    return info


def branch_info(view: BranchView) -> pfs.BranchInfo:
    found = view.branch
    return pfs.BranchInfo(
        branch=branch(found.key),
        head=bare_commit(view.head),
        provenance=map(branch, view.provenance),
        subvenance=map(branch, view.subvenance),
        direct_provenance=map(branch, view.direct_provenance),
        trigger=None if view.trigger is None else trigger(view.trigger),
        metadata=found.metadata,
        created_by=found.created_by,
        created_at=moment(found.created_at),
        updated_at=moment(found.updated_at),
        branch_propagation_specs=[
            pfs.BranchPropagationSpec(branch=branch(key), propagation_spec=pfs.PropagationSpec(never=True))
            for key in view.never
        ],
    )


def trigger(rule: Trigger) -> pfs.Trigger:
    return pfs.Trigger(
        branch=rule.source,
        all=rule.every,
        rate_limit_spec=rule.rate_limit,
        size=rule.size,
        commits=rule.commits,
        cron_spec=rule.cron,
    )


def repo_info(view: RepoView, *, details: bool) -> pfs.RepoInfo:
    """details: the size goes there, as for one repo; else into the upper bound, as in lists."""
    found = view.repo
    info = pfs.RepoInfo(
        repo=repo(found.key),
        created=moment(found.created_at),
        description=found.description,
        branches=map(branch, view.branches),
        metadata=found.metadata,
    )
    if details:
        info.details.size_bytes = view.size_bytes
        info.details.SetInParent()
    else:
        info.size_bytes_upper_bound = view.size_bytes
    return info


def project_info(found: Project) -> pfs.ProjectInfo:
    return pfs.ProjectInfo(
        project=pfs.Project(name=found.name),
        description=found.description,
        created_at=moment(found.created_at),
        metadata=found.metadata,
        created_by=found.created_by,
    )
