"""Jobs and NATS killed in the middle: nothing is lost, nothing counts twice, outputs are the same."""

import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

import grpc
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import work_v1_pb2 as work
from services.kit.storage.database import Database
from services.kit.storage.leases import LeaseRow
from tests.support.servers import channel, free_port
from tests.system.jobs.conftest import Instance
from tests.system.jobs.hands import Bench, Hands

Answer = TypeVar("Answer")
SETS = 6
AWAY = float(os.environ.get("DATAMILL_AWAY", "1"))  # seconds; `make soak` asks for a minute


def patiently(call: Callable[[], Answer], seconds: float = 120) -> Answer:
    """Try again while Jobs is away, as a worker does."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return call()
        except grpc.RpcError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def do_all(hands: Hands, sets: int) -> None:
    """Work until so many sets were counted."""
    done = 0
    while done < sets:
        held = patiently(lambda: hands.lease(5))
        if isinstance(held, work.DatumSet):
            request = hands.results(held)
            done += bool(patiently(lambda: hands.complete(request)))  # noqa: B023 - called at once


def files(n: int) -> dict[str, bytes | None]:
    return {f"/{k}": b"%d" % k for k in range(n)}


def check(bench: Bench, id: str, n: int) -> None:
    info = patiently_ended(bench, id)
    assert (info.state, info.reason) == (pps.JOB_SUCCESS, "")
    assert (info.data_total, info.data_processed, info.data_skipped, info.data_failed) == (n, n, 0, 0)
    assert info.stats.upload_bytes == 2 * n
    assert bench.outputs(id) == sorted(f"/{k}" for k in range(n))
    assert len(bench.datums(id)) == n


def patiently_ended(bench: Bench, id: str) -> pps.JobInfo:
    deadline = time.monotonic() + 60
    while True:
        try:
            return bench.ended(id)
        except grpc.RpcError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.mark.parametrize("after", [0.02, 0.08, 0.15, 0.3])
def test_killing_jobs_at_some_moment(bench: Bench, instance: Instance, after: float) -> None:
    bench.create(datumSetSpec={"number": 1})
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(do_all, bench.hands(), SETS)
        id = bench.commit(files(SETS))
        time.sleep(after)  # not a wait: the moment of the kill is what varies
        instance.restart("jobs")
        working.result(120)
    check(bench, id, SETS)


def test_jobs_goes_on_at_once_at_another_address(bench: Bench, instance: Instance) -> None:
    """As after `down` and `up`: the lease of the killed process is not waited for."""
    bench.create()
    id = bench.commit(files(2))
    held = bench.hands().lease()
    assert held is not None
    instance.kill("jobs")
    with Database(f"sqlite:///{instance.root / 'jobs/jobs.db'}") as database:
        assert database.run_here(held_for_a_day)
    before, instance.at["jobs"] = instance.at["jobs"], f"127.0.0.1:{free_port()}"
    try:
        instance.start("jobs")
        with channel(instance.at["jobs"]) as there:
            moved = replace(bench, jobs_channel=there)
            assert moved.hands().complete(moved.hands().results(held))
            check(moved, id, 2)
    finally:
        instance.kill("jobs")
        instance.at["jobs"] = before
        instance.start("jobs")


def held_for_a_day(tx: Session) -> int:
    """Leases as they would be if the dead had taken them for long."""
    leases = tx.scalars(select(LeaseRow).where(LeaseRow.duty.startswith("job/"))).all()
    for lease in leases:
        lease.until += timedelta(days=1)
    return len(leases)


def test_jobs_away_while_the_input_is_committed(bench: Bench, instance: Instance) -> None:
    bench.create()
    instance.kill("jobs")
    id = bench.commit(files(3))
    instance.start("jobs")
    do_all(bench.hands(), 1)
    check(bench, id, 3)


def test_a_queue_that_is_wiped_is_filled_again(bench: Bench, instance: Instance) -> None:
    bench.create(datumSetSpec={"number": 1})
    id = bench.commit(files(3))
    hands = bench.hands()
    held = hands.lease()
    assert held is not None
    instance.kill("nats")
    shutil.rmtree(instance.root / "nats")
    instance.start("nats")
    assert patiently(lambda: hands.complete(hands.results(held)))
    do_all(hands, 2)
    check(bench, id, 3)


def test_nats_killed_between_lease_and_answer(bench: Bench, instance: Instance) -> None:
    bench.create()
    id = bench.commit(files(2))
    hands = bench.hands()
    held = hands.lease()
    assert held is not None
    instance.restart("nats")
    assert hands.renew(held).held
    assert patiently(lambda: hands.complete(hands.results(held)))
    check(bench, id, 2)


def test_inputs_committed_while_nats_is_away(bench: Bench, instance: Instance) -> None:
    bench.create()
    instance.kill("nats")
    until = time.monotonic() + AWAY
    id = bench.commit(files(3))
    while time.monotonic() < until:
        with suppress(grpc.RpcError):  # it waits for work, or says that it cannot tell
            assert bench.hands().lease(1) is None
    instance.start("nats")
    do_all(bench.hands(), 1)
    check(bench, id, 3)
