"""Two replicas of Jobs over one database: each knows what the other does, and takes over what a dead one has left."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import select

from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import work_v1_pb2 as work
from services.jobs.duties import driver, keeper
from services.kit.storage.database import Database
from services.kit.storage.leases import LeaseRow
from tests.support.patience import eventually
from tests.support.servers import channel
from tests.system.jobs.conftest import Instance
from tests.system.jobs.hands import Bench, Hands, job, pipeline
from tests.system.jobs.lives.test_crashes import check, do_all, files

pytestmark = pytest.mark.parametrize("instance", ["sqlite", "postgres"], indirect=True, scope="module")
SETS = 4
ENDED = ("job is STARTING", "job is RUNNING", "job is FINISHING", "job is SUCCESS")


@pytest.fixture(scope="module")
def there(instance: Instance) -> Iterator[grpc.Channel]:
    """A channel to the second replica."""
    instance.start("other")
    with channel(instance.at["other"]) as opened:
        yield opened


@pytest.fixture
def second(bench: Bench, there: grpc.Channel) -> Bench:
    """The same repo and pipeline, asked for at the second replica."""
    return replace(bench, jobs_channel=there)


def doing(hands: Hands, held: work.DatumSet) -> None:
    """Say that the first datum of a set is being worked on."""
    began = Timestamp()
    began.FromNanoseconds(time.time_ns())
    data = [pps.InputFile(path=one.file.path, hash=one.digest) for one in held.datums[0].inputs]
    request = work.ReportActivityRequest(
        worker=hands.name,
        pipeline=pipeline(hands.pipeline),
        job=held.job,
        datum_status=pps.DatumStatus(started=began, data=data),
    )
    hands.stub.ReportActivity(request, metadata=hands.metadata, timeout=60)


def test_each_replica_knows_what_the_other_does(bench: Bench, second: Bench) -> None:
    bench.create(datumSetSpec={"number": 1})
    news = second.jobs.SubscribeJob(pps.SubscribeJobRequest(pipeline=pipeline(bench.name)), timeout=120)
    with ThreadPoolExecutor(1) as pool:
        id = bench.commit(files(2))
        assert next(info.job.id for info in news if info.job.id == id)
        news.cancel()
        waiting = pool.submit(second.ended, id)
        first, other = bench.hands(), second.hands()
        held, theirs = first.lease(), other.lease()
        assert held is not None
        assert theirs is not None
        doing(first, held)
        path = held.datums[0].inputs[0].file.path
        statuses = {one.worker_id: one for one in second.inspect(id, details=True).details.worker_status}
        assert set(statuses) == {first.name, other.name}
        assert [file.path for file in statuses[first.name].datum_status.data] == [path]
        assert not statuses[other.name].HasField("datum_status"), "it has said nothing yet"
        second.jobs.RestartDatum(pps.RestartDatumRequest(job=job(bench.name, id), data_filters=[path]))
        assert first.renew(held).cancel_datum_ids == [held.datums[0].id]
        assert not first.renew(held).cancel_datum_ids, "a datum is restarted once"
        with pytest.raises(grpc.RpcError) as refused:
            second.jobs.RestartDatum(pps.RestartDatumRequest(job=job(bench.name, id), data_filters=["/none"]))
        assert refused.value.details() == f"datum matching filter [/none] could not be found for job ID {id}"
        crossed, back = replace(first, jobs=second.jobs_channel), replace(other, jobs=bench.jobs_channel)
        assert crossed.renew(held).held
        assert crossed.complete(crossed.results(held))
        assert back.complete(back.results(theirs))
        assert waiting.result(120).state == pps.JOB_SUCCESS
    check(bench, id, 2)
    assert said(bench, id) == dict.fromkeys(ENDED, 1), "one replica drives it"


def test_of_many_answers_for_a_set_that_come_at_once_one_counts(bench: Bench, second: Bench) -> None:
    bench.create()
    id = bench.commit(files(2))
    held = bench.hands().lease()
    assert held is not None
    answers = []
    for place in range(6):
        hands = (bench, second)[place % 2].hands()
        request = hands.results(held, lambda datum: {f"/{place}{datum.inputs[0].file.path}": b""})  # noqa: B023 - at once
        request.lease = f"the lease of {place}"
        answers.append((hands, request))
    with ThreadPoolExecutor(len(answers)) as pool:
        counted = list(pool.map(lambda answer: answer[0].complete(answer[1]), answers))
    assert sum(counted) == 1
    info = second.ended(id)
    assert (info.state, info.data_processed, info.stats.upload_bytes) == (pps.JOB_SUCCESS, 2, 4)
    place = counted.index(True)
    assert bench.outputs(id) == [f"/{place}/0", f"/{place}/1"]
    assert len(bench.outputs(id, "meta")) == 2


@pytest.mark.parametrize("killed", ["jobs", "other"])
def test_a_killed_replica_hands_its_work_over(bench: Bench, second: Bench, instance: Instance, killed: str) -> None:
    """Whoever drives the job, and where its workers ask: with a kill of each there is every case."""
    bench.create(datumSetSpec={"number": 1})
    id = bench.commit(files(SETS))
    do_all(bench.hands(), 1)
    do_all(second.hands(), 1)
    drives = eventually(lambda: holder(instance, bench, id))
    instance.kill(killed)
    left, began = (second if killed == "jobs" else bench), time.monotonic()
    try:
        do_all(left.hands(), SETS - 2)
        check(left, id, SETS)
        assert left.inspect(id).restart == (drives == killed)
        print(f"{drives} drove it, {killed} was killed: over after {time.monotonic() - began:.1f} s")
    finally:
        instance.start(killed)
    assert keeper.LEASE.total_seconds() + driver.LONGEST_PAUSE < 15
    assert said(left, id) == dict.fromkeys(ENDED, 1)


def test_a_hung_replica_finds_its_job_done_by_the_other(bench: Bench, second: Bench, instance: Instance) -> None:
    bench.create(datumSetSpec={"number": 1})
    id = bench.commit(files(2))
    do_all(bench.hands(), 1)
    drives = eventually(lambda: holder(instance, bench, id))
    hung, left = (drives, second if drives == "jobs" else bench)
    with instance.hanging(hung):
        do_all(left.hands(), 1)
        check(left, id, 2)
    again = bench.commit({"/more": b"x"})
    do_all(bench.hands(), 1)
    info = second.ended(again)
    assert (info.state, info.data_processed, info.data_skipped) == (pps.JOB_SUCCESS, 1, 2)
    assert said(left, id) == dict.fromkeys(ENDED, 1)


def holder(instance: Instance, bench: Bench, id: str) -> str:
    """Which replica drives a job; "" when none does now."""
    with Database(instance.jobs_database) as database:
        held = database.run_here(lambda tx: [(row.duty, row.holder) for row in tx.scalars(select(LeaseRow))])
    driving = {name.partition(" ")[0] for duty, name in held if duty.startswith("job/")}
    assert len(driving) <= 1, "no other job runs now"
    return next(iter(driving), "")


def said(bench: Bench, id: str) -> dict[str, int]:
    """How often the drivers said which of ENDED about a job."""
    request = pps.GetLogsRequest(job=job(bench.name, id), master=True)

    def count() -> dict[str, int]:
        lines = [line.message for line in bench.jobs.GetLogs(request, timeout=120)]
        return {words: sum(line.startswith(words) for line in lines) for words in ENDED}

    return eventually(lambda: found if all((found := count()).values()) else None) or {}


def test_two_of_a_name_do_not_take_sets_from_each_other(bench: Bench, second: Bench) -> None:
    """As while one PPS hangs with its workers at work and another runs workers in their place."""
    bench.create(datumSetSpec={"number": 1})
    earlier, later = replace(bench.hands(), incarnation="1"), replace(second.hands(), incarnation="2")
    later.name = earlier.name
    id = bench.commit(files(2))
    lost = earlier.lease()
    held = later.lease()
    assert lost is not None
    assert held is not None
    assert not earlier.renew(lost).held, "it is handed out again at once"
    assert earlier.lease(1) is None
    assert later.renew(held).held
    assert later.complete(later.results(held))
    later.do_one()
    check(second, id, 2)
