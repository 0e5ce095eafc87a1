"""Pipelines that are made or updated together: each has one job, and these are of one set."""

import json
from functools import partial

import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import transaction_v2_pb2 as wire
from datamill.wire import transaction_v2_pb2_grpc
from tests.support.patience import eventually
from tests.support.servers import channel, unique
from tests.system.chaos.dag import leaf
from tests.system.chaos.dag import pipeline as request_of
from tests.system.jobs.conftest import Instance
from tests.system.jobs.hands import Bench, pipeline

pytestmark = pytest.mark.parametrize("instance", ["sqlite"], indirect=True, scope="module")


def jobs(bench: Bench, name: str) -> list[str]:
    """Of all versions, newest first."""
    return [info.job.id for info in bench.jobs.ListJob(pps.ListJobRequest(pipeline=pipeline(name), history=-1))]


def among_its_jobs(bench: Bench, name: str, id: str) -> bool:
    return id in jobs(bench, name)


def spec_commit(bench: Bench, name: str) -> str:
    info = bench.pipelines.InspectPipeline(pps.InspectPipelineRequest(pipeline=pipeline(name)))
    return str(info.spec_commit.id)


def test_pipelines_of_one_transaction(bench: Bench, instance: Instance) -> None:
    """First made, the second reading the first, then both updated."""
    names = [unique("p"), unique("p")]
    for rounds in (1, 2):
        with channel(instance.at["pfs"]) as to_pfs:
            api = transaction_v2_pb2_grpc.APIStub(to_pfs)
            opened = api.StartTransaction(wire.StartTransactionRequest())
            for name, source in zip(names, (bench.source, names[0]), strict=True):
                request = request_of(name, "true", leaf(source, "/*"))
                request.update = rounds == 2
                bench.pipelines.CreatePipeline(request, metadata=(("pach-transaction", opened.id),))
            api.FinishTransaction(wire.FinishTransactionRequest(transaction=opened))
        assert {spec_commit(bench, name) for name in names} == {opened.id}
        for name in names:
            assert eventually(partial(among_its_jobs, bench, name, opened.id))
            assert len(jobs(bench, name)) == rounds
    members = bench.jobs.InspectJobSet(pps.InspectJobSetRequest(job_set=pps.JobSet(id=opened.id), wait=True))
    assert sorted(info.job.pipeline.name for info in members) == sorted(names)
    assert [len(jobs(bench, name)) for name in names] == [2, 2]
    listed = {info.pipeline.name: info for info in bench.pipelines.ListPipeline(pps.ListPipelineRequest())}
    assert [listed[name].last_job_state for name in names] == [pps.JOB_SUCCESS] * 2
    bench.commit({"/a": b"1"}, error="no")
    assert eventually(lambda: unhealthy(bench) == 2)


def unhealthy(bench: Bench) -> int:
    (summary,) = bench.pipelines.PipelinesSummary(pps.PipelinesSummaryRequest()).summaries
    return summary.unhealthy_pipelines


def test_pipelines_that_new_defaults_change(bench: Bench) -> None:
    names = [unique("p"), unique("p")]
    for name, source in zip(names, (bench.source, names[0]), strict=True):
        bench.pipelines.CreatePipeline(request_of(name, "true", leaf(source, "/*")))
    defaults = json.dumps({"createPipelineRequest": {"description": unique("d")}})
    asked = pps.SetProjectDefaultsRequest(
        project=pfs.Project(name="default"), project_defaults_json=defaults, regenerate=True
    )
    affected = {one.name for one in bench.pipelines.SetProjectDefaults(asked).affected_pipelines}
    assert affected >= set(names)
    ids = {spec_commit(bench, name) for name in names}
    assert len(ids) == 1
    (id,) = ids
    for name in names:
        assert eventually(partial(among_its_jobs, bench, name, id))
        assert len(jobs(bench, name)) == 2
    members = bench.jobs.InspectJobSet(pps.InspectJobSetRequest(job_set=pps.JobSet(id=id), wait=True))
    assert {info.job.pipeline.name for info in members} == affected
