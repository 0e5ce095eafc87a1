"""The store of Jobs goes away at each stage of a job and comes back: jobs wait for it, and can be stopped meanwhile.

Elsewhere: the store of PFS (outages/test_store.py); the database (lives/test_outage.py).
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest

from datamill.wire import pps_v2_pb2 as pps
from tests.support.patience import eventually
from tests.system.jobs.conftest import Instance
from tests.system.jobs.hands import Bench, job
from tests.system.jobs.lives.test_crashes import check, files, patiently

pytestmark = pytest.mark.long
WAITS = "job waits and goes on by itself: "
GONE = "the folder of the store cannot be used (No such file or directory); try again when it can"


@contextmanager
def away(instance: Instance) -> Iterator[None]:
    store, elsewhere = instance.root / "jobs/store", instance.root / "jobs/elsewhere"
    store.rename(elsewhere)
    try:
        yield
    finally:
        elsewhere.rename(store)


def asked(instance: Instance, before: int) -> bool:
    """Whether Jobs has found out since its log was so long."""
    return "trying again" in instance.log("jobs")[before:]


def test_away_while_a_job_is_planned_handed_out_answered_and_finished(bench: Bench, instance: Instance) -> None:
    bench.create(datumSetSpec={"number": 1})
    bench.ended(bench.head())
    said = len(instance.log("jobs"))
    with away(instance):
        id = bench.commit(files(2))
        eventually(lambda: asked(instance, said))
        assert bench.inspect(id).state == pps.JOB_STARTING
        eventually(lambda: any(line.startswith(WAITS) for line in lines_of(bench, id)))
        for line in lines_of(bench, id):
            if line.startswith(WAITS):
                assert "No such file or directory" in line
                assert f"the store is the folder {instance.root / 'jobs/store'}" in line
    hands = bench.hands()
    held = hands.lease()
    assert held is not None
    request = hands.results(held)
    with away(instance):
        with pytest.raises(grpc.RpcError) as refused:
            hands.complete(request)
        assert (refused.value.code(), refused.value.details()) == (grpc.StatusCode.UNAVAILABLE, GONE)
        refusing = bench.hands()
        with pytest.raises(grpc.RpcError) as refused:
            refusing.lease()
        assert (refused.value.code(), refused.value.details()) == (grpc.StatusCode.UNAVAILABLE, GONE)
    assert hands.complete(request)
    again = bench.hands(name=refusing.name)
    held = patiently(again.lease)
    assert held is not None
    request = again.results(held)
    assert again.complete(request)
    check(bench, id, 2)
    assert bench.outputs(id, "meta")
    assert [bench.output_error(id, type) for type in ("user", "meta")] == ["", ""]
    later = bench.commit({"/more": b"1"})
    bench.hands().do_one()
    info = bench.ended(later)
    assert (info.state, info.data_processed, info.data_skipped) == (pps.JOB_SUCCESS, 1, 2), "the index is whole"


def test_a_folder_for_plans_that_somebody_removed_is_made_again(bench: Bench, instance: Instance) -> None:
    bench.create()
    bench.ended(bench.head())
    shutil.rmtree(instance.root / "jobs/store/.plans")
    id = bench.commit(files(2))
    bench.hands().do_one()
    check(bench, id, 2)


def lines_of(bench: Bench, id: str) -> list[str]:
    """What the driver has said in a job's log."""
    request = pps.GetLogsRequest(job=job(bench.name, id), master=True)
    return [line.message for line in bench.jobs.GetLogs(request, timeout=120)]


def test_a_job_can_be_stopped_while_the_store_is_away(bench: Bench, instance: Instance) -> None:
    bench.create()
    bench.ended(bench.head())
    said = len(instance.log("jobs"))
    with away(instance):
        id = bench.commit(files(2))
        eventually(lambda: asked(instance, said))
        bench.jobs.StopJob(pps.StopJobRequest(job=job(bench.name, id)), timeout=60)
        assert bench.ended(id).state == pps.JOB_KILLED
    later = bench.commit({"/more": b"1"})
    bench.hands().do_one()
    info = bench.ended(later)
    assert (info.state, info.data_total, info.data_processed) == (pps.JOB_SUCCESS, 3, 3)
