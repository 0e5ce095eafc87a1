"""Many clients that change one DAG at once, on both databases: every change counts once, and lineage stays whole."""

from concurrent.futures import ThreadPoolExecutor

import grpc

from datamill.wire import pfs_v2_pb2 as pfs
from tests.support.servers import unique
from tests.system.pfs.driver import Repo, put

EXISTS = grpc.StatusCode.ALREADY_EXISTS
ROUNDS = 4


def test_inputs_that_change_at_once_each_open_one_output_commit(pfs_channel: grpc.Channel) -> None:
    inputs, output = [Repo(pfs_channel) for _ in range(5)], Repo(pfs_channel)
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


def test_one_name_is_given_once_and_deleting_meanwhile_breaks_nothing(pfs_channel: grpc.Channel) -> None:
    repo, name = Repo(pfs_channel), unique("race")
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


def test_one_shot_writers_of_one_branch_all_land(pfs_channel: grpc.Channel) -> None:
    repo = Repo(pfs_channel)
    writers, rounds = 25, 2

    def work(number: int) -> None:
        for turn in range(rounds):
            repo.modify(put(f"/{number}/{turn}", b"%d/%d" % (number, turn)))

    with ThreadPoolExecutor(writers) as threads:
        list(threads.map(work, range(writers)))
    wanted = {f"/{number}/{turn}" for number in range(writers) for turn in range(rounds)}
    repo.wait()
    assert {path for path in repo.walk() if path.count("/") == 2 and not path.endswith("/")} == wanted
    assert all(repo.read(path) == path[1:].encode() for path in wanted)
    infos = list(repo.api.ListCommit(pfs.ListCommitRequest(repo=repo.wire)))
    assert len(infos) == len(wanted), "one commit each"
    assert [info.parent_commit.id for info in infos] == [info.commit.id for info in infos[1:]] + [""]
    assert not any(info.error for info in infos)
