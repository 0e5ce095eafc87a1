"""Jobs that copy their outputs out: after the last datum, before the commits end, for as long as it takes."""

from pathlib import Path

from datamill.wire import explain_v1_pb2 as explain
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire.explain_v1_pb2_grpc import ExplainServiceStub
from tests.support.patience import eventually
from tests.system.jobs.conftest import Instance
from tests.system.jobs.hands import Bench, job


def target(instance: Instance, bench: Bench) -> Path:
    """A place of its own that the file service may write to."""
    return instance.outside / bench.name


def state(bench: Bench, id: str) -> int:
    return bench.inspect(id).state


def master_lines(bench: Bench, id: str) -> list[str]:
    request = pps.GetLogsRequest(job=job(bench.name, id), master=True)
    return [line.message for line in bench.jobs.GetLogs(request, timeout=120)]


def test_outputs_are_copied_out_before_the_job_ends(bench: Bench, instance: Instance) -> None:
    place = target(instance, bench)
    first = bench.create(egress={"objectStorage": {"url": f"file://{place}"}})
    assert bench.ended(first).state == pps.JOB_SUCCESS, "nothing to copy is no failure"
    id = bench.commit({"/a": b"1", "/b": b"2"})
    held = bench.hands().do_one(lambda datum: {f"/dir{datum.inputs[0].file.path}": b"out"})
    assert len(held.datums) == 2
    assert bench.ended(id).state == pps.JOB_SUCCESS
    assert {path.name: path.read_bytes() for path in (place / "dir").iterdir()} == {"a": b"out", "b": b"out"}
    states = [line.split()[-1] for line in master_lines(bench, id) if line.startswith("job is ") and ":" not in line]
    assert states == ["STARTING", "EGRESSING", "FINISHING", "SUCCESS"]


def test_egress_is_tried_until_it_works_or_the_job_is_stopped(bench: Bench, instance: Instance) -> None:
    place = target(instance, bench)
    place.write_bytes(b"no folder")
    bench.create(egress={"URL": f"file://{place}"})
    stopped, later = bench.commit({"/a": b"1"}), bench.commit({"/b": b"2"})
    bench.hands().do_one()
    eventually(lambda: any(line.startswith("egress failed") for line in master_lines(bench, stopped)))
    assert state(bench, stopped) == pps.JOB_EGRESSING
    why = eventually(lambda: bench.inspect(stopped).reason)
    assert why.startswith("egress failed and is tried again: ")
    explained = ExplainServiceStub(bench.jobs_channel).WhyJob(explain.WhyJobRequest(job=job(bench.name, stopped)))
    assert [wait.reason for wait in explained.waits] == [why]
    assert explained.sentence.endswith(f"its outputs to be sent to where egress says ({why})")
    bench.jobs.StopJob(pps.StopJobRequest(job=job(bench.name, stopped), reason="enough"))
    info = bench.ended(stopped)
    assert (info.state, info.reason) == (pps.JOB_KILLED, "enough")
    assert bench.output_error(stopped) == "enough"
    bench.hands().do_one()
    eventually(lambda: state(bench, later) == pps.JOB_EGRESSING)
    instance.kill("jobs")
    place.unlink()
    instance.start("jobs")
    assert eventually(lambda: (place / "b").exists() and place)
    assert (bench.ended(later).state, bench.inspect(later).reason) == (pps.JOB_SUCCESS, "")


def test_a_failed_datum_leaves_the_target_alone(bench: Bench, instance: Instance) -> None:
    bench.create(datumSetSpec={"number": 1}, egress={"URL": f"file://{target(instance, bench)}"})
    id = bench.commit({"/a": b"1", "/b": b"2"})
    for _ in range(2):
        bench.hands().do_one(lambda datum: None if datum.inputs[0].file.path == "/a" else {"/b": b""})
    assert bench.ended(id).state == pps.JOB_FAILURE
    assert not target(instance, bench).exists()
