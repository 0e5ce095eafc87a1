"""A service that dies around the end of a transaction: its pipelines come later, once, or not at all.

No other pipeline service may run over the session's PFS here: it would do the dead one's part.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pfs_v2_pb2_grpc as pfs_grpc
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import staging_v1_pb2 as staging
from datamill.wire import staging_v1_pb2_grpc as staging_grpc
from datamill.wire import transaction_v2_pb2 as wire
from services.kit.rpc.server import SERVICE_TOKEN_HEADER
from services.kit.storage.database import Database
from services.pps.duties import staged
from services.pps.operations import intents
from services.pps.peers.repos import Repos
from tests.support.patience import eventually
from tests.support.servers import unique
from tests.system.chaos.dag import leaf, named, pipeline
from tests.system.pps.changes.test_pipelines import Side, inspect, repo, repos, started
from tests.system.pps.changes.test_staged import NOT_FOUND, Transaction
from tests.system.pps.crashes.test_crashes import crashed


def intents_left(channel: grpc.Channel, token: str) -> list[Any]:
    stub = staging_grpc.StagingServiceStub(channel)
    return list(stub.ListIntents(staging.ListIntentsRequest(owner="pps"), metadata=((SERVICE_TOKEN_HEADER, token),)))


@pytest.fixture
def dying(
    tmp_path: Path, nats_url: str, service_token: str, pfs_address: str, pfs_channel: grpc.Channel
) -> Iterator[tuple[Transaction, str]]:
    """A transaction that makes a pipeline, whose PPS has been killed; and the pipeline's name."""
    source, name = unique("in"), unique("p")
    with started(tmp_path, nats_url, service_token, pfs_address) as side:
        tx = Transaction(side, pfs_channel)
        tx.create_repo(source)
        tx.create(pipeline(name, "true", leaf(source, "/*")))
        os.killpg(side.process.process.pid, signal.SIGKILL)
        side.process.process.wait()
    yield tx, name
    assert not intents_left(pfs_channel, service_token)


def test_a_service_that_was_dead_at_the_end_does_its_part_later(
    dying: tuple[Transaction, str], tmp_path: Path, nats_url: str, service_token: str, pfs_address: str
) -> None:
    tx, name = dying
    tx.finish_without_the_owner()
    with started(tmp_path, nats_url, service_token, pfs_address) as side:
        eventually(lambda: known(side, name))
        assert inspect(side, name).spec_commit.id == tx.id


def test_a_death_between_the_version_and_its_tick_changes_nothing(
    dying: tuple[Transaction, str],
    tmp_path: Path,
    nats_url: str,
    service_token: str,
    pfs_address: str,
    pfs_channel: grpc.Channel,
) -> None:
    tx, name = dying
    tx.finish_without_the_owner()
    (intent,) = intents_left(pfs_channel, service_token)
    version, stopped = staged.unpacked(intent.payload)

    async def steps(db: Database, _: Repos) -> None:
        await db.run(intents.staged_in_force, version, intent.transaction_id, stopped=stopped, now=version.at)

    crashed(tmp_path, pfs_address, service_token, steps)
    with started(tmp_path, nats_url, service_token, pfs_address) as side:
        eventually(lambda: not intents_left(pfs_channel, service_token))
        listed = side.pps.ListPipeline(pps.ListPipelineRequest(pipeline=named(name), history=-1))
        assert [one.version for one in listed] == [1]


def test_a_pipeline_whose_repos_were_deleted_before_its_service_heard_of_it_does_not_come_up(
    dying: tuple[Transaction, str],
    tmp_path: Path,
    nats_url: str,
    service_token: str,
    pfs_address: str,
    pfs_channel: grpc.Channel,
) -> None:
    tx, name = dying
    tx.finish_without_the_owner()
    gone = pfs.DeleteRepoRequest(repo=repo(name), force=True)
    pfs_grpc.APIStub(pfs_channel).DeleteRepo(gone, metadata=((SERVICE_TOKEN_HEADER, service_token),))
    with started(tmp_path, nats_url, service_token, pfs_address) as side:
        eventually(lambda: not intents_left(pfs_channel, service_token))
        assert not known(side, name)


def test_one_that_is_never_finished_leaves_nothing(
    dying: tuple[Transaction, str], tmp_path: Path, nats_url: str, service_token: str, pfs_address: str
) -> None:
    tx, name = dying
    tx.api.DeleteTransaction(wire.DeleteTransactionRequest(transaction=wire.Transaction(id=tx.id)))
    with started(tmp_path, nats_url, service_token, pfs_address) as side:
        assert not known(side, name)
        assert repos(side, name) == set()


def known(side: Side, name: str) -> bool:
    try:
        inspect(side, name)
    except grpc.RpcError as error:
        if error.code() is NOT_FOUND:
            return False
        raise
    return True
