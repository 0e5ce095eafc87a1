"""Logs that outlive the stream: what a job said is read from the store once it ended, each line once and in order."""

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta

import grpc
import nats
import pytest
from google.protobuf.duration_pb2 import Duration

from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import upkeep_v1_pb2 as upkeep
from datamill.wire.upkeep_v1_pb2_grpc import JobUpkeepServiceStub
from services.kit.rpc.server import SERVICE_TOKEN_HEADER
from tests.support.patience import eventually
from tests.system.jobs.conftest import Instance
from tests.system.jobs.hands import Bench, job, pipeline
from tests.system.jobs.logs.test_logs import D1, D2, export, read
from tests.system.pfs.driver import refused


@pytest.fixture(scope="module", autouse=True)
def _sealed_at_once(instance: Instance) -> None:
    instance.seal_logs_after = "0s"
    instance.restart("jobs")


def objects(instance: Instance) -> int:
    return sum(path.is_file() for path in (instance.root / "jobs" / "store" / "jobs" / "logs").rglob("*"))


def ended(bench: Bench, instance: Instance, lines: list[str], *, by: int = 1000) -> str:
    """A job that has said these lines, has ended, and is sealed; its id."""
    id, before = bench.create(), objects(instance)
    assert bench.ended(id).state == pps.JOB_SUCCESS  # it has no datums
    eventually(lambda: objects(instance) > before)
    before, id = objects(instance), bench.commit({"/a": b"x"})
    for start in range(0, len(lines), by):
        export(bench, id, D1, [("stdout", line) for line in lines[start : start + by]])
    export(bench, id, D2, [("worker", "beginning"), ("stderr", "of the second")])
    bench.hands().do_one()
    assert bench.ended(id).state == pps.JOB_SUCCESS
    eventually(lambda: objects(instance) > before)
    return id


def empty_the_stream(instance: Instance) -> None:
    async def purge() -> None:
        client = await nats.connect(f"nats://127.0.0.1:{instance.nats_port}")
        await client.jetstream().purge_stream("LOGS")
        await client.close()

    asyncio.run(purge())


def test_a_sealed_log_is_the_whole_log(bench: Bench, instance: Instance) -> None:
    lines = [f"line {number} %s" for number in range(5000)]
    id = ended(bench, instance, lines)
    mine = job(bench.name, id)
    before = {master: read(bench, job=mine, master=master) for master in (False, True)}
    assert before[False] == [*lines, "beginning", "of the second"]
    assert "job is STARTING" in before[True]
    empty_the_stream(instance)
    instance.restart("jobs")
    after = {master: read(bench, job=mine, master=master) for master in (False, True)}
    assert after[False] == before[False]
    assert after[True] == before[True][: len(after[True])], "the last words of the driver may come after the seal"
    assert read(bench, job=mine, datum=pps.Datum(id=D2)) == ["beginning", "of the second"]
    assert read(bench, pipeline=pipeline(bench.name), data_filters=["/11"]) == lines
    assert read(bench, job=mine, tail=1) == ["of the second"]
    assert read(bench, job=mine, since=Duration(nanos=1000)) == []
    export(bench, id, D1, [("stdout", "late")])
    assert read(bench, job=mine)[-2:] == ["of the second", "late"]
    call = bench.jobs.GetLogs(pps.GetLogsRequest(job=mine, follow=True, datum=pps.Datum(id=D1)), timeout=120)
    assert [next(call).message for _ in range(5001)] == [*lines, "late"]
    export(bench, id, D1, [("stdout", "later still")])
    assert next(call).message == "later still"
    call.cancel()


def test_a_deleted_job_loses_its_log_and_damage_to_one_is_found(bench: Bench, instance: Instance) -> None:
    id = ended(bench, instance, ["kept"])
    before = objects(instance)
    database, store = instance.root / "jobs" / "jobs.db", (instance.root / "jobs" / "store").as_uri()
    look = [sys.executable, "-m", "services.jobs.verify", f"sqlite:///{database}", store]
    whole = subprocess.run(look, capture_output=True, text=True, check=False, timeout=120)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    newest = max(
        (path for path in (instance.root / "jobs" / "store" / "jobs" / "logs").rglob("*") if path.is_file()),
        key=lambda path: path.stat().st_mtime_ns,
    )
    bytes_before = newest.read_bytes()
    newest.chmod(0o600)
    newest.write_bytes(bytes_before[:10] + b"?" + bytes_before[11:])
    damaged = subprocess.run(look, capture_output=True, text=True, check=False, timeout=120)
    assert (damaged.returncode, newest.name in damaged.stdout) == (1, True)
    newest.write_bytes(bytes_before)
    bench.jobs.DeleteJob(pps.DeleteJobRequest(job=job(bench.name, id)), timeout=120)
    with refused(grpc.StatusCode.NOT_FOUND, f'could not get job information for "{id}"'):
        read(bench, job=job(bench.name, id))
    assert "kept" not in read(bench, pipeline=pipeline(bench.name))
    hold = Duration()
    hold.FromTimedelta(timedelta(0))
    JobUpkeepServiceStub(bench.jobs_channel).CollectJobGarbage(
        upkeep.CollectJobGarbageRequest(hold=hold), metadata=((SERVICE_TOKEN_HEADER, bench.token),), timeout=120
    )
    assert objects(instance) == before - 1
    assert not newest.exists()


def test_following_goes_on_when_nats_was_restarted(bench: Bench, instance: Instance) -> None:
    id = bench.create()
    export(bench, id, D1, [("stdout", "before")])
    mine = pps.GetLogsRequest(job=job(bench.name, id), follow=True)
    call = bench.jobs.GetLogs(mine, timeout=120)
    assert next(call).message == "before"
    instance.restart("nats")

    def said() -> bool:
        try:
            export(bench, id, D1, [("stdout", "after")])
        except grpc.RpcError:  # it is not back yet
            return False
        return True

    eventually(said)
    assert next(call).message == "after"
    call.cancel()


def test_lines_are_kept_for_as_long_as_was_said(bench: Bench, instance: Instance) -> None:
    id = ended(bench, instance, ["old"])
    empty_the_stream(instance)
    assert "old" in read(bench, job=job(bench.name, id))
    instance.keep_sealed_logs = "0.001s"
    instance.restart("jobs")
    try:
        eventually(lambda: read(bench, job=job(bench.name, id)) == [])
        export(bench, id, D1, [("stdout", "new")])
        assert read(bench, job=job(bench.name, id)) == ["new"], "what was not in objects is not forgotten with them"
    finally:
        instance.keep_sealed_logs = "0s"
        instance.restart("jobs")


def test_a_job_that_runs_may_say_more_than_the_stream_holds(bench: Bench, instance: Instance) -> None:
    """Its oldest lines are in the store before they are gone from the stream, and with the last ones when it ends."""
    bench.ended(bench.create())
    instance.keep_log_bytes = 1 << 20
    instance.restart("jobs")
    try:
        id, said = bench.commit({"/a": b"x"}), list[str]()
        for turn in range(10):
            before, lines = objects(instance), [f"{turn} {at} " + "x" * 1000 for at in range(400)]
            export(bench, id, D1, [("stdout", line) for line in lines])
            said += lines
            eventually(lambda before=before: objects(instance) > before)  # type: ignore[misc]
        mine = job(bench.name, id)
        assert bench.inspect(id).state == pps.JOB_RUNNING
        assert read(bench, job=mine) == said
        call = bench.jobs.GetLogs(pps.GetLogsRequest(job=mine, follow=True, datum=pps.Datum(id=D1)), timeout=120)
        assert [next(call).message for _ in said] == said
        export(bench, id, D1, [("stdout", "last")])
        assert next(call).message == "last"
        call.cancel()
        instance.restart("jobs")
        bench.hands().do_one()
        assert bench.ended(id).state == pps.JOB_SUCCESS
        eventually(lambda: sealed(instance, id))
        empty_the_stream(instance)
        assert read(bench, job=mine) == [*said, "last"]
        assert read(bench, pipeline=pipeline(bench.name)) == [*said, "last"]
    finally:
        instance.keep_log_bytes = 1 << 30
        instance.restart("jobs")


def sealed(instance: Instance, id: str) -> bool:
    """Whether all that a job has said is in objects."""
    with closing(sqlite3.connect(instance.root / "jobs" / "jobs.db")) as opened:
        return bool(opened.execute("SELECT sealed FROM jobs WHERE id = ?", (id,)).fetchone()[0])


def test_the_services_own_lines_are_bare(bench: Bench, instance: Instance) -> None:
    for service in ("pps", "jobs"):
        instance.restart(service)  # it says where it serves
        eventually(lambda name=service: any(f'"service": "{name}"' in line for line in read(bench)))  # type: ignore[misc]
    messages = list(bench.jobs.GetLogs(pps.GetLogsRequest(), timeout=120))
    assert {field.name for one in messages for field, _ in one.ListFields()} == {"message"}
