"""Batches of requests: one change or none."""

from itertools import pairwise

import grpc

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import transaction_v2_pb2 as transaction
from datamill.wire import (
    transaction_v2_pb2_grpc,
)
from tests.support.servers import unique
from tests.system.pfs.driver import Repo, refused

NOT_FOUND, EXISTS = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.ALREADY_EXISTS


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


def test_requests_that_no_batch_takes(pfs_channel: grpc.Channel) -> None:
    stub = transaction_v2_pb2_grpc.APIStub(pfs_channel)
    for request, text in (
        (transaction.TransactionRequest(update_job_state=pps.UpdateJobStateRequest()), "update_job_state is not supp"),
        (transaction.TransactionRequest(create_pipeline_v2=pps.CreatePipelineTransaction()), "cannot be given here"),
    ):
        with refused(grpc.StatusCode.UNIMPLEMENTED, text):
            stub.BatchTransaction(transaction.BatchTransactionRequest(requests=[request]))
