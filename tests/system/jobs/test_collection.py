"""What deleted jobs leave goes from the store of Jobs; what the others need stays."""

import asyncio
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from sqlalchemy import text

from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import upkeep_v1_pb2 as wire
from datamill.wire import work_v1_pb2 as work
from datamill.wire.upkeep_v1_pb2_grpc import JobUpkeepServiceStub
from services.jobs import verify
from services.jobs.domain.planning.origins import read_origin
from services.kit.storage.database import Database
from tests.support.servers import eventually
from tests.system.jobs.conftest import Instance
from tests.system.jobs.hands import Bench, Hands, job, pipeline

pytestmark = pytest.mark.parametrize("instance", ["sqlite", "postgres"], indirect=True, scope="module")
AT_ONCE = timedelta(0)


def collect(bench: Bench, hold: timedelta = AT_ONCE, *, dry_run: bool = False) -> wire.CollectJobGarbageResponse:
    request = wire.CollectJobGarbageRequest(dry_run=dry_run)
    request.hold.FromTimedelta(hold)
    stub = JobUpkeepServiceStub(bench.jobs_channel)
    answer: wire.CollectJobGarbageResponse = stub.CollectJobGarbage(
        request, metadata=bench.hands().metadata, timeout=120
    )
    return answer


def stored(instance: Instance) -> set[Path]:
    """Objects of Jobs."""
    return {path for path in (instance.root / "jobs/store/jobs").rglob("*") if path.is_file()}


def delete(bench: Bench, id: str) -> None:
    bench.jobs.DeleteJob(pps.DeleteJobRequest(job=job(bench.name, id)))


def test_what_only_a_deleted_job_referred_to_goes(instance: Instance, bench: Bench) -> None:
    bench.create()
    collect(bench)
    before = stored(instance)
    first = bench.commit({"/a": b"1", "/b": b"2"})
    bench.hands().do_one()
    bench.ended(first)
    second = bench.commit({"/c": b"3"})
    bench.hands().do_one()
    bench.ended(second)
    eventually(lambda: collect(bench) and len(stored(instance) - before) == 4, "the plans go: results and indexes stay")
    delete(bench, first)
    would = collect(bench, dry_run=True)
    assert (would.pipelines, would.unreferenced.objects, would.deleted.objects) == (1, 1, 0)
    assert len(stored(instance) - before) == 4
    waits = collect(bench, timedelta(hours=1))
    assert (waits.unreferenced.objects, waits.waiting, waits.deleted.objects) == (1, 1, 0)
    gone = collect(bench)
    assert (gone.pipelines, gone.deleted.objects) == (0, 1), "it was found already"
    assert gone.deleted.size_bytes > 0
    assert len(stored(instance) - before) == 3, "the first job's results hold a datum that the second skipped"
    assert bench.datums(second) == {"/a": "SKIPPED", "/b": "SKIPPED", "/c": "SUCCESS"}
    third = bench.commit({"/a": None})
    assert bench.ended(third).data_skipped == 2
    delete(bench, second)
    collect(bench)
    assert bench.datums(third) == {"/b": "SKIPPED", "/c": "SKIPPED"}


def test_all_of_a_deleted_pipeline_goes(instance: Instance, bench: Bench) -> None:
    bench.create()
    collect(bench)
    before = stored(instance)
    id = bench.commit({"/a": b"1"})
    bench.hands().do_one()
    bench.ended(id)
    bench.pipelines.DeletePipeline(pps.DeletePipelineRequest(pipeline=pipeline(bench.name), force=True))
    eventually(lambda: collect(bench) is not None and stored(instance) == before, "nothing of it is left")
    again = collect(bench)
    assert (again.pipelines, again.deleted.objects, again.waiting) == (0, 0, 0), "and nobody looks for more"


def test_a_backup_holds_it_off_and_strangers_may_not_ask(instance: Instance, bench: Bench) -> None:
    stub, metadata = JobUpkeepServiceStub(bench.jobs_channel), bench.hands().metadata
    hold = wire.HoldCollectionRequest(id="a-backup-of-mine")
    hold.ttl.FromTimedelta(timedelta(minutes=5))
    stub.HoldCollection(hold, metadata=metadata)
    stub.HoldCollection(hold, metadata=metadata)
    collecting = stub.CollectJobGarbage.future(wire.CollectJobGarbageRequest(), metadata=metadata)
    with pytest.raises(grpc.FutureTimeoutError):
        collecting.result(timeout=1)
    stub.ReleaseCollection(wire.ReleaseCollectionRequest(id=hold.id), metadata=metadata)
    collecting.result(timeout=120)
    for call in (
        lambda: stub.CollectJobGarbage(wire.CollectJobGarbageRequest(), timeout=120),
        lambda: stub.HoldCollection(hold, timeout=120),
        lambda: stub.ReleaseCollection(wire.ReleaseCollectionRequest(id=hold.id), timeout=120),
    ):
        with pytest.raises(grpc.RpcError, match="kept for datamill's own services"):
            call()


def test_whatever_a_killed_process_leaves_is_in_the_ledger(instance: Instance, bench: Bench) -> None:
    bench.create()
    id = bench.commit({f"/{number}": b"%d" % number for number in range(150)})
    hands = bench.hands()
    held = hands.lease()
    assert held is not None
    answer = hands.results(held)
    hands.stub.CompleteSet.future(answer, metadata=hands.metadata, timeout=120)
    instance.restart("jobs")
    eventually(lambda: handed_in(hands, answer), "the set is handed in")
    hands.do_one()
    assert bench.ended(id).state == pps.JOB_SUCCESS
    assert len(bench.datums(id)) == 150
    assert {path.name for path in stored(instance)} <= ledger(instance)


def handed_in(hands: Hands, answer: work.CompleteSetRequest) -> bool:
    try:
        hands.complete(answer)
    except grpc.RpcError:
        return False
    return True


def test_maps_that_the_next_plan_is_told_from_stay_and_are_whole(instance: Instance, bench: Bench) -> None:
    side = {"repo": bench.source, "glob": "/(?)*", "joinOn": "$1", "outerJoin": True}
    sides = [{"pfs": side | {"name": "one"}}, {"pfs": side | {"name": "two", "glob": "/[a-z0-9](*)"}}]
    bench.create(input={"join": sides})
    first = bench.commit({"/a1": b"1", "/1a": b"2"})
    bench.hands().do_one(no_files)
    assert bench.ended(first).data_total == 2
    second = bench.commit({"/b1": b"1"})
    bench.hands().do_one(no_files)
    bench.ended(second)
    delete(bench, first)
    collect(bench)
    assert asyncio.run(verify.main(database_of(instance), str(instance.root / "jobs/store"))) == 0
    third = bench.commit({"/a1": None})
    bench.hands().do_one(no_files)
    info = bench.ended(third)
    assert (info.state, info.data_total) == (pps.JOB_SUCCESS, 3)
    (damaged,) = [path for path in stored(instance) if path.name == root_of_maps(instance, third)]
    damaged.chmod(0o600)
    damaged.write_bytes(bytes(damaged.stat().st_size))
    assert asyncio.run(verify.main(database_of(instance), str(instance.root / "jobs/store"))) == 1


def no_files(_: work.Datum) -> dict[str, bytes]:
    return {}


def root_of_maps(instance: Instance, id: str) -> str:
    """The pack that holds the root of what a join's plan was made from."""
    with Database(database_of(instance)) as db:
        row = db.run_here(lambda tx: tx.execute(ORIGIN, {"id": id}).scalar_one())
    return read_origin(bytes(row)).matches.place.pack.hex()  # type: ignore[union-attr]


ORIGIN = text("SELECT origin FROM origins JOIN jobs ON jobs.number = origins.job WHERE jobs.id = :id")


def database_of(instance: Instance) -> str:
    if instance.postgres is not None:
        return instance.postgres.schema(f"{instance.root.name}-jobs")
    return f"sqlite:///{instance.root}/jobs/jobs.db"


def ledger(instance: Instance) -> set[str]:
    with Database(database_of(instance)) as db:
        return db.run_here(lambda tx: set(tx.execute(text("SELECT name FROM objects")).scalars()))
