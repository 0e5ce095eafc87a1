"""Jobs follow their commits, whichever is heard of first: PFS finishes a commit after its parent."""

import grpc

from datamill.wire import pps_v2_pb2 as pps
from tests.support.patience import eventually
from tests.system.jobs.conftest import Instance
from tests.system.jobs.hands import Bench


def test_the_newest_commit_asked_for_first_waits_for_the_older_ones(bench: Bench, instance: Instance) -> None:
    instance.kill("jobs")
    first = bench.create()
    ids = [bench.commit({f"/{number}": b"x"}) for number in range(3)]
    instance.start("jobs")
    assert eventually(lambda: _there(bench, ids[-1]))
    for _ in ids:
        bench.hands().do_one()
    assert [bench.ended(id).state for id in ids] == [pps.JOB_SUCCESS] * 3
    listed = bench.jobs.ListJob(pps.ListJobRequest(pipeline=pps.Pipeline(name=bench.name)), timeout=120)
    assert [info.job.id for info in listed] == [*reversed(ids), first]


def _there(bench: Bench, id: str) -> bool:
    try:
        return bool(bench.inspect(id).job.id)
    except grpc.RpcError:
        return False
