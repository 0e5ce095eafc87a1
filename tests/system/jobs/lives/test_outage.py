"""PostgreSQL stopped and started under PFS, PPS and Jobs: calls wait or say so, and all goes on by itself."""

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from datamill.wire import pps_v2_pb2 as pps
from tests.support.patience import eventually
from tests.support.postgres import Postgres
from tests.system.jobs.conftest import Instance
from tests.system.jobs.hands import Bench, job, pipeline
from tests.system.jobs.lives.test_crashes import check, do_all, files

pytestmark = pytest.mark.parametrize("instance", ["own_postgres"], indirect=True, scope="module")
SETS = 6


def pids(instance: Instance) -> dict[str, int]:
    """The processes, all of them running."""
    assert all(process.process.poll() is None for _, process in instance.up.values())
    return {name: process.process.pid for name, (_, process) in instance.up.items()}


def test_a_restart_in_the_middle_of_a_job_is_bridged(bench: Bench, instance: Instance, own_postgres: Postgres) -> None:
    before = pids(instance)
    bench.create(datumSetSpec={"number": 1})
    id = bench.commit(files(SETS))
    hands = bench.hands()
    held = hands.lease()
    assert held is not None
    with ThreadPoolExecutor(1) as pool:
        own_postgres.stop()
        request = pool.submit(lambda: hands.complete(hands.results(held)))  # it waits for the database
        own_postgres.start()
        assert request.result(120)
    do_all(hands, SETS - 1)
    check(bench, id, SETS)
    assert pids(instance) == before


def test_a_call_says_that_the_database_is_away_and_works_once_it_is_back(
    bench: Bench, instance: Instance, own_postgres: Postgres
) -> None:
    before = pids(instance)
    bench.create()
    inspect = pps.InspectPipelineRequest(pipeline=pipeline(bench.name))
    own_postgres.stop()
    try:
        for call in (
            lambda: bench.pipelines.InspectPipeline(inspect, timeout=60),
            lambda: bench.jobs.InspectJob(pps.InspectJobRequest(job=job(bench.name, "0" * 32)), timeout=60),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                call()
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert caught.value.details() == "the database cannot be reached or is busy; try again"
    finally:
        own_postgres.start()
    id = eventually(lambda: committed(bench)) or ""
    do_all(bench.hands(), 1)
    check(bench, id, 2)
    up = (pps.PIPELINE_RUNNING, pps.PIPELINE_CRASHING)  # the second when its workers, /bin/false, took long
    eventually(lambda: bench.pipelines.InspectPipeline(inspect).state in up)
    assert pids(instance) == before


def committed(bench: Bench) -> str | None:
    """The id of a new commit, or None while the database is away."""
    try:
        return bench.commit(files(2))
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            return None
        raise
