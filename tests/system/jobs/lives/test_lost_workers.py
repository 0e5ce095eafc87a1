"""Workers of whom nothing is heard for longer than their lease, and who answer all the same when they come back.

One real worker runs behind a proxy to Jobs; the tests are a second one, with outputs of their own.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import psutil
import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire.pfs_v2_pb2_grpc import APIStub as PfsStub
from tests.support.patience import eventually
from tests.support.proxy import Mood, Proxy, proxy_to
from tests.support.servers import channel, free_port, unique
from tests.system.jobs.conftest import Instance
from tests.system.jobs.hands import Bench, repo

LEASE = "4s"
DATUMS = 3


@pytest.fixture(scope="module")
def lossy(tmp_path_factory: pytest.TempPathFactory, service_token: str) -> Iterator[tuple[Instance, Proxy]]:
    """An instance with short leases whose PPS and workers reach Jobs through the proxy."""
    at = {name: f"127.0.0.1:{free_port()}" for name in ("pfs", "jobs", "pps")}
    with proxy_to(int(at["jobs"].rpartition(":")[2])) as between:
        more = {"PPS_JOBS": between.endpoint, "PPS_WORKER_PYTHON": sys.executable, "JOBS_SET_LEASE": LEASE}
        found = Instance(tmp_path_factory.mktemp("lossy"), service_token, at, free_port(), {}, more=more)
        try:
            for name in ("nats", "pfs", "jobs", "pps"):
                found.start(name)
            yield found, between
        finally:
            found.stop()


@pytest.fixture
def bench(lossy: tuple[Instance, Proxy]) -> Iterator[Bench]:
    instance, _ = lossy
    with ExitStack() as stack:
        to = {name: stack.enter_context(channel(address)) for name, address in instance.at.items()}
        made = Bench(to["pfs"], to["pps"], to["jobs"], instance.token, unique("p"), unique("in"))
        PfsStub(to["pfs"]).CreateRepo(pfs.CreateRepoRequest(repo=repo(made.source)))
        yield made


@pytest.mark.parametrize("how", ["cut off", "hung"])
def test_a_worker_lost_for_longer_than_its_lease_counts_no_more(
    bench: Bench, lossy: tuple[Instance, Proxy], how: str
) -> None:
    _, between = lossy
    bench.ended(
        bench.create(
            transform={"cmd": ["sh"], "stdin": ['sleep 1; echo worker > /pfs/out/$(basename "$in")']},
            datumSetSpec={"number": 1},
        )
    )
    id = bench.commit({f"/{number}": b"x" for number in range(DATUMS)})
    worker = eventually(lambda: at_work(bench, id))
    process = process_of(worker)
    if how == "hung":
        process.suspend()
    else:
        between.mood = Mood.SILENT
    try:
        hands = bench.hands()
        deadline = time.monotonic() + 120
        while bench.inspect(id).state == pps.JOB_RUNNING and time.monotonic() < deadline:
            held = hands.lease(1)
            if held is not None:
                request = hands.results(held, lambda datum: {datum.inputs[0].file.path: b"hands"})
                hands.complete(request)
        first = bench.ended(id)
    finally:
        process.resume()
        between.mood = Mood.FAITHFUL
    check(bench, id, first)
    again = bench.commit({"/more": b"x"})
    assert bench.ended(again).data_processed == 1, "the worker is back at work"
    check(bench, id, first)


def at_work(bench: Bench, id: str) -> str:
    """The worker that is at a datum of the job; "" when there is none."""
    info = bench.inspect(id, details=True)
    return next((one.worker_id for one in info.details.worker_status if one.HasField("datum_status")), "")


def process_of(worker: str) -> psutil.Process:
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if "services.worker" in process.cmdline()[:4] and process.environ().get("WORKER_NAME") == worker:
                return process
    raise AssertionError(f"there is no process of {worker}")


def check(bench: Bench, id: str, first: pps.JobInfo) -> None:
    """Each datum counts once, and nothing has changed since the job ended."""
    info = bench.ended(id)
    assert info == first
    assert (info.state, info.data_total, info.data_processed) == (pps.JOB_SUCCESS, DATUMS, DATUMS)
    assert bench.outputs(id) == [f"/{number}" for number in range(DATUMS)]
    assert set(bench.datums(id).values()) == {"SUCCESS"}
