"""What happened while Jobs was away and nobody told it: it finds out when it looks."""

import pytest

from datamill.wire import pps_v2_pb2 as pps
from tests.support.patience import eventually
from tests.system.jobs.conftest import Instance
from tests.system.jobs.hands import Bench, pipeline
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
    bench.create(input={"pfs": {"name": "in", "repo": bench.source, "glob": "/"}})
    instance.start("jobs")
    hands = bench.hands()
    held = hands.do_one(lambda _datum: {"/whole": b"1"})
    assert [[one.file.path for one in datum.inputs] for datum in held.datums] == [["/"]]
    info = bench.ended(held.job.id)
    assert (info.state, info.data_total) == (pps.JOB_SUCCESS, 1)
    assert bench.inspect(held.job.id, details=True).details.input.pfs.glob == "/"
    eventually(lambda: known(bench) == {held.job.id})
