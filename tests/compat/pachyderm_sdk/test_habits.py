"""Habits of clients generated for other languages, Go's above all: what they leave out, and what they send besides.

All through the gateway, where such clients come in.
"""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2, wrappers_pb2
from grpc import StatusCode

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import transaction_v2_pb2 as transactions
from datamill.wire import versionpb_v2_pb2 as version
from datamill.wire.pfs_v2_pb2_grpc import APIStub as Pfs
from datamill.wire.pps_v2_pb2_grpc import APIStub as Pps
from datamill.wire.transaction_v2_pb2_grpc import APIStub as Transactions
from datamill.wire.versionpb_v2_pb2_grpc import APIStub as Version
from tests.compat.pachyderm_sdk.conftest import Instance
from tests.support.servers import MAX_MESSAGE_BYTES, channel, unique

Headers = tuple[tuple[str, str | bytes], ...]
NOBODYS_ID = "0123456789ab4def0123456789abcdef"


@pytest.fixture(scope="module")
def line(instance: Instance) -> Iterator[grpc.Channel]:
    with channel(instance.address) as opened:
        yield opened


@pytest.fixture
def repo(line: grpc.Channel) -> pfs.Repo:
    """Neither type nor project, as generated clients send it."""
    repo = pfs.Repo(name=unique("repo"))
    Pfs(line).CreateRepo(pfs.CreateRepoRequest(repo=repo))
    return repo


def adding(commit: pfs.Commit, path: str, *parts: bytes) -> Iterator[pfs.ModifyFileRequest]:
    yield pfs.ModifyFileRequest(set_commit=commit)
    for part in parts:
        yield pfs.ModifyFileRequest(add_file=pfs.AddFile(path=path, raw=wrappers_pb2.BytesValue(value=part)))


def on_master(repo: pfs.Repo) -> pfs.Commit:
    return pfs.Commit(branch=pfs.Branch(repo=repo, name="master"))


def put(stub: Pfs, repo: pfs.Repo, path: str, raw: bytes) -> pfs.CommitInfo:
    """A one-shot write to a branch, and the commit that it made."""
    stub.ModifyFile(adding(on_master(repo), path, raw))
    return stub.InspectCommit(pfs.InspectCommitRequest(commit=on_master(repo), wait=pfs.CommitState.FINISHED))


def raw(line: grpc.Channel, method: str, request: bytes) -> bytes:
    """A call of which only the bytes are known."""
    call: Any = line.unary_unary(method)
    answer: bytes = call(request)
    return answer


def got(stub: Pfs, file: pfs.File) -> bytes:
    return b"".join(part.value for part in stub.GetFile(pfs.GetFileRequest(file=file)))


def test_types_and_projects_left_out(line: grpc.Channel, repo: pfs.Repo) -> None:
    stub = Pfs(line)
    info = stub.InspectRepo(pfs.InspectRepoRequest(repo=repo))
    assert (info.repo.type, info.repo.project.name) == ("user", "default")
    empty_project = pfs.Repo(name=repo.name, project=pfs.Project(name=""))
    assert stub.InspectRepo(pfs.InspectRepoRequest(repo=empty_project)).repo == info.repo
    commit = put(stub, repo, "/a", b"a").commit
    for same in (
        on_master(empty_project),
        pfs.Commit(repo=repo, id=commit.id),
        pfs.Commit(repo=repo, id="master"),
        pfs.Commit(repo=repo, branch=pfs.Branch(repo=repo, name="nobodys"), id=commit.id),
        pfs.Commit(branch=pfs.Branch(repo=repo), id=commit.id),
    ):
        assert stub.InspectCommit(pfs.InspectCommitRequest(commit=same)).commit == commit, same
        assert got(stub, pfs.File(commit=same, path="a")) == b"a"
    listed = stub.ListRepo(pfs.ListRepoRequest(type="", projects=[]))
    assert repo.name in [each.repo.name for each in listed]
    assert [each.branch.name for each in stub.ListBranch(pfs.ListBranchRequest(repo=empty_project))] == ["master"]


def test_ids_in_capitals(line: grpc.Channel, repo: pfs.Repo) -> None:
    stub = Pfs(line)
    commit = put(stub, repo, "/a", b"a").commit
    loud = pfs.Commit(repo=repo, id=commit.id.upper())
    assert stub.InspectCommit(pfs.InspectCommitRequest(commit=loud)).commit == commit
    assert got(stub, pfs.File(commit=loud, path="/a")) == b"a"
    assert [each.file.path for each in stub.ListFile(pfs.ListFileRequest(file=pfs.File(commit=loud, path="/")))] == [
        "/a"
    ]
    of_set = stub.InspectCommitSet(pfs.InspectCommitSetRequest(commit_set=pfs.CommitSet(id=loud.id)))
    assert [each.commit for each in of_set] == [commit]
    stub.CreateBranch(pfs.CreateBranchRequest(branch=pfs.Branch(repo=repo, name="copy"), head=loud))
    name = pfs.RepoPicker.RepoName(name=repo.name, project=pfs.ProjectPicker())
    picked = pfs.CommitPicker(id=pfs.CommitPicker.CommitByGlobalId(repo=pfs.RepoPicker(name=name), id=loud.id))
    walked = stub.WalkCommitProvenance(pfs.WalkCommitProvenanceRequest(start=[picked]))
    assert list(walked) == []
    made = stub.CreateFileSet(iter(list(adding(pfs.Commit(), "/b", b"b"))[1:]))
    open_commit = stub.StartCommit(pfs.StartCommitRequest(branch=pfs.Branch(repo=repo, name="master")))
    open_loud = pfs.Commit(repo=repo, id=open_commit.id.upper())
    stub.AddFileSet(pfs.AddFileSetRequest(commit=open_loud, file_set_id=made.file_set_id.upper()))
    stub.FinishCommit(pfs.FinishCommitRequest(commit=open_loud))
    stub.InspectCommit(pfs.InspectCommitRequest(commit=open_loud, wait=pfs.CommitState.FINISHED))
    assert got(stub, pfs.File(commit=open_loud, path="/b")) == b"b"


def test_ids_of_jobs_in_capitals(line: grpc.Channel, repo: pfs.Repo) -> None:
    stub, pipeline = Pps(line), pps.Pipeline(name=unique("pipeline"))
    stub.CreatePipeline(
        pps.CreatePipelineRequest(
            pipeline=pipeline,
            input=pps.Input(pfs=pps.PFSInput(repo=repo.name, glob="/*")),
            transform=pps.Transform(cmd=["sh"], stdin=["echo seen"]),
        )
    )
    commit = put(Pfs(line), repo, "/a", b"a").commit
    loud = pps.Job(pipeline=pipeline, id=commit.id.upper())
    info = stub.InspectJob(pps.InspectJobRequest(job=loud, wait=True))
    assert (info.job.id, info.state) == (commit.id, pps.JobState.JOB_SUCCESS)
    assert [each.job.id for each in stub.InspectJobSet(pps.InspectJobSetRequest(job_set=pps.JobSet(id=loud.id)))] == [
        commit.id
    ]
    (datum,) = stub.ListDatum(pps.ListDatumRequest(job=loud))
    same = stub.InspectDatum(pps.InspectDatumRequest(datum=pps.Datum(job=loud, id=datum.datum.id)))
    assert same.state == pps.DatumState.SUCCESS
    assert [each.message for each in stub.GetLogs(pps.GetLogsRequest(job=loud)) if each.user] == ["seen"]
    stub.StopJob(pps.StopJobRequest(job=loud))
    stub.DeletePipeline(pps.DeletePipelineRequest(pipeline=pipeline))


@pytest.mark.parametrize(
    "headers",
    [
        (("pach-transaction", ""),),
        (("authn-token", "stale"),),
        (("authn-token", ""),),
        (("x-request-id", "d6b2"), ("x-forwarded-for", "192.0.2.1"), ("traceparent", "not a trace")),
        (("command", "pachctl put file"), ("something-bin", b"\x00\xff")),
        (("datamill-service-token", "guessed"),),
    ],
)
def test_headers_that_change_nothing(line: grpc.Channel, repo: pfs.Repo, headers: Headers) -> None:
    stub = Pfs(line)
    Version(line).GetVersion(empty_pb2.Empty(), metadata=headers)
    stub.CreateBranch(pfs.CreateBranchRequest(branch=pfs.Branch(repo=repo, name="master")), metadata=headers)
    stub.ModifyFile(adding(on_master(repo), "/a", b"a"), metadata=headers)
    wait = pfs.InspectCommitRequest(commit=on_master(repo), wait=pfs.CommitState.FINISHED)
    commit = stub.InspectCommit(wait, metadata=headers).commit
    request = pfs.GetFileRequest(file=pfs.File(commit=commit, path="/a"))
    assert [part.value for part in stub.GetFile(request, metadata=headers)] == [b"a"]
    assert list(Pps(line).ListPipeline(pps.ListPipelineRequest(), metadata=headers)) is not None


def test_a_transaction_in_the_header(line: grpc.Channel) -> None:
    stub, repo = Pfs(line), pfs.Repo(name=unique("staged"))
    opened = Transactions(line).StartTransaction(transactions.StartTransactionRequest())
    header: Headers = (("pach-transaction", opened.id),)
    stub.CreateRepo(pfs.CreateRepoRequest(repo=repo), metadata=header)
    commit = stub.StartCommit(pfs.StartCommitRequest(branch=pfs.Branch(repo=repo, name="master")), metadata=header)
    assert commit.id == opened.id
    with pytest.raises(grpc.RpcError) as refused:
        stub.InspectRepo(pfs.InspectRepoRequest(repo=repo), metadata=header)
    assert refused.value.code() is StatusCode.NOT_FOUND
    Transactions(line).FinishTransaction(transactions.FinishTransactionRequest(transaction=opened))
    assert stub.InspectCommit(pfs.InspectCommitRequest(commit=commit)).commit.id == opened.id
    with pytest.raises(grpc.RpcError) as refused:
        stub.CreateRepo(pfs.CreateRepoRequest(repo=repo), metadata=header)
    assert refused.value.code() is StatusCode.NOT_FOUND


@pytest.mark.parametrize("how", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_messages(instance: Instance, repo: pfs.Repo, how: grpc.Compression) -> None:
    text = b"again and again " * 200_000
    with grpc.insecure_channel(instance.address, compression=how) as compressing:
        stub = Pfs(compressing)
        commit = put(stub, repo, "/text", text).commit
        assert got(stub, pfs.File(commit=commit, path="/text")) == text


def test_a_silent_stream_is_kept_alive(instance: Instance, repo: pfs.Repo) -> None:
    """Frequent pings of a client that waits are no abuse: nothing ends the stream but the client's own deadline."""
    pinging = [
        ("grpc.keepalive_time_ms", 300),
        ("grpc.keepalive_timeout_ms", 60_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    with grpc.insecure_channel(instance.address, options=pinging) as opened:
        request = pfs.SubscribeCommitRequest(repo=repo, branch="master", state=pfs.CommitState.FINISHED)
        with pytest.raises(grpc.RpcError) as ended:
            list(Pfs(opened).SubscribeCommit(request, timeout=5))
    assert ended.value.code() is StatusCode.DEADLINE_EXCEEDED


def test_messages_up_to_20_mib(line: grpc.Channel, repo: pfs.Repo) -> None:
    stub = Pfs(line)
    around = pfs.ModifyFileRequest(
        add_file=pfs.AddFile(path="/large", raw=wrappers_pb2.BytesValue(value=b"x" * MAX_MESSAGE_BYTES))
    )
    fits = MAX_MESSAGE_BYTES - (around.ByteSize() - MAX_MESSAGE_BYTES)
    stub.ModifyFile(adding(on_master(repo), "/large", b"x" * fits))
    wait = pfs.InspectCommitRequest(commit=on_master(repo), wait=pfs.CommitState.FINISHED)
    commit = stub.InspectCommit(wait).commit
    assert stub.InspectFile(pfs.InspectFileRequest(file=pfs.File(commit=commit, path="/large"))).size_bytes == fits
    with pytest.raises(grpc.RpcError) as refused:
        stub.ModifyFile(adding(on_master(repo), "/larger", b"x" * (fits + 1)))
    assert refused.value.code() is StatusCode.RESOURCE_EXHAUSTED
    assert stub.InspectCommit(wait).commit.id == commit.id


def test_answers_fit_a_client_that_was_told_nothing(instance: Instance, line: grpc.Channel, repo: pfs.Repo) -> None:
    """gRPC libraries take 4 MiB unless told otherwise."""
    commit = put(Pfs(line), repo, "/large", b"x" * (12 << 20)).commit
    with grpc.insecure_channel(instance.address) as plain:
        assert len(got(Pfs(plain), pfs.File(commit=commit, path="/large"))) == 12 << 20
        tar = Pfs(plain).GetFileTAR(pfs.GetFileRequest(file=pfs.File(commit=commit, path="/")))
        assert sum(len(part.value) for part in tar) > 12 << 20


def test_a_reader_that_goes_away(line: grpc.Channel, repo: pfs.Repo) -> None:
    stub = Pfs(line)
    commit = put(stub, repo, "/large", b"x" * (18 << 20)).commit
    for _ in range(20):
        parts = stub.GetFile(pfs.GetFileRequest(file=pfs.File(commit=commit, path="/large")))
        assert next(parts).value.startswith(b"xxx")
        parts.cancel()
    assert len(got(stub, pfs.File(commit=commit, path="/large"))) == 18 << 20


def test_many_calls_on_one_connection(line: grpc.Channel, repo: pfs.Repo) -> None:
    stub = Pfs(line)
    commit = put(stub, repo, "/a", b"a").commit
    waiting = [
        stub.SubscribeCommit(pfs.SubscribeCommitRequest(repo=repo, branch="master"), timeout=60) for _ in range(150)
    ]
    calls = [stub.InspectCommit.future(pfs.InspectCommitRequest(commit=commit)) for _ in range(150)]
    assert {call.result(120).commit.id for call in calls} == {commit.id}
    assert {next(stream).commit.id for stream in waiting} == {commit.id}
    for stream in waiting:
        stream.cancel()


def test_what_a_newer_client_sends(line: grpc.Channel, repo: pfs.Repo) -> None:
    """Fields that are not known are passed over; methods that are not known say so."""
    request = pfs.InspectRepoRequest(repo=repo).SerializeToString() + b"\xfa\x3f\x03new"
    assert pfs.RepoInfo.FromString(raw(line, "/pfs_v2.API/InspectRepo", request)).repo.name == repo.name
    for method in ("/pfs_v2.API/Nonsense", "/pfs.API/CreateRepo", "/pps.API/CreatePipeline", "/nobody.API/Call"):
        with pytest.raises(grpc.RpcError) as refused:
            raw(line, method, b"")
        assert refused.value.code() is StatusCode.UNIMPLEMENTED, method
    with pytest.raises(grpc.RpcError) as refused:
        raw(line, "/pfs_v2.API/InspectRepo", b"\xff\xff\xff")
    assert refused.value.code() is not StatusCode.UNAVAILABLE
    assert Version(line).GetVersion(empty_pb2.Empty()) == version.Version(major=2, minor=12, platform="linux")


def test_deadlines_of_clients(line: grpc.Channel, repo: pfs.Repo) -> None:
    stub = Pfs(line)
    commit = stub.StartCommit(pfs.StartCommitRequest(branch=pfs.Branch(repo=repo, name="master")))
    wait = pfs.InspectCommitRequest(commit=commit, wait=pfs.CommitState.FINISHED)
    with pytest.raises(grpc.RpcError) as ended:
        stub.InspectCommit(wait, timeout=0.5)
    assert ended.value.code() is StatusCode.DEADLINE_EXCEEDED
    stub.FinishCommit(pfs.FinishCommitRequest(commit=commit))
    assert stub.InspectCommit(wait, timeout=120).HasField("finished")
    absent = pfs.Commit(repo=repo, id=NOBODYS_ID)
    with pytest.raises(grpc.RpcError) as refused:
        stub.InspectCommit(pfs.InspectCommitRequest(commit=absent, wait=pfs.CommitState.FINISHED), timeout=120)
    assert refused.value.code() is StatusCode.NOT_FOUND


def test_details_of_a_status_pass_the_gateway(line: grpc.Channel, repo: pfs.Repo) -> None:
    stub = Pfs(line)
    commit = stub.StartCommit(pfs.StartCommitRequest(branch=pfs.Branch(repo=repo, name="master")))
    with pytest.raises(grpc.RpcError) as refused:
        list(stub.FindCommits(pfs.FindCommitsRequest(start=commit, file_path="/a")))
    assert refused.value.code() is StatusCode.UNAVAILABLE
    trailers: dict[str, Any] = dict(refused.value.trailing_metadata())  # type: ignore[arg-type]
    assert commit.id.encode() in trailers["grpc-status-details-bin"]
    stub.FinishCommit(pfs.FinishCommitRequest(commit=commit))
