"""Provenance: what a change opens downstream, which shapes a DAG may have, walks."""

from typing import Any

import grpc
import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import transaction_v2_pb2 as transactions
from datamill.wire.transaction_v2_pb2_grpc import APIStub as TransactionStub
from tests.system.pfs.driver import Repo, at, finished, head, link, refused

UNKNOWN = grpc.StatusCode.UNKNOWN
NOBODY = "0" * 12 + "4" + "0" * 19


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
    with refused(grpc.StatusCode.INTERNAL, "cycle detected because"):
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


def test_ready_means_that_all_inputs_are_finished(a: Repo, b: Repo) -> None:
    link(b, a)
    commit = a.start()
    below = pfs.InspectCommitRequest(commit=pfs.Commit(repo=b.wire, id=commit.id), wait=pfs.CommitState.READY)
    with pytest.raises(grpc.RpcError) as caught:
        b.api.InspectCommit(below, timeout=0.3)
    error: Any = caught.value
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    a.finish(commit)
    assert not b.api.InspectCommit(below, timeout=120).HasField("finishing")


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


def test_a_commit_closed_with_an_error_does_not_wait_for_an_open_one_before_it(a: Repo, b: Repo) -> None:
    link(b, a)
    first, second = head(b), finished(a)
    assert not first.HasField("finishing")
    below = pfs.Commit(repo=b.wire, id=second)
    assert b.finish(below, error="stopped").error == "stopped"
    assert not at(b, first.commit.id).HasField("finishing")


def test_the_branches_of_a_pipeline_stay(a: Repo, b: Repo) -> None:
    """A branch that derives from its own repo's spec is what a pipeline writes to: without it there are no jobs."""
    spec = pfs.Repo(name=b.name, type="spec")
    b.api.CreateRepo(pfs.CreateRepoRequest(repo=spec))
    of_spec = pfs.Branch(repo=spec, name="master")
    more = [a.branch, of_spec]
    b.api.CreateBranch(pfs.CreateBranchRequest(branch=b.branch, provenance=more))
    delete = pfs.DeleteBranchRequest(branch=b.branch)
    with refused(UNKNOWN, "cannot delete a branch associated with a pipeline - delete the pipeline instead"):
        b.api.DeleteBranch(delete)
    with refused(UNKNOWN, "error running request 1 of 1: cannot delete a branch associated with a pipeline"):
        request = transactions.TransactionRequest(delete_branch=delete)
        TransactionStub(b.channel).BatchTransaction(transactions.BatchTransactionRequest(requests=[request]))
    with refused(UNKNOWN, "it's in the direct provenance of"):
        b.api.DeleteBranch(pfs.DeleteBranchRequest(branch=of_spec))
    other = pfs.Branch(repo=b.wire, name="other")
    b.api.CreateBranch(pfs.CreateBranchRequest(branch=other))
    b.api.DeleteBranch(pfs.DeleteBranchRequest(branch=other))
    b.api.DeleteBranch(pfs.DeleteBranchRequest(branch=b.branch, force=True))
