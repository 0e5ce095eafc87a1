"""Repos and projects, through the API of a running PFS: rules, error texts, concurrency."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from tests.support.servers import unique
from tests.system.pfs.driver import Repo, at, head, put, refused

UNKNOWN, NOT_FOUND, EXISTS = grpc.StatusCode.UNKNOWN, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.ALREADY_EXISTS
NOBODY = "0" * 12 + "4" + "0" * 19


def test_repos_exist_once(a: Repo) -> None:
    with refused(EXISTS, f"repo default/{a.name} already exists"):
        a.api.CreateRepo(pfs.CreateRepoRequest(repo=a.wire))
    a.api.CreateRepo(pfs.CreateRepoRequest(repo=a.wire, update=True, description="new"))
    assert a.api.InspectRepo(pfs.InspectRepoRequest(repo=a.wire)).description == "new"
    a.api.DeleteRepo(pfs.DeleteRepoRequest(repo=a.wire))
    assert not a.api.DeleteRepo(pfs.DeleteRepoRequest(repo=a.wire)).deleted
    with refused(NOT_FOUND, f"repo default/{a.name} not found"):
        a.api.InspectRepo(pfs.InspectRepoRequest(repo=a.wire))


def test_of_many_that_make_one_repo_one_succeeds(a: Repo) -> None:
    name = unique("race")
    request = pfs.CreateRepoRequest(repo=pfs.Repo(name=name, type="user"))

    def make(_: int) -> bool:
        try:
            a.api.CreateRepo(request)
        except grpc.RpcError:
            return False
        return True

    with ThreadPoolExecutor(12) as threads:
        assert sum(threads.map(make, range(24))) == 1


def test_projects(a: Repo) -> None:
    name = unique("proj")
    project = pfs.Project(name=name)
    a.api.CreateProject(pfs.CreateProjectRequest(project=project, description="one"))
    with refused(EXISTS, "already exists"):
        a.api.CreateProject(pfs.CreateProjectRequest(project=project))
    assert a.api.InspectProject(pfs.InspectProjectRequest(project=project)).description == "one"
    a.api.CreateRepo(pfs.CreateRepoRequest(repo=pfs.Repo(name="r", project=project)))
    with refused(grpc.StatusCode.FAILED_PRECONDITION, f"cannot delete project {name}: repo {name}/r still exists"):
        a.api.DeleteProject(pfs.DeleteProjectRequest(project=project))
    with refused(NOT_FOUND, "not found"):
        a.api.InspectProject(pfs.InspectProjectRequest(project=pfs.Project(name="nobody")))


def test_what_cannot_be_found_is_named(a: Repo) -> None:
    with refused(NOT_FOUND, f"commit default/{a.name}@{NOBODY} not found"):
        at(a, NOBODY)
    with refused(NOT_FOUND, f'branch "nobody" not found in repo default/{a.name}'):
        at(a, "nobody")
    with refused(NOT_FOUND, "no commits found for commitset"):
        list(a.api.InspectCommitSet(pfs.InspectCommitSetRequest(commit_set=pfs.CommitSet(id=NOBODY))))
    with refused(NOT_FOUND, "repo (id=0, project=default, name=dne, type=user) not found"):
        a.api.CreateBranch(pfs.CreateBranchRequest(branch=pfs.Branch(repo=pfs.Repo(name="dne", type="user"), name="x")))


@pytest.mark.parametrize("call", ["InspectRepo", "InspectBranch", "InspectCommit", "StartCommit", "CreateBranch"])
def test_empty_requests_are_refused_clearly(a: Repo, call: str) -> None:
    method: Callable[[Any], Any] = getattr(a.api, call)
    with pytest.raises(grpc.RpcError) as caught:
        method(getattr(pfs, f"{call}Request")())
    error: Any = caught.value
    assert error.code() in (UNKNOWN, grpc.StatusCode.INVALID_ARGUMENT)
    assert error.details()


def test_fields_that_count_for_nothing(a: Repo) -> None:
    """Those that clients of other releases still fill in, and those whose meaning another field has taken over."""
    a.modify(put("/f", b"x"))
    commit = a.wait().commit
    a.api.CreateBranch(pfs.CreateBranchRequest(branch=a.branch, new_commit_set=True))
    assert head(a).commit == commit
    nobody = pfs.Branch(repo=pfs.Repo(name="nobody"), name="nobodys")
    assert at_all(a, pfs.Commit(repo=a.wire, id=commit.id, branch=nobody)) == commit, "an id needs no branch"
    assert at_all(a, pfs.Commit(id=commit.id, branch=pfs.Branch(repo=a.wire, name="nobodys"))) == commit
    started = a.api.StartCommit(pfs.StartCommitRequest(branch=a.branch, parent=pfs.Commit()))
    assert at(a, started.id).parent_commit == commit, "an empty parent is none"
    a.finish(started)
    shallow = pfs.DiffFileRequest(new_file=a.file("/"), shallow=True)
    assert list(a.api.DiffFile(shallow)) == list(a.api.DiffFile(pfs.DiffFileRequest(new_file=a.file("/"))))
    fsck = a.api.Fsck(pfs.FsckRequest(fix=True))
    assert not [one.error for one in fsck if a.name in one.error]


def at_all(repo: Repo, commit: pfs.Commit) -> pfs.Commit:
    return repo.api.InspectCommit(pfs.InspectCommitRequest(commit=commit)).commit
