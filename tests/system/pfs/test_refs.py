"""Repos, branches, commits and their provenance, through the API of a running PFS: rules, error texts, concurrency."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty

from datamill.wire import (
    admin_v2_pb2,
    admin_v2_pb2_grpc,
    auth_v2_pb2,
    auth_v2_pb2_grpc,
    transaction_v2_pb2_grpc,
    versionpb_v2_pb2,
    versionpb_v2_pb2_grpc,
)
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import transaction_v2_pb2 as transaction
from tests.support.servers import unique
from tests.system.pfs.driver import Repo, put, refused

UNKNOWN, NOT_FOUND, EXISTS = grpc.StatusCode.UNKNOWN, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.ALREADY_EXISTS
NOBODY = "0" * 12 + "4" + "0" * 19


@pytest.fixture
def a(pfs_channel: grpc.Channel) -> Repo:
    return Repo(pfs_channel)


@pytest.fixture
def b(pfs_channel: grpc.Channel) -> Repo:
    return Repo(pfs_channel)


def link(below: Repo, *above: Repo, **more: Any) -> None:
    """Give below@master the provenance above@master."""
    request = pfs.CreateBranchRequest(branch=below.branch, provenance=[repo.branch for repo in above], **more)
    below.api.CreateBranch(request)


def head(repo: Repo) -> pfs.CommitInfo:
    info: pfs.CommitInfo = repo.api.InspectCommit(pfs.InspectCommitRequest(commit=repo.head))
    return info


def at(repo: Repo, id: str) -> pfs.CommitInfo:
    commit = pfs.Commit(repo=repo.wire, id=id)
    info: pfs.CommitInfo = repo.api.InspectCommit(pfs.InspectCommitRequest(commit=commit))
    return info


def commits(repo: Repo, **more: Any) -> list[str]:
    return [info.commit.id for info in repo.api.ListCommit(pfs.ListCommitRequest(repo=repo.wire, **more))]


def finished(repo: Repo) -> str:
    commit = repo.start()
    repo.finish(commit)
    return str(commit.id)


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


def test_a_commit_goes_from_started_to_finished(a: Repo) -> None:
    commit = a.start()
    assert not commit.HasField("branch")
    open_info = head(a)
    assert (open_info.commit.id, open_info.origin.kind) == (commit.id, pfs.OriginKind.USER)
    assert not open_info.HasField("finished")
    assert open_info.details == pfs.CommitInfo.Details()
    with refused(UNKNOWN, f"parent commit default/{a.name}@{commit.id} has not been finished"):
        a.start()
    a.modify(put("/x", b"12345"), commit=commit)
    assert a.finish(commit).details.size_bytes == 5
    with refused(UNKNOWN, f"commit default/{a.name}@{commit.id} has already finished"):
        a.finish(commit)
    assert a.api.InspectRepo(pfs.InspectRepoRequest(repo=a.wire)).details.size_bytes == 5


def test_ancestry_and_listing(a: Repo) -> None:
    ids = [finished(a) for _ in range(4)]
    for text, wanted in (("master^", 2), ("master~3", 0), ("master^^", 1), ("master.1", 0), (ids[3] + "^2", 1)):
        assert at(a, text).commit.id == ids[wanted]
    split = pfs.Commit(repo=a.wire, branch=a.branch, id="^2")
    assert a.api.InspectCommit(pfs.InspectCommitRequest(commit=split)).commit.id == ids[1]
    assert at(a, ids[0].upper()).commit.id == ids[0]
    with refused(UNKNOWN, "invalid offset for ancestor of commit"):
        at(a, "master^4")
    assert commits(a) == ids[::-1]
    assert commits(a, reverse=True) == ids
    assert commits(a, number=2) == ids[:1:-1]
    span = {"to": pfs.Commit(repo=a.wire, id=ids[2]), "from": pfs.Commit(repo=a.wire, id=ids[0])}
    assert commits(a, **span) == [ids[2], ids[1]]
    with refused(UNKNOWN, "cannot use `from` commit without `to` commit"):
        commits(a, **{"from": span["from"]})


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


def test_a_change_opens_commits_downstream_under_one_id(a: Repo, b: Repo, pfs_channel: grpc.Channel) -> None:
    c = Repo(pfs_channel)
    link(b, a)
    link(c, b)
    id = str(a.start().id)
    for below in (b, c):
        info = head(below)
        assert (info.commit.id, info.origin.kind) == (id, pfs.OriginKind.AUTO)
        assert not info.HasField("finished")
    assert [one.id for one in head(c).direct_provenance] == [id]
    with refused(UNKNOWN, f"cannot start a commit on an output branch: default/{b.name}@master"):
        b.start()
    members = a.api.InspectCommitSet(pfs.InspectCommitSetRequest(commit_set=pfs.CommitSet(id=id)))
    assert [info.commit.repo.name for info in members] == [a.name, b.name, c.name]


def test_an_unchanged_input_answers_to_the_sets_id(a: Repo, b: Repo, pfs_channel: grpc.Channel) -> None:
    c = Repo(pfs_channel)
    older = finished(b)
    link(c, a, b)
    id = finished(a)
    assert at(b, id).commit.id == older
    members = list(a.api.InspectCommitSet(pfs.InspectCommitSetRequest(commit_set=pfs.CommitSet(id=id))))
    assert sorted(info.commit.repo.name for info in members) == sorted([a.name, b.name, c.name])


def test_shapes_of_a_dag_that_are_refused(a: Repo, b: Repo) -> None:
    link(b, a)
    with refused(UNKNOWN, "cycle detected because"):
        link(a, b)
    with refused(UNKNOWN, "cannot be in the provenance of its own branch"):
        link(a, a)
    other = pfs.Branch(repo=a.wire, name="other")
    with refused(UNKNOWN, "multiple branches from the same repo"):
        b.api.CreateBranch(pfs.CreateBranchRequest(branch=b.branch, provenance=[a.branch, other]))
    with refused(
        UNKNOWN, f'branch "master" cannot be deleted because it\'s in the direct provenance of [default/{b.name}'
    ):
        a.api.DeleteBranch(pfs.DeleteBranchRequest(branch=a.branch))
    with refused(UNKNOWN, "branch name cannot be a UUID V4"):
        a.api.CreateBranch(pfs.CreateBranchRequest(branch=pfs.Branch(repo=a.wire, name=NOBODY)))


def test_edges_that_never_propagate_stop_commits(a: Repo, b: Repo) -> None:
    never = pfs.BranchPropagationSpec(branch=a.branch, propagation_spec=pfs.PropagationSpec(never=True))
    link(b, a, branch_propagation_specs=[never])
    before = head(b).commit.id
    finished(a)
    assert head(b).commit.id == before


def test_waiting_ends_with_the_state_and_with_deletion(a: Repo) -> None:
    commit = a.start()
    ended = list[Any]()

    def wait() -> None:
        try:
            ended.append(a.wait(commit))
        except grpc.RpcError as error:
            ended.append(error)

    for last in (lambda: a.finish(commit), lambda: a.api.DeleteRepo(pfs.DeleteRepoRequest(repo=a.wire, force=True))):
        ended.clear()
        waiting = threading.Thread(target=wait)
        waiting.start()
        last()
        waiting.join(20)
        assert len(ended) == 1
        if isinstance(ended[0], pfs.CommitInfo):
            assert ended[0].HasField("finished")


def test_subscribers_get_every_commit_once_in_order(a: Repo) -> None:
    first = finished(a)
    request = pfs.SubscribeCommitRequest(repo=a.wire, branch="master", state=pfs.CommitState.FINISHED)
    stream = a.api.SubscribeCommit(request, timeout=30)
    assert next(stream).commit.id == first
    later = [finished(a) for _ in range(3)]
    assert [next(stream).commit.id for _ in later] == later
    stream.cancel()


def test_squash_keeps_the_data_and_drop_takes_it_back(a: Repo) -> None:
    ids = []
    for path in ("/1", "/2", "/3"):
        commit = a.start()
        a.modify(put(path, b"x"), commit=commit)
        a.finish(commit)
        ids.append(commit.id)
    with refused(UNKNOWN, "use the drop operation instead"):
        a.api.SquashCommitSet(pfs.SquashCommitSetRequest(commit_set=pfs.CommitSet(id=ids[2])))
    with refused(UNKNOWN, "cannot drop a commit that has children"):
        a.api.DropCommitSet(pfs.DropCommitSetRequest(commit_set=pfs.CommitSet(id=ids[0])))
    a.api.SquashCommitSet(pfs.SquashCommitSetRequest(commit_set=pfs.CommitSet(id=ids[1])))
    assert commits(a) == [ids[2], ids[0]]
    assert head(a).parent_commit.id == ids[0]
    assert [info.file.path for info in a.api.GlobFile(pfs.GlobFileRequest(commit=a.head, pattern="/*"))] == [
        "/1",
        "/2",
        "/3",
    ]
    a.api.DropCommitSet(pfs.DropCommitSetRequest(commit_set=pfs.CommitSet(id=ids[2])))
    assert head(a).commit.id == ids[0]
    a.api.DropCommitSet(pfs.DropCommitSetRequest(commit_set=pfs.CommitSet(id=NOBODY)))


def test_a_batch_is_one_change_or_none(a: Repo, pfs_channel: grpc.Channel) -> None:
    stub = transaction_v2_pb2_grpc.APIStub(pfs_channel)
    one = pfs.Repo(name=unique("tx"), type="user", project=pfs.Project(name="default"))
    make = transaction.TransactionRequest(create_repo=pfs.CreateRepoRequest(repo=one))
    start = transaction.TransactionRequest(
        start_commit=pfs.StartCommitRequest(branch=pfs.Branch(repo=one, name="master"))
    )
    with refused(EXISTS, "error running request 3 of 3: "):
        stub.BatchTransaction(transaction.BatchTransactionRequest(requests=[make, start, make]))
    with refused(NOT_FOUND, "not found"):
        a.api.InspectRepo(pfs.InspectRepoRequest(repo=one))
    info = stub.BatchTransaction(transaction.BatchTransactionRequest(requests=[make, start]))
    assert info.responses[1].commit.id == info.transaction.id
    with refused(EXISTS, "already has a commit in this transaction"):
        stub.BatchTransaction(
            transaction.BatchTransactionRequest(requests=[
                transaction.TransactionRequest(start_commit=pfs.StartCommitRequest(branch=a.branch)),
                transaction.TransactionRequest(finish_commit=pfs.FinishCommitRequest(commit=a.head)),
                transaction.TransactionRequest(start_commit=pfs.StartCommitRequest(branch=a.branch)),
            ])
        )  # fmt: skip


def test_who_the_instance_is(pfs_channel: grpc.Channel) -> None:
    stub = admin_v2_pb2_grpc.APIStub(pfs_channel)
    info = stub.InspectCluster(admin_v2_pb2.InspectClusterRequest())
    assert info.warnings_ok
    assert info.id == stub.InspectCluster(admin_v2_pb2.InspectClusterRequest()).id
    version = versionpb_v2_pb2_grpc.APIStub(pfs_channel).GetVersion(Empty())
    assert (version.major, version.minor) == (2, 12)


def test_warnings_say_what_is_odd_about_a_client(pfs_channel: grpc.Channel) -> None:
    def warned(**request: Any) -> list[str]:
        stub = admin_v2_pb2_grpc.APIStub(pfs_channel)
        return list(stub.InspectCluster(admin_v2_pb2.InspectClusterRequest(**request)).warnings)

    fits = versionpb_v2_pb2.Version(major=2, minor=12, micro=3)
    assert warned(client_version=fits, current_project=pfs.Project(name="default")) == []
    for request, word in (
        ({}, "did not say its version"),
        ({"client_version": versionpb_v2_pb2.Version(major=2, minor=3)}, "much older"),
        ({"client_version": versionpb_v2_pb2.Version(major=3)}, "much newer"),
        ({"client_version": fits, "current_project": pfs.Project(name="nobody")}, 'Could not inspect project "nobody"'),
    ):
        (text,) = warned(**request)
        assert text.startswith("WARNING:")
        assert word in text


def test_access_control_says_that_it_is_off(pfs_channel: grpc.Channel) -> None:
    with refused(grpc.StatusCode.UNIMPLEMENTED, "the auth service is not activated"):
        auth_v2_pb2_grpc.APIStub(pfs_channel).WhoAmI(auth_v2_pb2.WhoAmIRequest())


def test_walks_go_nearest_first_from_each_start(a: Repo, b: Repo, pfs_channel: grpc.Channel) -> None:
    c = Repo(pfs_channel)
    link(b, a)
    link(c, b)
    id = finished(a)

    def picked(repo: Repo) -> pfs.RepoPicker:
        project = pfs.ProjectPicker(name="default")
        return pfs.RepoPicker(name=pfs.RepoPicker.RepoName(project=project, name=repo.name))

    def branch(repo: Repo) -> pfs.BranchPicker:
        return pfs.BranchPicker(name=pfs.BranchPicker.BranchName(repo=picked(repo), name="master"))

    up = a.api.WalkBranchProvenance(pfs.WalkBranchProvenanceRequest(start=[branch(c), branch(b)]))
    assert [info.branch.repo.name for info in up] == [b.name, a.name, a.name]
    near = a.api.WalkBranchSubvenance(pfs.WalkBranchSubvenanceRequest(start=[branch(a)], max_depth=1))
    assert [info.branch.repo.name for info in near] == [b.name]
    by_id = pfs.CommitPicker(id=pfs.CommitPicker.CommitByGlobalId(repo=picked(a), id=id))
    down = a.api.WalkCommitSubvenance(pfs.WalkCommitSubvenanceRequest(start=[by_id]))
    assert [(info.commit.repo.name, info.commit.id) for info in down] == [(b.name, id), (c.name, id)]
    root = pfs.CommitPicker(branch_root=pfs.CommitPicker.BranchRoot(branch=branch(c), offset=0))
    assert [
        info.commit.repo.name
        for info in a.api.WalkCommitProvenance(pfs.WalkCommitProvenanceRequest(start=[root], max_commits=1))
    ] == [b.name]
    with refused(UNKNOWN, "commit picker cannot be nil"):
        list(a.api.WalkCommitProvenance(pfs.WalkCommitProvenanceRequest(start=[pfs.CommitPicker()])))


def test_one_batch_builds_a_whole_dag_under_one_id(pfs_channel: grpc.Channel) -> None:
    """The input's commit is started after the branch that derives from it is made: both get one commit, linked."""
    names = [unique("dag") for _ in range(3)]
    repos = [pfs.Repo(name=name, type="user", project=pfs.Project(name="default")) for name in names]
    branches = [pfs.Branch(repo=repo, name="master") for repo in repos]
    requests = [
        *(transaction.TransactionRequest(create_repo=pfs.CreateRepoRequest(repo=repo)) for repo in repos),
        transaction.TransactionRequest(start_commit=pfs.StartCommitRequest(branch=branches[0])),
        *(
            transaction.TransactionRequest(create_branch=pfs.CreateBranchRequest(branch=below, provenance=[above]))
            for above, below in pairwise(branches)
        ),
    ]
    batch = transaction.BatchTransactionRequest(requests=requests)
    info = transaction_v2_pb2_grpc.APIStub(pfs_channel).BatchTransaction(batch)
    stub = Repo(pfs_channel).api
    members = list(stub.InspectCommitSet(pfs.InspectCommitSetRequest(commit_set=pfs.CommitSet(id=info.transaction.id))))
    assert [one.commit.repo.name for one in members] == names
    assert {one.commit.id for one in members} == {info.transaction.id}
    assert [len(one.direct_provenance) for one in members] == [0, 1, 1]
    for name in names:
        found = stub.ListCommit(pfs.ListCommitRequest(repo=pfs.Repo(name=name, type="user")))
        assert len(list(found)) == 1


def test_dropping_the_only_commit_leaves_an_empty_one(a: Repo, b: Repo) -> None:
    id = finished(a)
    link(b, a)
    a.api.DropCommit(pfs.DropCommitRequest(commit=pfs.Commit(repo=a.wire, id=id), recursive=True))
    empty, below = head(a), head(b)
    assert empty.commit.id not in {id, ""}
    assert (empty.origin.kind, empty.HasField("finished")) == (pfs.OriginKind.AUTO, True)
    assert not below.HasField("finished")
    assert [one.id for one in below.direct_provenance] == [empty.commit.id]
    assert commits(a) == [empty.commit.id]


def test_ready_means_that_all_inputs_are_finished(a: Repo, b: Repo) -> None:
    link(b, a)
    commit = a.start()
    below = pfs.InspectCommitRequest(commit=pfs.Commit(repo=b.wire, id=commit.id), wait=pfs.CommitState.READY)
    with pytest.raises(grpc.RpcError) as caught:
        b.api.InspectCommit(below, timeout=0.3)
    error: Any = caught.value
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    a.finish(commit)
    assert not b.api.InspectCommit(below, timeout=10).HasField("finishing")


def test_a_moved_head_keeps_its_id_and_gives_a_new_one_downstream(a: Repo, b: Repo) -> None:
    first, second = finished(a), finished(a)
    link(b, a)
    before = head(b).commit.id
    a.api.CreateBranch(pfs.CreateBranchRequest(branch=a.branch, head=pfs.Commit(repo=a.wire, id=first)))
    after = head(b)
    assert head(a).commit.id == first
    assert after.commit.id not in {first, second, before}
    assert after.parent_commit.id == before
    assert [one.id for one in after.direct_provenance] == [first]


def test_a_parent_may_be_named_and_a_fork_moves_the_head(a: Repo) -> None:
    first, _ = finished(a), finished(a)
    request = pfs.StartCommitRequest(branch=a.branch, parent=pfs.Commit(repo=a.wire, id=first))
    made = a.api.StartCommit(request)
    assert head(a).commit.id == made.id
    assert head(a).parent_commit.id == first
    assert len(at(a, first).child_commits) == 2
