"""Pipelines that come with a transaction: nothing before its end, everything after, whatever dies in between."""

import grpc
import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import transaction_v2_pb2 as wire
from datamill.wire import transaction_v2_pb2_grpc
from tests.support.patience import eventually
from tests.support.servers import unique
from tests.system.chaos.dag import leaf, named, pipeline
from tests.system.pfs.driver import refused
from tests.system.pps.changes.test_pipelines import Side, branch, inspect, made, repo, repos, side

__all__ = ["side"]
NOT_FOUND, EXISTS, UNKNOWN = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.ALREADY_EXISTS, grpc.StatusCode.UNKNOWN
SHORT = 1.0  # seconds that a finish waits here for a service that is dead


class Transaction:
    """One that is open, and the calls that join it."""

    def __init__(self, side: Side, channel: grpc.Channel) -> None:
        self.side, self.api = side, transaction_v2_pb2_grpc.APIStub(channel)
        self.id = self.api.StartTransaction(wire.StartTransactionRequest()).id

    @property
    def header(self) -> tuple[tuple[str, str], ...]:
        return (("pach-transaction", self.id),)

    def create(self, request: pps.CreatePipelineRequest) -> None:
        self.side.pps.CreatePipeline(request, metadata=self.header)

    def create_repo(self, name: str) -> None:
        self.side.pfs.CreateRepo(pfs.CreateRepoRequest(repo=repo(name)), metadata=self.header)

    def info(self) -> wire.TransactionInfo:
        request = wire.InspectTransactionRequest(transaction=wire.Transaction(id=self.id))
        found: wire.TransactionInfo = self.api.InspectTransaction(request)
        return found

    def finish(self, seconds: float = 120) -> None:
        request = wire.FinishTransactionRequest(transaction=wire.Transaction(id=self.id))
        self.api.FinishTransaction(request, timeout=seconds)

    def finish_without_the_owner(self) -> None:
        """PFS has done its part when the caller loses patience."""
        with refused(grpc.StatusCode.DEADLINE_EXCEEDED, ""):
            self.finish(SHORT)
        with refused(NOT_FOUND, self.id):
            self.info()


@pytest.fixture
def tx(side: Side, pfs_channel: grpc.Channel) -> Transaction:
    return Transaction(side, pfs_channel)


def test_nothing_is_there_before_the_end_and_all_of_it_after(side: Side, tx: Transaction) -> None:
    source, first, second = unique("in"), unique("p"), unique("p")
    tx.create_repo(source)
    tx.create(pipeline(first, "true", leaf(source, "/*")))
    tx.create(pipeline(second, "true", leaf(first, "/")))
    shown = tx.info().requests[1].create_pipeline_v2
    assert shown.create_pipeline_request.pipeline.name == first
    assert source in shown.user_json
    assert source in shown.effective_json
    assert repos(side, first) == set()
    with refused(NOT_FOUND, f'pipeline "default/{first}" not found'):
        inspect(side, first)
    tx.finish()
    for name in (first, second):
        info = inspect(side, name)
        assert (info.version, info.spec_commit.id, info.stopped) == (1, tx.id, False)
        assert repos(side, name) == {"user", "meta", "spec"}
        assert branch(side, name).head.id == tx.id
        listed = list(side.pfs.ListCommit(pfs.ListCommitRequest(repo=repo(name))))
        assert [one.commit.id for one in listed] == [tx.id]


def test_what_cannot_be_is_refused_when_it_is_added(side: Side, tx: Transaction) -> None:
    source, name = made(side)
    with refused(EXISTS, f'pipeline "default/{name}" already exists'):
        tx.create(pipeline(name, "true", leaf(source, "/*")))
    with refused(NOT_FOUND, "error running request 1 of 1: "):
        tx.create(pipeline(unique("p"), "true", leaf(unique("none"), "/*")))
    with refused(UNKNOWN, "glob"):
        tx.create(pipeline(unique("p"), "true", leaf(source, "/[")))
    with refused(NOT_FOUND, "transaction 00 not found"):
        side.pps.CreatePipeline(
            pipeline(unique("p"), "true", leaf(source, "/")), metadata=(("pach-transaction", "00"),)
        )
    assert not tx.info().requests
    tx.create_repo(unique("in"))
    with refused(grpc.StatusCode.UNIMPLEMENTED, "error running request 1 of 1: create_pipeline_v2"):
        tx.api.BatchTransaction(
            wire.BatchTransactionRequest(
                requests=[wire.TransactionRequest(create_pipeline_v2=pps.CreatePipelineTransaction())]
            )
        )


def test_one_that_cannot_be_finished_leaves_nothing_of_a_pipeline(side: Side, tx: Transaction) -> None:
    source, name, other = unique("in"), unique("p"), unique("in")
    tx.create_repo(source)
    tx.create(pipeline(name, "true", leaf(source, "/*")))
    tx.create_repo(other)
    side.pfs.CreateRepo(pfs.CreateRepoRequest(repo=repo(other)))
    with refused(EXISTS, "error running request 3 of 3: "):
        tx.finish()
    assert repos(side, name) == set()
    with refused(NOT_FOUND, "not found"):
        inspect(side, name)
    side.pfs.DeleteRepo(pfs.DeleteRepoRequest(repo=repo(other)))
    tx.finish()
    assert inspect(side, name).version == 1


def test_an_update_takes_effect_at_the_end(side: Side, tx: Transaction) -> None:
    source, name = made(side)
    request = pipeline(name, "false", leaf(source, "/"))
    request.update = True
    tx.create(request)
    assert inspect(side, name).version == 1
    tx.finish()
    info = inspect(side, name)
    assert (info.version, info.spec_commit.id, info.details.input.pfs.glob) == (2, tx.id, "/")
    assert branch(side, name).head.id == tx.id


def test_an_update_of_a_version_that_is_no_longer_in_force_fails_at_the_end(side: Side, tx: Transaction) -> None:
    source, name = made(side)
    request = pipeline(name, "false", leaf(source, "/"))
    request.update = True
    tx.create(request)
    side.pps.CreatePipeline(request)
    with refused(UNKNOWN, f"error running request 1 of 1: branch default/{name}.spec@master has changed since"):
        tx.finish()
    assert inspect(side, name).version == 2
    side.pps.DeletePipeline(pps.DeletePipelineRequest(pipeline=named(name)))
    with refused(UNKNOWN, "has changed since"):
        tx.finish()
    assert repos(side, name) == set()


def test_an_update_of_a_pipeline_that_is_stopped_meanwhile_leaves_it_stopped(side: Side, tx: Transaction) -> None:
    source, name = made(side)
    request = pipeline(name, "false", leaf(source, "/"))
    request.update = True
    tx.create(request)
    side.pps.StopPipeline(pps.StopPipelineRequest(pipeline=named(name)))
    tx.finish()
    eventually(lambda: not branch(side, name).direct_provenance)
    info = inspect(side, name)
    assert (info.version, info.stopped, info.state) == (2, True, pps.PIPELINE_PAUSED)
