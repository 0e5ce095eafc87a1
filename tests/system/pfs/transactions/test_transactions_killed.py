"""PFS killed while transactions are added to and finished: each is open with what was acknowledged, or done whole."""

import random
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import grpc
import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pfs_v2_pb2_grpc, transaction_v2_pb2_grpc
from datamill.wire import transaction_v2_pb2 as wire
from tests.support.postgres import Postgres
from tests.support.servers import SERVING, channel, eventually, running, service_command, settings, unique

ROUNDS, REPOS = 4, 2


@dataclass
class Told:
    """What a client knows of its transaction."""

    id: str
    names: list[str] = field(default_factory=list)
    """Of the repos whose addition was acknowledged."""
    asked: str = ""
    """The repo that may have been added."""
    finishing: bool = False
    done: bool = False


@pytest.fixture(params=["sqlite", "postgresql"])
def env(request: pytest.FixtureRequest, tmp_path: Path, nats_url: str, service_token: str) -> dict[str, str]:
    found = settings("pfs", tmp_path, nats_url=nats_url, token=service_token)
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        found["PFS_DATABASE_URL"] = server.schema(unique("killed").replace("-", "_"))
    return found


def work(opened: grpc.Channel, told: list[Told]) -> None:
    """One transaction after the other, until the server is gone."""
    api, files = transaction_v2_pb2_grpc.APIStub(opened), pfs_v2_pb2_grpc.APIStub(opened)
    with suppress(grpc.RpcError):
        while True:
            one = Told(api.StartTransaction(wire.StartTransactionRequest()).id)
            told.append(one)
            header = (("pach-transaction", one.id),)
            for _ in range(REPOS):
                one.asked = unique("k")
                files.CreateRepo(pfs.CreateRepoRequest(repo=pfs.Repo(name=one.asked)), metadata=header)
                branch = pfs.Branch(repo=pfs.Repo(name=one.asked, type="user"), name="master")
                one.names.append(one.asked)
                one.asked = ""
                files.StartCommit(pfs.StartCommitRequest(branch=branch), metadata=header)
            one.finishing = True
            api.FinishTransaction(wire.FinishTransactionRequest(transaction=wire.Transaction(id=one.id)))
            one.done = True


def any_done(told: list[list[Told]]) -> bool:
    return any(one.done for some in told for one in some)


def check(opened: grpc.Channel, one: Told) -> None:
    api, files = transaction_v2_pb2_grpc.APIStub(opened), pfs_v2_pb2_grpc.APIStub(opened)
    there = {info.repo.name for info in files.ListRepo(pfs.ListRepoRequest(type="user"))}
    open_ones = {
        info.transaction.id: info for info in api.ListTransaction(wire.ListTransactionRequest()).transaction_info
    }
    info = open_ones.get(one.id)
    if info is not None:
        assert not one.done
        assert not there & set(one.names)
        added = [request.create_repo.repo.name for request in info.requests if request.HasField("create_repo")]
        assert added in (one.names, [*one.names, one.asked])
        api.FinishTransaction(wire.FinishTransactionRequest(transaction=wire.Transaction(id=one.id)))
        return
    assert one.finishing
    assert there >= set(one.names)
    request = pfs.InspectCommitSetRequest(commit_set=pfs.CommitSet(id=one.id))
    assert sorted(info.commit.repo.name for info in files.InspectCommitSet(request)) == sorted(one.names)


@pytest.mark.timeout(180)
def test_each_is_open_or_done_whole(env: dict[str, str]) -> None:
    draw, told = random.Random(7), list[list[Told]]()
    for _ in range(ROUNDS):
        with running(service_command("pfs"), env=env, ready=SERVING) as found, channel(found[1]) as opened:
            for one in (one for some in told for one in some):
                check(opened, one)
            told = [[] for _ in range(3)]
            threads = [threading.Thread(target=work, args=(opened, some)) for some in told]
            for thread in threads:
                thread.start()
            eventually(partial(any_done, told), "one is finished")
            time.sleep(draw.uniform(0, 0.5))  # whatever they are doing then
            found.kill()
            for thread in threads:
                thread.join()
    with running(service_command("pfs"), env=env, ready=SERVING) as found, channel(found[1]) as opened:
        for one in (one for some in told for one in some):
            check(opened, one)
