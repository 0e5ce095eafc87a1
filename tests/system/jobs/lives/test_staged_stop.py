"""Stopping jobs in a transaction: they run on until its end, and are stopped then, also by a service that was dead."""

from typing import Any

import grpc
import pytest

from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import transaction_v2_pb2 as wire
from datamill.wire import transaction_v2_pb2_grpc
from tests.support.servers import channel, eventually
from tests.system.jobs.conftest import Instance
from tests.system.jobs.hands import Bench, job
from tests.system.pfs.driver import refused

pytestmark = pytest.mark.parametrize("instance", ["sqlite"], indirect=True, scope="module")
OPEN = {pps.JOB_CREATED, pps.JOB_STARTING, pps.JOB_RUNNING}
NOBODY = "0" * 12 + "4" + "0" * 19


def waiting(bench: Bench) -> str:
    """A job that nobody works on."""
    bench.create()
    return bench.commit({"/a": b"1"})


def state(bench: Bench, id: str) -> Any:
    return bench.jobs.InspectJob(pps.InspectJobRequest(job=job(bench.name, id))).state


def stop(bench: Bench, id: str) -> pps.StopJobRequest:
    return pps.StopJobRequest(job=job(bench.name, id), reason="enough")


def test_a_job_runs_on_until_the_end_of_the_transaction(bench: Bench, instance: Instance) -> None:
    id = waiting(bench)
    with channel(instance.at["pfs"]) as to_pfs:
        api = transaction_v2_pb2_grpc.APIStub(to_pfs)
        opened = api.StartTransaction(wire.StartTransactionRequest())
        header = (("pach-transaction", opened.id),)
        bench.jobs.StopJob(stop(bench, id), metadata=header)
        with refused(grpc.StatusCode.NOT_FOUND, "not found"):
            bench.jobs.StopJob(stop(bench, NOBODY), metadata=header)
        assert state(bench, id) in OPEN
        shown = api.InspectTransaction(wire.InspectTransactionRequest(transaction=opened))
        assert [one.stop_job.job.id for one in shown.requests] == [id]
        api.FinishTransaction(wire.FinishTransactionRequest(transaction=opened))
    info = bench.ended(id)
    assert (info.state, info.reason) == (pps.JOB_KILLED, "enough")


def test_a_batch_stops_jobs_that_are_there(bench: Bench, instance: Instance) -> None:
    id = waiting(bench)
    with channel(instance.at["pfs"]) as to_pfs:
        api = transaction_v2_pb2_grpc.APIStub(to_pfs)
        nobody = wire.TransactionRequest(stop_job=stop(bench, NOBODY))
        wanted = wire.TransactionRequest(stop_job=stop(bench, id))
        with refused(grpc.StatusCode.NOT_FOUND, "error running request 2 of 2: "):
            api.BatchTransaction(wire.BatchTransactionRequest(requests=[wanted, nobody]))
        with refused(grpc.StatusCode.UNKNOWN, "job must have an id and a pipeline"):
            api.BatchTransaction(
                wire.BatchTransactionRequest(requests=[wire.TransactionRequest(stop_job=pps.StopJobRequest())])
            )
        assert state(bench, id) in OPEN
        api.BatchTransaction(wire.BatchTransactionRequest(requests=[wanted]))
    assert state(bench, id) == pps.JOB_KILLED


def test_a_service_that_was_dead_at_the_end_stops_it_later(bench: Bench, instance: Instance) -> None:
    id = waiting(bench)
    with channel(instance.at["pfs"]) as to_pfs:
        api = transaction_v2_pb2_grpc.APIStub(to_pfs)
        instance.kill("jobs")
        request = wire.TransactionRequest(stop_job=stop(bench, id))
        with refused(grpc.StatusCode.DEADLINE_EXCEEDED, ""):
            api.BatchTransaction(wire.BatchTransactionRequest(requests=[request]), timeout=10)
        instance.start("jobs")
    eventually(lambda: reachable(bench, id) == pps.JOB_KILLED, "the job is stopped")


def reachable(bench: Bench, id: str) -> Any:
    try:
        return state(bench, id)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            return None
        raise
