"""Trouble around a worker: services away, leases lost, cancellations, shutdown, too much output, a full disk."""

import os
import pwd
import signal
import subprocess
import time
from pathlib import Path

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty

from datamill.wire import worker_pb2 as worker_wire
from datamill.wire import worker_pb2_grpc
from tests.support.patience import eventually
from tests.system.worker.conftest import Start
from tests.system.worker.doubles import JOB, Double, datum
from tests.system.worker.test_sets import FAILED, SUCCESS, shell


def test_services_restart_in_the_middle_of_a_set(double: Double, start: Start, tmp_path: Path) -> None:
    double.put({f"/{number}": b"x" * number for number in range(1, 6)})
    double.give(*(datum(number, f"/{number}") for number in range(1, 6)))
    go = tmp_path / "go"
    with start(shell(f"while ! test -e {go}; do sleep 0.05; done", "cp $in /pfs/out/")):
        double.wait_for(lambda: double.calls["ResolveFiles"])
        double.stop()
        go.touch()
        time.sleep(1.0)  # long enough for the set to be through and its results to find nobody
        double.start()
        answer = double.done()
    assert [result.state for result in answer.results] == [SUCCESS] * 5
    assert not double.returned


def test_results_are_handed_in_once_jobs_answers_again(double: Double, start: Start) -> None:
    double.put({"/f": b"1"})
    with start(shell("echo out > /pfs/out/x")):
        double.wait_for(lambda: double.calls["LeaseSet"])
        double.give(datum(1, "/f"))
        double.wait_for(lambda: double.calls["StartPack"])
        double.fault.away = True
        double.wait_for(lambda: double.calls["CompleteSet"] + double.calls["PutEntries"] + double.calls["SealPack"] > 3)
        double.fault.away = False
        answer = double.done()
    assert double.content_of(answer.output_file_set_id) == {"/x": b"out\n"}


def test_a_lost_lease_kills_the_user_code_at_once_and_drops_the_set(
    double: Double, start: Start, tmp_path: Path
) -> None:
    double.put({"/f": b"1", "/g": b"2"})
    double.give(datum(1, "/f"))
    ready = tmp_path / "ready"
    with start(shell(f'test "$in" = /pfs/in/g || {{ touch {ready}; sleep 600.25; }}')):
        wait_for_file(ready)
        eventually(lambda: sleeping("600.25"))  # else the loop below could end before the sleep has begun
        double.fault.held = False
        began = time.monotonic()
        while sleeping("600.25"):
            assert time.monotonic() - began < 120, "a lost lease did not stop the user code"
            time.sleep(0.02)
        double.fault.held = True
        double.give(datum(2, "/g"))
        answer = double.done()
    assert [result.datum_id for result in answer.results] == [f"{2:064x}"]
    assert len(double.completed) == 1


def test_restart_datum_fails_the_present_attempt_only(double: Double, start: Start, tmp_path: Path) -> None:
    double.put({"/f": b"1"})
    double.give(datum(1, "/f"))
    once = tmp_path / "once"
    with start(shell(f"test -e {once} || {{ touch {once}; sleep 600.5; }}", datum_tries=2)):
        wait_for_file(once)
        double.wait_for(lambda: double.activity)
        assert double.activity[0].datum_status.data[0].path == "/f"
        double.fault.cancel = [f"{1:064x}"]
        answer = double.done()
        double.wait_for(lambda: any("cancelled" in text for text in double.texts()))
    assert answer.results[0].state == SUCCESS


def test_status_and_cancel_on_the_workers_own_port(double: Double, start: Start, tmp_path: Path) -> None:
    double.put({"/f": b"1"})
    ready = tmp_path / "ready"
    info = shell(f"echo $PPS_WORKER_GRPC_PORT > {ready}.new; mv {ready}.new {ready}; sleep 600.75", datum_tries=1)
    with start(info) as process, grpc.insecure_channel(process[1]) as channel:
        stub = worker_pb2_grpc.WorkerStub(channel)
        idle = stub.Status(Empty())
        assert (idle.worker_id, idle.job_id) == ("edges-v1-0", "")
        assert not stub.Cancel(worker_wire.CancelRequest(job_id=JOB)).success
        double.give(datum(1, "/f"))
        wait_for_file(ready)
        assert process[1].endswith(":" + ready.read_text().strip())
        status = stub.Status(Empty())
        assert (status.job_id, status.datum_status.data[0].path) == (JOB, "/f")
        assert not stub.Cancel(worker_wire.CancelRequest(job_id=JOB, data_filters=["/other"])).success
        assert stub.Cancel(worker_wire.CancelRequest(job_id=JOB, data_filters=["/f"])).success
        with pytest.raises(grpc.RpcError) as caught:
            stub.NextDatum(worker_wire.NextDatumRequest())
        assert caught.value.details() == "datum batching not enabled"
        assert double.done().results[0].state == FAILED


def test_a_worker_told_to_stop_gives_its_set_back(double: Double, start: Start, tmp_path: Path) -> None:
    double.put({"/f": b"1"})
    double.give(datum(1, "/f"))
    ready = tmp_path / "ready"
    with start(shell(f"touch {ready}; sleep 601.25")) as process:
        wait_for_file(ready)
        os.kill(shim_of(process.process.pid), signal.SIGTERM)
        double.wait_for(lambda: double.returned)
        assert process.process.wait(120) == 0
    assert double.returned[0].reason == "the worker is stopping"
    assert not sleeping("601.25")


def test_a_missing_pack_gives_the_set_back_with_the_reason(double: Double, start: Start) -> None:
    double.put({"/f": b"1"})
    double.pack_path(double.files["/f"].extents[0].pack_id).unlink()
    double.give(datum(1, "/f"))
    with start(shell("true"), keep_trying="0.3"):
        double.wait_for(lambda: double.returned)
    assert "cannot be read: No such file or directory" in double.returned[0].reason


def test_corrupt_content_never_reaches_user_code(double: Double, start: Start) -> None:
    double.put({"/f": b"the right bytes"})
    path = double.pack_path(double.files["/f"].extents[0].pack_id)
    path.write_bytes(path.read_bytes().replace(b"right", b"wrong"))
    double.give(datum(1, "/f"))
    with start(shell("cat $in"), keep_trying="0.3"):
        double.wait_for(lambda: double.returned)
    assert "does not have the hash" in double.returned[0].reason
    assert not double.texts("stdout")


def test_a_spec_that_cannot_run_is_reported_and_ends_the_worker(double: Double, start: Start) -> None:
    with (
        pytest.raises(AssertionError, match="there is no user 'nobody-knows'"),
        start(shell("true", user="nobody-knows")),
    ):
        pass
    assert "there is no user 'nobody-knows' here" in double.activity[0].fatal


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become somebody else")
def test_user_code_runs_as_the_user_it_names(double: Double, start: Start) -> None:
    double.put({"/d/f": b"1"})
    double.give(datum(1, "/d/"))
    script = [
        "id -u > /pfs/out/uid",
        "id -G > /pfs/out/groups",
        "echo $HOME $USER > /pfs/out/home",
        "echo more >> /pfs/in/d/f",
        "mkdir /pfs/in/d/new",
    ]
    with start(shell("set -e", *script, user="65534:65534")):
        answer = double.done()
    assert answer.results[0].state == SUCCESS, answer.results[0].reason
    outputs = double.content_of(answer.output_file_set_id)
    home = pwd.getpwuid(65534).pw_dir
    assert outputs == {"/uid": b"65534\n", "/groups": b"65534\n", "/home": b"%s nobody\n" % home.encode()}


def test_ten_thousand_lines_all_arrive_in_order(double: Double, start: Start) -> None:
    double.put({"/f": b"1"})
    double.give(datum(1, "/f"))
    with start(shell("seq 1 10000", "printf 'no end'")):
        double.wait_for(lambda: "no end" in double.texts("stdout"))
    assert double.texts("stdout") == [*map(str, range(1, 10001)), "no end"]
    assert double.texts("worker")[0] == "beginning to run user code"


def test_a_line_is_seen_while_the_datum_runs(double: Double, start: Start, tmp_path: Path) -> None:
    double.put({"/f": b"1"})
    double.give(datum(1, "/f"))
    go = tmp_path / "go"
    with start(shell("echo hello", f"while ! test -e {go}; do sleep 0.05; done")):
        double.wait_for(lambda: "hello" in double.texts("stdout"))
        assert not double.completed
        go.touch()
        double.done()
    line = next(line for line in double.lines if line.message == "hello")
    assert line.seen - line.at < 0.5
    assert line.datum == f"{1:064x}"


def test_a_flood_of_output_neither_blocks_nor_grows(double: Double, start: Start) -> None:
    double.put({"/f": b"1"})
    double.give(datum(1, "/f"))
    with start(
        shell("head -c 1000000000 /dev/zero | tr '\\0' 'x'", "head -c 100000000 /dev/urandom"), log_limit_bytes=4 << 20
    ) as process:
        answer = double.done(seconds=120)
        double.wait_for(lambda: any("were not logged" in text for text in double.texts("stderr")), 60)
        peak = peak_kib(shim_of(process.process.pid))
    assert answer.results[0].state == SUCCESS
    assert peak < 150 << 10
    assert sum(len(text) for text in double.texts("stdout")) < 6 << 20


def test_a_store_that_refuses_writes_gives_the_set_back(double: Double, start: Start) -> None:
    double.put({"/f": b"1"})
    (double.root / "incoming").rmdir()
    double.give(datum(1, "/f"))
    with start(shell("echo x > /pfs/out/x"), keep_trying="0.3"):
        double.wait_for(lambda: double.returned)
    assert "cannot write outputs to the store" in double.returned[0].reason


def wait_for_file(path: Path) -> None:
    until = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < until, f"{path} did not come"
        time.sleep(0.01)


def sleeping(seconds: str) -> bool:
    wanted = b"sleep\0" + seconds.encode() + b"\0"
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes() == wanted:
                return True
        except OSError:
            continue
    return False


def shim_of(sandbox: int) -> int:
    """The process that the sandbox's first process started."""
    pid = sandbox
    while True:
        found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout.split()
        if not found:
            return pid
        pid = int(found[0])
        if "bwrap" not in os.readlink(f"/proc/{pid}/exe"):
            return pid


def peak_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
