"""`datamill up`, `down`, `status` and `doctor` as functions that print and return an exit code.

The command line calls them; `python -m deploy.local` does too. Elsewhere: the supervisor that they start and stop
(running/supervisor.py), and what doctor looks at (doctor.py).
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deploy.local import database
from deploy.local import doctor as checks
from deploy.local import layout as layouts
from deploy.local import store as stores
from deploy.local.choices import LOOPBACK
from deploy.local.layout import CannotRun, Layout
from deploy.local.logs import open_log, tail
from deploy.local.running.orphans import kill_orphans
from deploy.local.running.parts import ROOT

OK, FAILED, DEGRADED = 0, 1, 2
STOP_SECONDS = 60.0


def up(
    data_dir: Path,
    port: int | None,
    detach: bool,
    *,
    listen: str = LOOPBACK,
    database_url: str = "",
    store: str = "",
    origins: Sequence[str] = (),
) -> int:
    """Start an instance. In the foreground this process becomes the supervisor and does not return.

    port: None for the one it had before, so that its clients find it again. the rest: see Choices.
    """
    if port is None:
        port = layouts.kept_port(layouts.resolve(data_dir))
    os.environ["PYTHONPATH"] = str(ROOT)  # and -P: wherever the user is, the supervisor is this one
    command = [sys.executable, "-P", "-m", "deploy.local.running.supervisor", "--data-dir", str(data_dir.absolute())]
    command += ["--port", str(port), f"--listen={listen}", *(f"--allow-origin={origin}" for origin in origins)]
    if database_url:
        os.environ[database.VARIABLE] = database_url  # others may see a command, and it may hold a password
    if store:
        os.environ[stores.VARIABLE] = store
    if not detach:
        sys.stdout.flush()
        os.execv(command[0], command)
    try:
        address, warning = _start_detached(layouts.resolve(data_dir), command)
    except CannotRun as problem:
        print(f"error: {problem}", file=sys.stderr)
        return FAILED
    print(f"datamill {layouts.VERSION} is up at {address}")
    print(warning, end="\n" if warning else "", file=sys.stderr)
    return OK


def down(data_dir: Path) -> int:
    """Stop the instance on this directory and wait until it is gone. Nothing running is no error."""
    layout = layouts.resolve(data_dir)
    pid = layouts.holder(layout)
    if pid is None:
        print(f"no instance is running on {layout.data_dir}")
        return OK
    _signal(pid, signal.SIGTERM)
    if not _gone(layout, STOP_SECONDS):
        _signal(pid, signal.SIGKILL)
        if not _gone(layout, STOP_SECONDS):
            print(f"error: process {pid} does not end; see {layout.log_of('supervisor')}", file=sys.stderr)
            return FAILED
        kill_orphans(layout)
    print("stopped")
    return OK


def status(data_dir: Path) -> int:
    """Print how the instance and its parts are. 0: all up; 1: not running; 2: something is not up."""
    layout = layouts.resolve(data_dir)
    pid = layouts.holder(layout)
    if pid is None:
        print(f"no instance is running on {layout.data_dir}; start one with `datamill up`")
        return FAILED
    state = layouts.read_state(layout)
    parts = state.get("parts", [])
    where = " and ".join(filter(None, (state.get("address", ""), state.get("listen", ""))))
    print(f"datamill {state.get('version', '')} at {where}, supervisor pid {pid}, {layout.data_dir}")
    print(f"{'PART':<9}{'STATE':<12}{'PID':>8}{'PORT':>7}{'MEMORY':>9}{'RESTARTS':>10}  SINCE")
    for part in parts:
        print(_row(part))
    bad = [part for part in parts if part["state"] != "up"]
    for part in bad:
        _explain(layout, part)
    problems = [_database(layout, state), _store(state)]
    return DEGRADED if bad or any(problems) or not parts else OK


def _database(layout: Layout, state: Mapping[str, Any]) -> bool:
    """Print where the databases are, unless they are files here; whether they cannot be reached."""
    if not state.get("database"):
        return False
    problem = database.check(database.kept(layout), ROOT)
    print(f"\ndatabase {state['database']}" + (f": {problem}" if problem else " answers"))
    return problem is not None


def _store(state: Mapping[str, Any]) -> bool:
    """Print where the contents are, unless they are in a folder here; whether nobody answers there."""
    address = state.get("store")
    if not address:
        return False
    silent = not stores.answers(str(address))
    print(f"\nstore {address}" + (" does not answer" if silent else " answers"))
    return silent


def doctor(data_dir: Path) -> int:
    """Check what an instance needs on this machine, and the instance if there is one. 1 when something is missing."""
    results = checks.examine(layouts.resolve(data_dir))
    for result in results:
        print(f"{'ok' if result.ok else 'BAD':<4}{result.name:<18}{result.text}")
    return OK if all(result.ok for result in results) else FAILED


def _start_detached(layout: Layout, command: list[str]) -> tuple[str, str]:
    """Start the supervisor in a session of its own; the address, and a warning, once all is up. Raises CannotRun."""
    layouts.prepare(layout)  # here too, so that a supervisor.log can be opened or the reason told
    reading, writing = os.pipe()
    output = open_log(layout.log_of("supervisor"))
    try:
        process = subprocess.Popen(
            [*command, "--tell", str(writing)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=(writing,),
        )
    finally:
        os.close(writing)
        os.close(output)
    with os.fdopen(reading) as pipe:  # the supervisor has a deadline of its own, and dying closes the pipe
        text = pipe.read()
    outcome: dict[str, str] = json.loads(text) if text else {}
    if "address" in outcome:
        process.returncode = 0  # it goes on; nobody here waits for it
        return outcome["address"], outcome["warning"]
    process.wait()
    log = layout.log_of("supervisor")
    raise CannotRun(outcome.get("error") or "\n  ".join([f"the supervisor ended; the end of {log}:", *tail(log)]))


def _gone(layout: Layout, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while layouts.holder(layout) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _row(part: Mapping[str, Any]) -> str:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(part["since"])) if part["since"] else ""
    memory = f"{checks.resident_bytes(part['pid']) >> 20} MiB" if part["pid"] else ""
    columns = f"{part['title']:<9}{part['state']:<12}{part['pid'] or '':>8}{part['port']:>7}{memory:>9}"
    return f"{columns}{part['restarts']:>10}  {since}"


def _explain(layout: Layout, part: Mapping[str, Any]) -> None:
    path = layout.log_of(part["name"])
    ended = f" (last end: {part['last_end']})" if part["last_end"] else ""
    print(f"\n{part['title']} is {part['state']}{ended}. The end of {path}:")
    for line in tail(path):
        print(f"  {_plain(line)}")


def _plain(line: str) -> str:
    """A line of a service's log for people: when, how severe, what."""
    try:
        said = json.loads(line)
        return f"{said['at'][:19]} {said['level']:<8}{said['message']}"
    except (ValueError, KeyError, TypeError):
        return line
