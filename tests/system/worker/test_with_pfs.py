"""The worker against a real PFS: what it reads are commits, what it hands in are file sets that PFS can read."""

import io
import tarfile
from pathlib import Path

import grpc
import pytest
from google.protobuf.wrappers_pb2 import BytesValue

from datamill.wire import content_v1_pb2 as content
from datamill.wire import content_v1_pb2_grpc, pfs_v2_pb2_grpc
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import work_v1_pb2 as work
from tests.support.servers import unique
from tests.system.worker.conftest import Start
from tests.system.worker.doubles import Double
from tests.system.worker.test_sets import SUCCESS, shell

FILES = {
    "/small": b"small",
    "/d/a": b"a" * 5000,
    "/d/b": b"b" * 7000,
    "/empty": b"",
    "/big": bytes(range(256)) * 40_000,
}


@pytest.fixture
def commit(pfs_channel: grpc.Channel) -> pfs.Commit:
    """A finished commit of FILES."""
    api = pfs_v2_pb2_grpc.APIStub(pfs_channel)
    repo = pfs.Repo(name=unique("in"), type="user", project=pfs.Project(name="default"))
    api.CreateRepo(pfs.CreateRepoRequest(repo=repo))
    made = api.StartCommit(pfs.StartCommitRequest(branch=pfs.Branch(repo=repo, name="master")))

    def changes() -> list[pfs.ModifyFileRequest]:
        found = [pfs.ModifyFileRequest(set_commit=made)]
        for path, data in FILES.items():
            for at in range(0, max(len(data), 1), 1 << 20):
                raw = BytesValue(value=data[at : at + (1 << 20)])
                found.append(pfs.ModifyFileRequest(add_file=pfs.AddFile(path=path, raw=raw)))
        return found

    api.ModifyFile(iter(changes()))
    api.FinishCommit(pfs.FinishCommitRequest(commit=made))
    info: pfs.CommitInfo = api.InspectCommit(pfs.InspectCommitRequest(commit=made, wait=pfs.CommitState.FINISHED))
    assert not info.error
    return info.commit


def read_set(channel: grpc.Channel, file_set: str) -> dict[str, bytes]:
    """Every file of a file set, by path."""
    api = pfs_v2_pb2_grpc.APIStub(channel)
    repo = pfs.Repo(name="__filesets__", type="user", project=pfs.Project(name="default"))
    file = pfs.File(commit=pfs.Commit(repo=repo, branch=pfs.Branch(repo=repo), id=file_set), path="/**")
    raw = b"".join(piece.value for piece in api.GetFileTAR(pfs.GetFileRequest(file=file)))
    found = {}
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        for member in tar:
            body = tar.extractfile(member) if member.isfile() else None
            if body is not None:
                found["/" + member.name.strip("/")] = body.read()
    return found


def datum(number: int, commit: pfs.Commit, path: str) -> work.Datum:
    made = work.Datum(id=f"{number:064x}", hash=f"{number:064x}")
    made.inputs.add(name="in", file=pfs.File(commit=commit, path=path), digest=b"\1" * 32)
    return made


def test_a_set_over_a_commit(
    double: Double, start: Start, commit: pfs.Commit, pfs_address: str, pfs_channel: grpc.Channel, service_token: str
) -> None:
    double.give(*(datum(number, commit, path) for number, path in enumerate(("/small", "/d/", "/big", "/empty"))))
    with start(shell("cp -r /pfs/in/. /pfs/out/", "date +%N > /pfs/out/$PACH_DATUM_ID"), pfs=pfs_address,
               service_token=service_token):  # fmt: skip
        answer = double.done()
    assert [result.state for result in answer.results] == [SUCCESS] * 4
    outputs = read_set(pfs_channel, answer.output_file_set_id)
    assert {path: outputs.get(path) for path in FILES} == FILES
    assert len(outputs) == len(FILES) + 4
    meta = read_set(pfs_channel, answer.meta_file_set_id)
    assert meta[f"/pfs/{1:064x}/in/d/b"] == FILES["/d/b"]
    assert meta[f"/pfs/{2:064x}/out/big"] == FILES["/big"]
    assert f"/meta/{3:064x}/meta" in meta


def test_packs_go_to_the_incoming_folder_and_copies_take_no_room(
    double: Double, start: Start, commit: pfs.Commit, pfs_address: str, pfs_channel: grpc.Channel, service_token: str
) -> None:
    stub = content_v1_pb2_grpc.ContentServiceStub(pfs_channel)
    root = Path(stub.GetStore(content.GetStoreRequest()).local_root)
    before = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    double.give(datum(1, commit, "/big"))
    with start(shell("cp $in /pfs/out/copy"), pfs=pfs_address, service_token=service_token):
        answer = double.done()
    assert read_set(pfs_channel, answer.output_file_set_id) == {"/copy": FILES["/big"]}
    after = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    assert after - before < 20_000


def test_a_commit_that_is_gone_gives_the_set_back(
    double: Double, start: Start, commit: pfs.Commit, pfs_address: str, service_token: str
) -> None:
    double.give(datum(1, commit, "/not/there"))
    with start(shell("true"), pfs=pfs_address, service_token=service_token, keep_trying="0.5"):
        double.wait_for(lambda: double.returned)
    assert "not found" in double.returned[0].reason
