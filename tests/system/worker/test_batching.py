"""One process of user code for a whole set, asking for each datum by NextDatum over real gRPC."""

import re
import sys
from pathlib import Path

import pytest

from datamill.wire import pps_v2_pb2 as pps
from tests.system.worker.conftest import Start
from tests.system.worker.doubles import JOB, Double, datum, pipeline
from tests.system.worker.test_sets import FAILED, RECOVERED, SUCCESS

CLIENT = """
import os, shutil, sys, threading, time
import grpc
from datamill.wire import worker_pb2, worker_pb2_grpc
channel = grpc.insecure_channel("localhost:" + os.environ["PPS_WORKER_GRPC_PORT"])
stub = worker_pb2_grpc.WorkerStub(channel)
def next_datum(error=""):
    env = stub.NextDatum(worker_pb2.NextDatumRequest(error=error)).env
    os.environ.update(line.split("=", 1) for line in env)
    return env
def once(name):  # True the first time that it is asked, whichever process asks
    try:
        open(HERE + "/once-" + name, "x").close()
        return True
    except FileExistsError:
        return False
"""


def python(tmp_path: Path, code: str, **more: object) -> pps.PipelineInfo:
    script = tmp_path / "user.py"
    script.write_text(f"HERE = {str(tmp_path)!r}\n{CLIENT}\n{code}")
    return pipeline(sys.executable, "-u", str(script), datum_batching=True, **more)


def test_one_process_does_all_datums_of_a_set(double: Double, start: Start, tmp_path: Path) -> None:
    double.put({f"/{number}": b"file %d" % number for number in range(5)})
    double.give(*(datum(number, f"/{number}") for number in range(5)))
    code = """
print("before", sorted(os.listdir("/pfs")), "PACH_DATUM_ID" in os.environ, os.environ["PACH_JOB_ID"])
error = "the first call's error says nothing"
while True:
    env = next_datum(error)
    error = ""
    lines = open("/pfs/.env").read().splitlines()
    assert set(lines) >= {line for line in env if line.startswith(("in", "PACH_"))}, lines
    name = os.path.basename(os.environ["in"])
    print("doing", name)
    shutil.copy(os.environ["in"], "/pfs/out/" + name)
    open("/pfs/out/pid-" + name, "w").write(str(os.getpid()))
    print("no end", name, end="")
"""
    with start(python(tmp_path, code)):
        answer = double.done()
        double.wait_for(lambda: sum("no end" in text for text in double.texts()) == 5)
    assert [result.state for result in answer.results] == [SUCCESS] * 5
    assert [sorted(result.outputs) for result in answer.results] == [[f"/{n}", f"/pid-{n}"] for n in range(5)]
    outputs = double.content_of(answer.output_file_set_id)
    assert [outputs[f"/{n}"] for n in range(5)] == [b"file %d" % n for n in range(5)]
    pids = {outputs[f"/pid-{n}"] for n in range(5)}
    assert len(pids) == 1, "more than one process ran"
    assert f"before ['.memory', '.scratch'] False {JOB}" in double.texts("stdout")
    of = {line.message: line.datum for line in double.lines if line.stream == "stdout"}
    assert of[f"before ['.memory', '.scratch'] False {JOB}"] == ""
    assert {of[f"{word} {n}"] for n in range(5) for word in ("doing", "no end")} == {f"{n:064x}" for n in range(5)}
    assert all(of[f"doing {n}"] == of[f"no end {n}"] == f"{n:064x}" for n in range(5))
    envs = double.content_of(answer.meta_file_set_id)
    assert b"PACH_DATUM_ID=%064x\n" % 4 in envs[f"/pfs/{4:064x}/.env"]


def test_a_failed_attempt_starts_the_process_again_at_the_same_datum(
    double: Double, start: Start, tmp_path: Path
) -> None:
    double.put({f"/{name}": name.encode() for name in ("fine", "error", "exit0", "exit3", "hang")})
    double.give(*(datum(n, f"/{name}") for n, name in enumerate(("fine", "error", "exit0", "exit3", "hang"))))
    code = """
error = ""
while True:
    next_datum(error)
    error, name = "", os.path.basename(os.environ["in"])
    if name != "fine" and once(name):
        open("/pfs/out/" + name + "-half", "w").close()
        if name == "error":
            error = "boom because of reasons"
        elif name == "hang":
            time.sleep(600)
        else:
            sys.exit(int(name[-1]))
    else:
        shutil.copy(os.environ["in"], "/pfs/out/" + name)
"""
    with start(python(tmp_path, code, datum_tries=4, datum_timeout=8.0)):
        answer = double.done()
        double.wait_for(lambda: sum("errored running user code after" in text for text in double.texts()) >= 4)
    assert [result.state for result in answer.results] == [SUCCESS] * 5
    outputs = double.content_of(answer.output_file_set_id)
    assert outputs == {f"/{name}": name.encode() for name in ("fine", "error", "exit0", "exit3", "hang")}
    why = {re.sub(r".*after [\d.]+s: ", "", text) for text in double.texts("worker") if "errored" in text}
    assert why >= {"boom because of reasons", "user code exited prematurely", "exit status 3"}
    assert any("datum timeout of 8s was exceeded" in text for text in why)


def test_used_up_tries_fail_the_datum_unless_the_error_handler_mends_it(
    double: Double, start: Start, tmp_path: Path
) -> None:
    double.put({"/good": b"1", "/bad": b"2", "/worse": b"3", "/last": b"4"})
    double.give(*(datum(n, path) for n, path in enumerate(("/bad", "/good", "/worse", "/last"))))
    code = """
error = ""
while True:
    next_datum(error)
    error, name = "", os.path.basename(os.environ["in"])
    shutil.copy(os.environ["in"], "/pfs/out/")
    if name in ("bad", "worse"):
        error = name
"""
    handler = {"err_cmd": ["sh", "-c", 'echo handled; test "$in" = /pfs/in/bad && test -f "$in" -a -f /pfs/out/bad']}
    with start(python(tmp_path, code, datum_tries=2, **handler)):
        answer = double.done()
        double.wait_for(lambda: double.texts("stdout").count("handled") == 4)
    assert [result.state for result in answer.results] == [RECOVERED, SUCCESS, FAILED, SUCCESS]
    assert answer.results[2].reason == "worse"
    assert set(double.content_of(answer.output_file_set_id)) == {"/good", "/last"}
    assert {line.datum for line in double.lines if line.message == "handled"} == {f"{0:064x}", f"{2:064x}"}


def test_a_process_that_never_asks_is_no_datums_fault(double: Double, start: Start, tmp_path: Path) -> None:
    double.put({"/f": b"1", "/g": b"2"})
    double.give(datum(1, "/f"))
    code = """
if once("early"):
    sys.exit(5)
if once("never"):
    open(HERE + "/waiting", "x").close()
    time.sleep(600)
while True:
    next_datum()
"""
    with start(python(tmp_path, code)):
        double.wait_for(lambda: double.returned)
        assert double.returned[0].reason == "user code ended before it asked for a datum: exit status 5"
        double.give(datum(1, "/f"))
        double.wait_for(lambda: double.calls["RenewLease"] > 1 and (tmp_path / "waiting").exists())
        double.fault.held = False  # as when the job's time is over
        double.wait_for(lambda: double.calls["LeaseSet"] > 2)
        double.fault.held = True
        double.give(datum(2, "/g"))
        answer = double.done()
    assert [result.datum_id for result in answer.results] == [f"{2:064x}"]
    assert len(double.completed) == 1


def test_a_restarted_datum_fails_its_attempt_and_comes_again(double: Double, start: Start, tmp_path: Path) -> None:
    double.put({"/f": b"1"})
    double.give(datum(1, "/f"))
    code = """
while True:
    next_datum()
    if once("slow"):
        open(HERE + "/running", "x").close()
        time.sleep(600)
    shutil.copy(os.environ["in"], "/pfs/out/")
"""
    with start(python(tmp_path, code, datum_tries=2)):
        double.wait_for(lambda: (tmp_path / "running").exists() or double.calls["RenewLease"] > 100)
        double.fault.cancel = [f"{1:064x}"]
        answer = double.done()
        double.wait_for(lambda: any("the attempt was cancelled" in text for text in double.texts()))
    assert answer.results[0].state == SUCCESS


@pytest.mark.parametrize("callers", ["threads", "shell"])
def test_whoever_asks_gets_the_next_datum(double: Double, start: Start, tmp_path: Path, callers: str) -> None:
    double.put({f"/{number}": b"%d" % number for number in range(8)})
    double.give(*(datum(number, f"/{number}") for number in range(8)))
    if callers == "threads":  # calls at the same time are served one after another
        code = """
def ask():
    while True:
        stub.NextDatum(worker_pb2.NextDatumRequest())
for _ in range(4):
    threading.Thread(target=ask).start()
"""
        info = python(tmp_path, code)
    else:
        python(tmp_path, "next_datum()")
        loop = f'while {sys.executable} {tmp_path}/user.py; do set -a; . /pfs/.env; set +a; cp "$in" /pfs/out/; done'
        info = pipeline("sh", stdin=[loop], datum_batching=True)
    with start(info):
        answer = double.done()
    assert [result.state for result in answer.results] == [SUCCESS] * 8
    wanted = {} if callers == "threads" else {f"/{number}": b"%d" % number for number in range(8)}
    assert double.content_of(answer.output_file_set_id) == wanted
