"""User code that fails, hangs, misnames its output, or floods stdout: the job says so, and the next one works."""

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from tests.support.servers import unique
from tests.system.chaos.dag import leaf, named, pipeline
from tests.system.chaos.patient import Patient


def ended(dag: Patient, script: str, **spec: Any) -> tuple[str, pps.JobInfo]:
    """Run `script` on one file in a pipeline of its own; the job once it has ended."""
    repo, name = unique("in"), unique("p")
    dag.pfs.CreateRepo(pfs.CreateRepoRequest(repo=_repo(repo)))
    request = pipeline(name, script, leaf(repo, "/*", name="data"))
    request.MergeFrom(pps.CreatePipelineRequest(**spec))
    _commit(dag, pfs.Branch(repo=_repo(repo), name="master"), [_file("/a", b"x")])
    dag.pps.CreatePipeline(request)
    jobs = list(dag.pps.ListJob(pps.ListJobRequest(pipeline=named(name)), timeout=120))
    assert len(jobs) == 1
    waited = pps.InspectJobRequest(job=jobs[0].job, wait=True, details=True)
    return name, dag.pps.InspectJob(waited, timeout=120)


def _repo(name: str) -> pfs.Repo:
    return pfs.Repo(name=name, type="user", project=pfs.Project(name="default"))


def _file(path: str, content: bytes) -> pfs.ModifyFileRequest:
    request = pfs.ModifyFileRequest(add_file=pfs.AddFile(path=path))
    request.add_file.raw.value = content
    return request


def logs(dag: Patient, name: str) -> list[str]:
    request = pps.GetLogsRequest(pipeline=named(name))
    return [line.message for line in dag.pps.GetLogs(request, timeout=120)]


def user_lines(dag: Patient, name: str) -> list[str]:
    request = pps.GetLogsRequest(pipeline=named(name))
    return [line.message for line in dag.pps.GetLogs(request, timeout=120) if line.user]


def test_code_that_fails_is_tried_and_then_named(dag: Patient) -> None:
    name, job = ended(dag, "echo tried; exit 3", datum_tries=2)
    (datum,) = dag.datums(name, job.job.id)
    assert (job.state, job.data_failed) == (pps.JOB_FAILURE, 1)
    assert job.reason == f"datum {datum.datum.id} failed"
    assert user_lines(dag, name) == ["tried", "tried"]
    assert sum("errored running user code after" in line for line in logs(dag, name)) == 2


def test_an_accepted_code_is_no_failure(dag: Patient) -> None:
    _, job = ended(dag, "exit 3", transform=pps.Transform(accept_return_code=[3]))
    assert job.state == pps.JOB_SUCCESS


def test_code_that_hangs_is_ended_by_its_timeout(dag: Patient) -> None:
    name, job = ended(dag, "echo on; sleep 1000 & sleep 1000", datum_timeout=Duration(seconds=1), datum_tries=1)
    assert (job.state, job.data_failed) == (pps.JOB_FAILURE, 1)
    assert user_lines(dag, name) == ["on"]


def test_a_command_that_does_not_exist_fails_the_datum(dag: Patient) -> None:
    name, job = _with_command(dag, ["no-such-command"])
    assert job.state == pps.JOB_FAILURE
    assert any("no-such-command" in line for line in logs(dag, name))


def test_without_a_command_the_job_ends_with_the_reason_until_an_update_brings_one(dag: Patient) -> None:
    name, job = _with_command(dag, [])
    assert (job.state, job.reason) == (pps.JOB_KILLED, "nothing to run: no transform.cmd")
    info = dag.pps.InspectPipeline(pps.InspectPipelineRequest(pipeline=named(name), details=True))
    source = info.details.input.pfs.repo
    _commit(dag, pfs.Branch(repo=_repo(source), name="master"), [_file("/b", b"y")])
    newest = next(iter(dag.pps.ListJob(pps.ListJobRequest(pipeline=named(name)), timeout=120))).job
    assert newest.id != job.job.id
    ended_too = dag.pps.InspectJob(pps.InspectJobRequest(job=newest, wait=True), timeout=120)
    assert (ended_too.state, ended_too.reason) == (pps.JOB_KILLED, "nothing to run: no transform.cmd")
    request = pps.CreatePipelineRequest(
        pipeline=named(name), transform=pps.Transform(cmd=["true"]), input=leaf(source, "/*"), update=True
    )
    dag.pps.CreatePipeline(request)
    newest = next(iter(dag.pps.ListJob(pps.ListJobRequest(pipeline=named(name)), timeout=120))).job
    assert dag.pps.InspectJob(pps.InspectJobRequest(job=newest, wait=True), timeout=120).state == pps.JOB_SUCCESS


def _with_command(dag: Patient, words: list[str]) -> tuple[str, pps.JobInfo]:
    repo, name = unique("in"), unique("p")
    dag.pfs.CreateRepo(pfs.CreateRepoRequest(repo=_repo(repo)))
    _commit(dag, pfs.Branch(repo=_repo(repo), name="master"), [_file("/a", b"x")])
    request = pps.CreatePipelineRequest(
        pipeline=named(name), transform=pps.Transform(cmd=words), input=leaf(repo, "/*"), datum_tries=1
    )
    dag.pps.CreatePipeline(request)
    (job,) = dag.pps.ListJob(pps.ListJobRequest(pipeline=named(name)), timeout=120)
    return name, dag.pps.InspectJob(pps.InspectJobRequest(job=job.job, wait=True), timeout=120)


def test_an_output_name_that_cannot_be_kept_fails_the_datum_with_the_rule(dag: Patient) -> None:
    name, job = ended(dag, "touch '/pfs/out/a*b'", datum_tries=1)
    assert job.state == pps.JOB_FAILURE
    asked = pps.InspectDatumRequest(datum=dag.datums(name, job.job.id)[0].datum)
    assert dag.pps.InspectDatum(asked).state == pps.FAILED
    assert any("globbing character (*) not allowed in path" in line for line in logs(dag, name))


def test_two_datums_with_one_output_path_fail_the_job_and_the_next_job_works(dag: Patient) -> None:
    repo, name = unique("in"), unique("p")
    dag.pfs.CreateRepo(pfs.CreateRepoRequest(repo=_repo(repo)))
    branch = pfs.Branch(repo=_repo(repo), name="master")
    dag.pps.CreatePipeline(pipeline(name, "cat /pfs/data/* > /pfs/out/same", leaf(repo, "/*", name="data")))
    first = _commit(dag, branch, [_file("/a", b"1"), _file("/b", b"2")])
    job = _ended(dag, name, first)
    assert job.state == pps.JOB_FAILURE
    assert job.reason.startswith("duplicate path output by different datums (/same from ")
    second = _commit(dag, branch, [pfs.ModifyFileRequest(delete_file=pfs.DeleteFile(path="/b"))])
    assert _ended(dag, name, second).state == pps.JOB_SUCCESS
    file = pfs.File(commit=pfs.Commit(repo=_repo(name), id=second), path="/same")
    assert b"".join(part.value for part in dag.pfs.GetFile(pfs.GetFileRequest(file=file))) == b"1"


def _commit(dag: Patient, branch: pfs.Branch, changes: list[pfs.ModifyFileRequest]) -> str:
    started = dag.pfs.StartCommit(pfs.StartCommitRequest(branch=branch))
    dag.pfs.ModifyFile(iter([pfs.ModifyFileRequest(set_commit=started), *changes]))
    dag.pfs.FinishCommit(pfs.FinishCommitRequest(commit=started))
    return str(started.id)


def _ended(dag: Patient, name: str, id: str) -> pps.JobInfo:
    asked = pps.InspectJobRequest(job=pps.Job(pipeline=named(name), id=id), wait=True)
    info: pps.JobInfo = dag.pps.InspectJob(asked, timeout=120)
    return info


FLOODS = {
    "a gigabyte of lines": "yes 0123456789abcdefghijklmnopqrstuvwxyz | head -c 1000000000",
    "a gigabyte without a line end": "head -c 1000000000 /dev/zero",
    "binary": "head -c 3000000 /dev/urandom",
}


@pytest.mark.long
@pytest.mark.parametrize("script", FLOODS.values(), ids=FLOODS)
def test_a_flood_of_output_ends_in_a_good_job_and_a_bounded_log(dag: Patient, script: str) -> None:
    name, job = ended(dag, f"{script}; echo; echo the end > /pfs/out/done")
    assert job.state == pps.JOB_SUCCESS, job.reason
    kept, said = 0, False
    for line in dag.pps.GetLogs(pps.GetLogsRequest(pipeline=named(name)), timeout=120):
        kept += len(line.message)
        said = said or "bytes of this datum's output were not logged" in line.message
    assert kept < 100_000_000
    assert said is ("1000000000" in script)
