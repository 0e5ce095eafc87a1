"""What happened while Jobs was away and nobody told it: it finds out when it looks."""

import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from tests.support.patience import eventually
from tests.system.jobs.conftest import Instance
from tests.system.jobs.hands import Bench, job, pipeline, repo
from tests.system.jobs.lives.test_crashes import files


@pytest.fixture
def done(bench: Bench) -> str:
    """Id of a job of the first pipeline of its name, which has run."""
    bench.create()
    id = bench.commit(files(3))
    bench.hands().do_one()
    assert bench.ended(id).state == pps.JOB_SUCCESS
    return id


def known(bench: Bench) -> set[str]:
    """Ids of all jobs of the pipeline's name."""
    request = pps.ListJobRequest(history=-1)
    return {info.job.id for info in bench.jobs.ListJob(request) if info.job.pipeline.name == bench.name}


def whole(bench: Bench) -> dict[str, object]:
    """An input of one datum."""
    return {"pfs": {"name": "in", "repo": bench.source, "glob": "/"}}


def delete(bench: Bench) -> None:
    bench.pipelines.DeletePipeline(pps.DeletePipelineRequest(pipeline=pipeline(bench.name)))


def test_jobs_of_a_pipeline_that_was_deleted_meanwhile_go(bench: Bench, instance: Instance, done: str) -> None:
    assert done in known(bench)
    instance.kill("jobs")
    delete(bench)
    instance.start("jobs")
    eventually(lambda: not known(bench))


def test_a_pipeline_that_was_made_again_meanwhile_runs_by_its_own_spec(
    bench: Bench, instance: Instance, done: str
) -> None:
    instance.kill("jobs")
    delete(bench)
    bench.create(input=whole(bench))
    instance.start("jobs")
    hands = bench.hands()
    held = hands.do_one(lambda _datum: {"/whole": b"1"})
    assert [[one.file.path for one in datum.inputs] for datum in held.datums] == [["/"]]
    info = bench.ended(held.job.id)
    assert (info.state, info.data_total) == (pps.JOB_SUCCESS, 1)
    assert bench.inspect(held.job.id, details=True).details.input.pfs.glob == "/"
    eventually(lambda: known(bench) == {held.job.id})


def opened(bench: Bench) -> str:
    """Id of a commit of the input that stays open."""
    branch = pfs.Branch(repo=repo(bench.source), name="master")
    return str(bench.files.StartCommit(pfs.StartCommitRequest(branch=branch)).id)


def drop(bench: Bench, id: str) -> None:
    bench.files.DropCommitSet(pfs.DropCommitSetRequest(commit_set=pfs.CommitSet(id=id)))


def test_jobs_whose_commits_were_dropped_meanwhile_are_killed(bench: Bench, instance: Instance, done: str) -> None:
    id = bench.commit({"/more": b"1"})
    assert bench.hands().lease() is not None
    instance.kill("jobs")
    drop(bench, id)
    instance.start("jobs")
    info = bench.ended(id)
    assert (info.state, info.reason) == (pps.JOB_KILLED, "output commit removed")


def test_a_service_goes_on_when_the_commits_of_its_next_job_were_dropped_meanwhile(
    bench: Bench, instance: Instance
) -> None:
    bench.commit({"/page": b"1"})
    first = bench.create(service={"internalPort": 80, "externalPort": 0}, input=whole(bench))
    hands = bench.hands()
    held = hands.lease()
    assert held is not None
    next = opened(bench)
    eventually(lambda: next in known(bench))
    instance.kill("jobs")
    drop(bench, next)
    instance.start("jobs")
    assert bench.ended(next).state == pps.JOB_KILLED
    assert bench.inspect(first).state == pps.JOB_RUNNING
    assert hands.renew(held).held


def test_what_a_job_that_was_killed_leaves_open_is_closed_before_its_turn(
    bench: Bench, instance: Instance, done: str
) -> None:
    bench.commit({"/more": b"1"})
    assert bench.hands().lease() is not None
    id = bench.commit({"/most": b"1"})
    assert bench.inspect(id).state == pps.JOB_CREATED
    with instance.hanging("pfs"):
        stopping = bench.jobs.StopJob.future(pps.StopJobRequest(job=job(bench.name, id)))
        eventually(lambda: bench.inspect(id).state == pps.JOB_KILLED)
        instance.kill("jobs")
    stopping.cancel()
    instance.start("jobs")
    commit = pfs.InspectCommitRequest(commit=pfs.Commit(repo=repo(bench.name), id=id))
    assert not bench.files.InspectCommit(commit).HasField("finishing")
    eventually(lambda: bench.files.InspectCommit(commit).HasField("finishing"))
