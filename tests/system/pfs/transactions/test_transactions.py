"""Transactions that are collected: what they show, what they refuse, and that they happen whole or not at all."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pfs_v2_pb2_grpc as pfs_grpc
from datamill.wire import staging_v1_pb2 as staging
from datamill.wire import staging_v1_pb2_grpc as staging_grpc
from datamill.wire import transaction_v2_pb2 as wire
from datamill.wire import transaction_v2_pb2_grpc
from tests.support.servers import unique
from tests.system.pfs.driver import Repo, at, head, link, refused

NOT_FOUND, EXISTS, UNKNOWN = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.ALREADY_EXISTS, grpc.StatusCode.UNKNOWN
INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOBODY = "0" * 12 + "4" + "0" * 19


@dataclass
class Transaction:
    """An open transaction and the calls that join it."""

    channel: grpc.Channel
    id: str = ""
    api: transaction_v2_pb2_grpc.APIStub = field(init=False)
    files: pfs_grpc.APIStub = field(init=False)

    def __post_init__(self) -> None:
        self.api = transaction_v2_pb2_grpc.APIStub(self.channel)
        self.files = pfs_grpc.APIStub(self.channel)
        self.id = self.id or self.api.StartTransaction(wire.StartTransactionRequest()).id

    @property
    def header(self) -> tuple[tuple[str, str], ...]:
        return (("pach-transaction", self.id),)

    @property
    def ref(self) -> wire.Transaction:
        return wire.Transaction(id=self.id)

    def create_repo(self, repo: pfs.Repo) -> None:
        self.files.CreateRepo(pfs.CreateRepoRequest(repo=repo), metadata=self.header)

    def start(self, repo: pfs.Repo) -> pfs.Commit:
        request = pfs.StartCommitRequest(branch=pfs.Branch(repo=repo, name="master"))
        commit: pfs.Commit = self.files.StartCommit(request, metadata=self.header)
        return commit

    def end(self, commit: pfs.Commit) -> None:
        self.files.FinishCommit(pfs.FinishCommitRequest(commit=commit), metadata=self.header)

    def info(self) -> wire.TransactionInfo:
        found: wire.TransactionInfo = self.api.InspectTransaction(wire.InspectTransactionRequest(transaction=self.ref))
        return found

    def finish(self) -> wire.TransactionInfo:
        found: wire.TransactionInfo = self.api.FinishTransaction(wire.FinishTransactionRequest(transaction=self.ref))
        return found

    def delete(self) -> None:
        self.api.DeleteTransaction(wire.DeleteTransactionRequest(transaction=self.ref))


@pytest.fixture
def tx(pfs_channel: grpc.Channel) -> Transaction:
    return Transaction(pfs_channel)


def repo_named(name: str) -> pfs.Repo:
    return pfs.Repo(name=name, type="user", project=pfs.Project(name="default"))


def test_one_that_was_opened_is_shown_listed_and_forgotten(tx: Transaction) -> None:
    info = tx.info()
    assert (info.transaction.id, info.version, len(info.requests), len(info.responses)) == (tx.id, 0, 0, 0)
    assert info.started.seconds
    listed = tx.api.ListTransaction(wire.ListTransactionRequest()).transaction_info
    assert info in listed
    tx.delete()
    for call in (tx.delete, tx.info, tx.finish):
        with refused(NOT_FOUND, f"transaction {tx.id} not found"):
            call()
    with refused(NOT_FOUND, "not found"):
        tx.create_repo(repo_named(unique("tx")))


def test_a_transaction_must_be_named(tx: Transaction) -> None:
    with refused(INVALID, "validate request: transaction"):
        tx.api.InspectTransaction(wire.InspectTransactionRequest())
    with refused(INVALID, "validate request: transaction"):
        tx.api.DeleteTransaction(wire.DeleteTransactionRequest())
    with refused(INVALID, "validate request: transaction"):
        tx.api.FinishTransaction(wire.FinishTransactionRequest())


def test_an_empty_one_is_finished_with_nothing_done(tx: Transaction) -> None:
    info = tx.finish()
    assert (len(info.requests), len(info.responses)) == (0, 0)
    batch = tx.api.BatchTransaction(wire.BatchTransactionRequest())
    assert not batch.responses
    with refused(UNKNOWN, "error running request 1 of 1: unrecognized transaction request type"):
        tx.api.BatchTransaction(wire.BatchTransactionRequest(requests=[wire.TransactionRequest()]))


def test_nothing_is_seen_before_the_end_and_everything_after(tx: Transaction, a: Repo) -> None:
    one = repo_named(unique("tx"))
    tx.create_repo(one)
    commit = tx.start(one)
    assert commit.id == tx.id
    assert not commit.HasField("branch")
    tx.end(pfs.Commit(repo=one, branch=pfs.Branch(repo=one, name="master")))
    branch = pfs.Branch(repo=one, name="copy")
    tx.files.CreateBranch(pfs.CreateBranchRequest(branch=branch, head=commit), metadata=tx.header)
    with refused(NOT_FOUND, "not found"):
        tx.files.InspectRepo(pfs.InspectRepoRequest(repo=one), metadata=tx.header)
    shown = tx.info()
    assert shown.version == 4
    assert [one.ListFields()[0][0].name for one in shown.requests] == [
        "create_repo", "start_commit", "finish_commit", "create_branch",
    ]  # fmt: skip
    done = tx.finish()
    assert [one.HasField("commit") for one in done.responses] == [False, True, False, False]
    assert (done.responses[1].commit.id, done.responses[1].commit.branch.name) == (tx.id, "master")
    made = Repo(tx.channel, one.name)
    assert made.wait().commit.id == tx.id
    assert tx.files.InspectBranch(pfs.InspectBranchRequest(branch=branch)).head.id == tx.id


def test_an_addition_that_cannot_run_is_not_kept(tx: Transaction, a: Repo) -> None:
    one = repo_named(unique("tx"))
    tx.create_repo(one)
    with refused(EXISTS, "error running request 2 of 2: "):
        tx.create_repo(one)
    with refused(NOT_FOUND, "error running request 2 of 2: "):
        tx.start(repo_named(unique("none")))
    assert len(tx.info().requests) == 1
    tx.start(a.wire)
    tx.end(a.head)
    with refused(EXISTS, "already has a commit in this transaction"):
        tx.start(a.wire)
    assert len(tx.finish().responses) == 3
    assert head(a).commit.id == tx.id


def test_one_that_became_impossible_stays_and_does_nothing(tx: Transaction, a: Repo) -> None:
    one, two = repo_named(unique("tx")), repo_named(unique("tx"))
    tx.create_repo(one)
    tx.create_repo(two)
    a.api.CreateRepo(pfs.CreateRepoRequest(repo=two))
    with refused(EXISTS, f"error running request 2 of 2: repo default/{two.name} already exists"):
        tx.finish()
    with refused(EXISTS, "error running request 2 of 3: "):
        tx.create_repo(repo_named(unique("tx")))
    with refused(NOT_FOUND, "not found"):
        a.api.InspectRepo(pfs.InspectRepoRequest(repo=one))
    assert len(tx.info().requests) == 2
    a.api.DeleteRepo(pfs.DeleteRepoRequest(repo=two))
    assert len(tx.finish().responses) == 2


def test_two_inputs_started_together_give_one_commit_downstream(tx: Transaction, a: Repo, b: Repo) -> None:
    below = Repo(tx.channel)
    link(below, a, b)
    before = len(list(below.api.ListCommit(pfs.ListCommitRequest(repo=below.wire))))
    tx.start(a.wire)
    tx.start(b.wire)
    assert len(list(below.api.ListCommit(pfs.ListCommitRequest(repo=below.wire)))) == before  # only tried so far
    tx.finish()
    assert len(list(below.api.ListCommit(pfs.ListCommitRequest(repo=below.wire)))) == before + 1
    made = at(below, tx.id)
    assert {one.repo.name for one in made.direct_provenance} == {a.name, b.name}
    assert {one.id for one in made.direct_provenance} == {tx.id}


def test_shapes_are_looked_at_when_something_is_added(tx: Transaction, a: Repo, b: Repo) -> None:
    for name in ("one", "two"):
        branch = pfs.Branch(repo=a.wire, name=name)
        a.api.CreateBranch(pfs.CreateBranchRequest(branch=branch))
    above = [pfs.Branch(repo=a.wire, name=name) for name in ("one", "two")]
    with refused(UNKNOWN, "validate DAG at end of transaction: multiple branches from the same repo, "):
        tx.files.CreateBranch(pfs.CreateBranchRequest(branch=b.branch, provenance=above), metadata=tx.header)


def test_deleting_is_staged_as_well(tx: Transaction, a: Repo, b: Repo) -> None:
    a.finish(a.start())
    b.finish(b.start())
    assert tx.files.DeleteRepo(pfs.DeleteRepoRequest(repo=a.wire), metadata=tx.header).deleted
    tx.files.DeleteBranch(pfs.DeleteBranchRequest(branch=b.branch), metadata=tx.header)
    set_id = pfs.CommitSet(id=head(b).commit.id)
    a.api.InspectRepo(pfs.InspectRepoRequest(repo=a.wire))
    assert tx.info().requests[1].delete_branch.branch.name == "master"
    with refused(UNKNOWN, "error running request 3 of 3: cannot squash"):
        tx.files.SquashCommitSet(pfs.SquashCommitSetRequest(commit_set=set_id), metadata=tx.header)
    tx.finish()
    with refused(NOT_FOUND, f"repo default/{a.name} not found"):
        a.api.InspectRepo(pfs.InspectRepoRequest(repo=a.wire))
    with refused(NOT_FOUND, "not found"):
        b.api.InspectBranch(pfs.InspectBranchRequest(branch=b.branch))


def test_some_calls_take_no_notice_of_the_header(tx: Transaction, a: Repo) -> None:
    project = unique("p")
    tx.files.CreateProject(pfs.CreateProjectRequest(project=pfs.Project(name=project)), metadata=tx.header)
    tx.files.InspectProject(pfs.InspectProjectRequest(project=pfs.Project(name=project)))
    tx.files.DeleteProject(pfs.DeleteProjectRequest(project=pfs.Project(name=project)), metadata=tx.header)
    a.finish(a.start())
    drop = pfs.DropCommitSetRequest(commit_set=pfs.CommitSet(id=head(a).commit.id))
    tx.files.DropCommitSet(drop, metadata=tx.header)
    assert not tx.info().requests


def test_an_empty_header_and_one_in_capitals(tx: Transaction, a: Repo) -> None:
    one = repo_named(unique("tx"))
    a.api.CreateRepo(pfs.CreateRepoRequest(repo=one), metadata=(("pach-transaction", ""),))
    a.api.InspectRepo(pfs.InspectRepoRequest(repo=one))
    loud = Transaction(tx.channel, tx.id.upper())
    assert loud.start(one).id == tx.id
    assert loud.finish().transaction.id == tx.id
    with refused(NOT_FOUND, f"transaction {NOBODY} not found"):
        Transaction(tx.channel, NOBODY).create_repo(one)


@pytest.mark.parametrize("id", ["", "x", "\0", "f" * 5000])
def test_ids_that_cannot_be(pfs_channel: grpc.Channel, id: str) -> None:
    odd = Transaction(pfs_channel, NOBODY)
    odd.id = id
    for call in (odd.info, odd.delete, odd.finish):
        with refused(NOT_FOUND, "not found"):
            call()


def test_a_name_with_a_nul_is_refused_on_every_database(a: Repo) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        a.api.InspectRepo(pfs.InspectRepoRequest(repo=repo_named("a\0b")))
    error: Any = caught.value
    assert error.code() in {NOT_FOUND, INVALID}


def test_additions_at_once_are_all_kept_in_some_order(tx: Transaction) -> None:
    repos = [repo_named(unique("tx")) for _ in range(12)]
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(tx.create_repo, repos))
    info = tx.info()
    assert info.version == 12
    assert {one.create_repo.repo.name for one in info.requests} == {repo.name for repo in repos}
    assert len(tx.finish().responses) == 12


def test_two_that_finish_one_at_once_cannot_both_win(tx: Transaction, a: Repo) -> None:
    tx.start(a.wire)

    def attempt(_: int) -> grpc.StatusCode | None:
        try:
            tx.finish()
        except grpc.RpcError as error:
            return error.code()
        return None

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(attempt, range(4)))
    assert sorted(map(str, results)) == sorted(map(str, [None, *[NOT_FOUND] * 3]))


def test_what_only_services_may_ask_for_is_kept_from_users(pfs_channel: grpc.Channel) -> None:

    stub = staging_grpc.StagingServiceStub(pfs_channel)
    with refused(grpc.StatusCode.PERMISSION_DENIED, "kept for datamill's own services"):
        stub.Stage(staging.StageRequest())
    with refused(grpc.StatusCode.PERMISSION_DENIED, "kept for"):
        list(stub.ListIntents(staging.ListIntentsRequest(owner="pps")))
    with refused(grpc.StatusCode.PERMISSION_DENIED, "kept for"):
        stub.CompleteIntent(staging.CompleteIntentRequest(number=1))


def test_forgetting_all_leaves_none(pfs_channel: grpc.Channel, tx: Transaction) -> None:
    other = Transaction(pfs_channel)
    tx.api.DeleteAll(wire.DeleteAllRequest())
    assert not tx.api.ListTransaction(wire.ListTransactionRequest()).transaction_info
    with refused(NOT_FOUND, "not found"):
        other.info()
