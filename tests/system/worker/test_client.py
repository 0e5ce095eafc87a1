"""The client's ways to do all datums of a set in one process, beside a real worker."""

import re
import sys
from pathlib import Path

from datamill.wire import pps_v2_pb2 as pps
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
