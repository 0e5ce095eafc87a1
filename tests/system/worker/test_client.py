"""The client's ways to do all datums of a set in one process, beside a real worker; and its own call of NextDatum
against the worker's own server: long answers, long errors, refusals, an end."""

import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from datamill.next_datum import CallFailed, NextDatum
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import worker_pb2
from services.worker.serving.http2 import UNKNOWN, Call
from services.worker.serving.server import Server
from tests.support.patience import eventually
from tests.support.servers import ROOT
from tests.system.worker.conftest import Start
from tests.system.worker.doubles import Double, datum, pipeline
from tests.system.worker.test_sets import FAILED, SUCCESS

DECORATED = """
import os, pathlib
from datamill.batching import OUT, each_datum
seen = []
@each_datum
def double(datum):
    assert os.environ["in"] == str(datum.path("in"))
    assert os.environ["PACH_DATUM_ID"] == datum.id and len(datum.id) == 64
    seen.append(datum.id)
    name = datum.path("in").name
    if name == "2":
        raise ValueError("no two")
    (OUT / name).write_text(datum.path("in").read_text() * 2)
    print("done", name, "as number", len(seen))
double()
"""
LOOP = """
import os
from datamill.batching import OUT, datums
os.environ["MINE"] = "stays"
for datum in datums():
    assert os.environ["MINE"] == "stays"
    name = datum.path("in").name
    if name == "1":
        raise SystemExit(3)
    (OUT / name).write_text(str(sorted(set(datum.env) - {"in"}) == sorted(set(datum.env) & set(os.environ) - {"in"})))
"""
SHELL = """
while :; do
  "$python" -m datamill.cli.main next datum || exit 1
  set -a; . /pfs/.env; set +a
  cp "$in" /pfs/out/
done
"""


def python(tmp_path: Path, code: str, **more: object) -> pps.PipelineInfo:
    script = tmp_path / "user.py"
    script.write_text(f"import sys\nsys.path.insert(0, {str(ROOT / 'clients/python')!r})\n{code}")
    return pipeline(sys.executable, "-u", str(script), datum_batching=True, datum_tries=1, **more)


def test_a_function_is_called_for_each_datum(double: Double, start: Start, tmp_path: Path) -> None:
    double.put({f"/{number}": b"%d" % number for number in range(4)})
    double.give(*(datum(number, f"/{number}") for number in range(4)))
    with start(python(tmp_path, DECORATED)):
        answer = double.done()
        double.wait_for(lambda: any(re.search("done 3 as number 1", text) for text in double.texts()))
    assert [result.state for result in answer.results] == [SUCCESS, SUCCESS, FAILED, SUCCESS]
    assert [sorted(result.outputs) for result in answer.results] == [["/0"], ["/1"], [], ["/3"]]
    texts = double.texts()
    assert any("ValueError: no two" in text for text in texts)
    assert [text for text in texts if text.startswith("done ")][:2] == ["done 0 as number 1", "done 1 as number 2"]


def test_a_loop_goes_over_the_datums(double: Double, start: Start, tmp_path: Path) -> None:
    double.put({f"/{number}": b"%d" % number for number in range(3)})
    double.give(*(datum(number, f"/{number}") for number in range(3)))
    with start(python(tmp_path, LOOP)):
        answer = double.done()
    assert [result.state for result in answer.results] == [SUCCESS, FAILED, SUCCESS]


def test_a_shell_asks_at_the_command_line(double: Double, start: Start) -> None:
    double.put({f"/{number}": b"%d" % number for number in range(3)})
    double.give(*(datum(number, f"/{number}") for number in range(3)))
    code = f"export PYTHONPATH={ROOT / 'clients/python'} python={sys.executable}\n{SHELL}"
    with start(pipeline("sh", "-c", code, datum_batching=True)):
        answer = double.done()
    assert [sorted(result.outputs) for result in answer.results] == [["/0"], ["/1"], ["/2"]]


PATH = "/pachyderm.worker.Worker/NextDatum"


def answer(call: Call, message: bytes) -> None:
    error = worker_pb2.NextDatumRequest.FromString(message).error
    if error == "refuse":
        call.fail(UNKNOWN, "no: 100 % ü")
    else:
        size = int(error) if error.isdigit() else 1
        call.reply(worker_pb2.NextDatumResponse(env=[f"error={error[:50]}", "long=" + "x" * size]).SerializeToString())


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server("127.0.0.1:0", {PATH: answer})
    made.start()
    yield made
    made.stop()


def asked(link: NextDatum, error: str) -> list[str]:
    return list(worker_pb2.NextDatumResponse.FromString(link.ask(error)).env)


def test_answers_of_every_size_one_after_another(server: Server) -> None:
    link = NextDatum(server.port)
    for size in (0, 1, 100, 200, 16_370, 16_384, 70_000, 3_000_000, 7):
        assert asked(link, str(size)) == [f"error={size}", "long=" + "x" * size]
    assert asked(link, "") == ["error=", "long=x"]
    link.close()


def test_many_callers_and_errors_longer_than_a_frame(server: Server) -> None:
    def caller(number: int) -> None:
        link = NextDatum(server.port)
        for turn in range(300):
            error = f"{number}-{turn}-" + "ü" * 40_000 * (turn % 10 == 0)
            assert asked(link, error)[0] == f"error={error[:50]}"
        link.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(caller, range(4)))


def test_a_refusal_in_its_words(server: Server) -> None:
    link = NextDatum(server.port)
    with pytest.raises(CallFailed, match="no: 100 % ü") as refused:
        link.ask("refuse")
    assert refused.value.code == UNKNOWN
    assert asked(link, "and again")[0] == "error=and again"
    link.close()


def test_a_worker_that_is_gone() -> None:
    hanging: list[Call] = []
    server = Server("127.0.0.1:0", {PATH: lambda call, _: hanging.append(call)})
    server.start()
    link = NextDatum(server.port)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(link.ask, "")
        eventually(lambda: bool(hanging))
        server.stop()
        with pytest.raises(CallFailed, match="the worker"):
            waiting.result(120)
    with pytest.raises(CallFailed, match="no worker answers"):
        NextDatum(server.port)
