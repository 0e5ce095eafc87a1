"""A part that lives but does not answer is killed and started again; one that keeps dying is said to."""

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.support.servers import ROOT

# In a process of its own: the supervisor reaps every child there is, and the tests have children too.
SCRIPT = """
import asyncio, json, os, sys
from pathlib import Path
from deploy.local.running import child, supervisor
from deploy.local import layout
from deploy.local.running.parts import Part
from deploy.local.running.ports import free_ports
from deploy.local.running.probe import ask_grpc

child.SILENCE_SECONDS, child.PAUSES = 0.3, (0.0, 0.01)
where = layout.resolve(Path(sys.argv[1]))
layout.prepare(where)
part = Part(name="part", title="Part", command=tuple(sys.argv[2:]), env={}, port=free_ports(1)[0], ask=ask_grpc)
made = []

def children(changed):
    made.append(child.Child(part, where, changed))
    return made

async def main():
    try:
        await supervisor.Supervisor(where, children, "grpc://nowhere", {}).run(lambda: None)
    except layout.CannotRun as problem:
        print(json.dumps({"problem": str(problem), "restarts": made[0].report.restarts}))

asyncio.run(main())
"""


def _run(data_dir: Path, *command: str) -> dict[str, str]:
    line = [sys.executable, "-c", SCRIPT, str(data_dir), *command]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_a_silent_part_is_killed(tmp_path: Path) -> None:
    found = _run(tmp_path, "sh", "-c", "echo here I am; exec sleep 600")
    assert re.search(r"Part does not start \(killed by SIGKILL after \d+\.\d s\)", found["problem"])
    assert "  here I am" in found["problem"]


def test_a_part_that_keeps_dying_is_given_up_at_the_start(tmp_path: Path) -> None:
    found = _run(tmp_path, "sh", "-c", "echo no good; exit 3")
    assert re.search(r"Part does not start \(exit code 3 after \d+\.\d s\)", found["problem"])
    assert int(found["restarts"]) in (5, 6)  # the last one may be under way when it is given up


def test_a_part_that_cannot_be_started_is_named(tmp_path: Path) -> None:
    found = _run(tmp_path, "/nowhere/at-all")
    assert "cannot be started: [Errno 2] No such file or directory: '/nowhere/at-all'" in found["problem"]
