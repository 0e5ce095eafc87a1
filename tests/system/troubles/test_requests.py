"""Wrong requests: a clear sentence with the right code, and nothing changed."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from tests.support.servers import unique
from tests.system.chaos.dag import leaf, named, pipeline
from tests.system.chaos.patient import Patient

Call = Callable[[], Any]
NOT_FOUND, UNKNOWN, INVALID = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INVALID_ARGUMENT


def refused(call: Call) -> tuple[grpc.StatusCode, str]:
    """The status of a call that must fail."""
    with pytest.raises(grpc.RpcError) as caught:
        _read(call())
    error: Any = caught.value
    return error.code(), error.details()


def _read(answer: Any) -> None:
    if hasattr(answer, "__next__"):
        list(answer)


def repo(name: str) -> pfs.Repo:
    return pfs.Repo(name=name, type="user", project=pfs.Project(name="default"))


def head(name: str, branch: str = "master") -> pfs.Commit:
    return pfs.Commit(repo=repo(name), branch=pfs.Branch(repo=repo(name), name=branch))


def put(dag: Patient, commit: pfs.Commit, *paths: str) -> Call:
    requests = [pfs.ModifyFileRequest(set_commit=commit)]
    for path in paths:
        request = pfs.ModifyFileRequest(add_file=pfs.AddFile(path=path))
        request.add_file.raw.value = b"x"
        requests.append(request)
    return lambda: dag.pfs.ModifyFile(iter(requests))


@pytest.fixture
def known(dag: Patient) -> str:
    """A repo with one file, /a."""
    name = unique("known")
    dag.pfs.CreateRepo(pfs.CreateRepoRequest(repo=repo(name)))
    put(dag, head(name), "/a")()
    dag.pfs.InspectCommit(pfs.InspectCommitRequest(commit=head(name), wait=pfs.CommitState.FINISHED))
    return name


def state(dag: Patient) -> list[str]:
    """All repos, branches and pipelines, to see that nothing changed."""
    repos = [str(info.repo) for info in dag.pfs.ListRepo(pfs.ListRepoRequest())]
    branches = [f"{info.branch}{info.head.id}" for info in dag.pfs.ListBranch(pfs.ListBranchRequest())]
    pipelines = [f"{info.pipeline}{info.version}" for info in dag.pps.ListPipeline(pps.ListPipelineRequest())]
    return repos + branches + pipelines


def test_what_is_not_there(dag: Patient, known: str) -> None:
    before = state(dag)
    inspect = dag.pfs.InspectCommit
    assert refused(put(dag, head("dne"), "/a")) == (NOT_FOUND, "repo default/dne not found")
    code, text = refused(lambda: inspect(pfs.InspectCommitRequest(commit=head(known, "dne"))))
    assert code is NOT_FOUND
    assert f'branch "dne" not found in repo default/{known}' in text
    unknown = pfs.Commit(repo=repo(known), id="0" * 12 + "4" + "0" * 19)
    code, text = refused(lambda: inspect(pfs.InspectCommitRequest(commit=unknown)))
    assert code is NOT_FOUND
    assert f"commit default/{known}@{unknown.id} not found" in text
    missing = pfs.GetFileRequest(file=pfs.File(commit=head(known), path="/b"))
    code, text = refused(lambda: dag.pfs.GetFile(missing))
    assert code is NOT_FOUND
    assert f"file /b not found in repo default/{known}" in text
    assert state(dag) == before


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ü", "a.b"])
def test_bad_repo_names(dag: Patient, name: str) -> None:
    before = state(dag)
    code, _ = refused(lambda: dag.pfs.CreateRepo(pfs.CreateRepoRequest(repo=repo(name))))
    assert code in (UNKNOWN, INVALID)
    assert state(dag) == before


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/a\x01", "only printable ASCII characters allowed"), ("/é", "only printable ASCII characters allowed"),
        ("/a*", "globbing character (*) not allowed in path"), ("/a/../b", "relative file paths are not allowed"),
        ("", "only printable ASCII characters allowed"),
    ],
)  # fmt: skip
def test_bad_paths_store_nothing_of_their_stream(dag: Patient, known: str, path: str, text: str) -> None:
    before = state(dag)
    code, said = refused(put(dag, head(known), "/fine", path))
    assert code is UNKNOWN
    assert text in said
    assert state(dag) == before


def test_a_file_under_a_file_is_an_error_of_the_commit(dag: Patient, known: str) -> None:
    put(dag, head(known), "/a/b")()
    info = dag.pfs.InspectCommit(pfs.InspectCommitRequest(commit=head(known), wait=pfs.CommitState.FINISHED))
    assert info.error == "file / directory path collision (/a)"


def test_bad_specs_leave_nothing(dag: Patient, known: str) -> None:
    before = state(dag)

    def v2(text: str) -> Call:
        return lambda: dag.pps.CreatePipelineV2(pps.CreatePipelineV2Request(create_pipeline_request_json=text))

    code, text = refused(v2('{"pipeline": {"name": "p"}, "transfrom": {"cmd": ["x"]}}'))
    assert (code, 'did you mean "transform"' in text) == (INVALID, True)
    code, text = refused(v2('{"pipeline": {"name": "p"}, "transform": {"cmd": "x"}}'))
    assert (code, "transform.cmd: expected a list" in text) == (INVALID, True)
    name = unique("p")
    itself = pipeline(name, "true", leaf(name, "/*"))
    code, text = refused(lambda: dag.pps.CreatePipeline(itself))
    assert (code, "cannot be its own input" in text) == (UNKNOWN, True)
    nowhere = pipeline(name, "true", leaf("dne", "/*"))
    assert refused(lambda: dag.pps.CreatePipeline(nowhere)) == (NOT_FOUND, "repo default/dne not found")
    taken = pipeline(known, "true", leaf(known, "/*", name="x"))
    assert refused(lambda: dag.pps.CreatePipeline(taken))[0] is UNKNOWN
    later = pipeline(name, "true", leaf(known, "/*"))
    later.s3_out = True
    code, text = refused(lambda: dag.pps.CreatePipeline(later))
    assert (code, "s3Out" in text) == (grpc.StatusCode.UNIMPLEMENTED, True)
    assert state(dag) == before


def test_unknown_pipelines_and_jobs(dag: Patient) -> None:
    asked = pps.InspectPipelineRequest(pipeline=named("dne"))
    assert refused(lambda: dag.pps.InspectPipeline(asked)) == (NOT_FOUND, 'pipeline "default/dne" not found')
    job = pps.InspectJobRequest(job=pps.Job(pipeline=named("dne"), id="0" * 12 + "4" + "0" * 19))
    code, text = refused(lambda: dag.pps.InspectJob(job))
    assert (code, "not found" in text) == (NOT_FOUND, True)


def test_a_method_that_is_not_built_is_named(dag: Patient) -> None:
    code, text = refused(lambda: dag.pps.RunLoadTest(pps.RunLoadTestRequest()))
    assert (code, "RunLoadTest" in text) == (grpc.StatusCode.UNIMPLEMENTED, True)
