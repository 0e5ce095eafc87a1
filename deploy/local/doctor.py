"""What `datamill doctor` looks at: the machine's side of an instance, and the instance when one is running."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.local import binaries
from deploy.local import layout as layouts
from deploy.local.layout import CannotRun, Layout
from deploy.local.running.parts import ROOT
from deploy.local.running.ports import claim
from deploy.local.running.probe import Answer, ask_grpc

COMFORTABLE_BYTES = 1 << 30
SECONDS = 30


@dataclass(frozen=True)
class Result:
    """One check: `text` says what was found and, when it is bad, what to do."""

    name: str
    ok: bool
    text: str


def examine(layout: Layout) -> list[Result]:
    """Every check, in the order in which a user would mend them."""
    return [
        _python(),
        _room(layout),
        _program("NATS", binaries.nats_server),
        _program("Envoy", binaries.envoy),
        _program("bubblewrap", binaries.bwrap),
        _sandbox(),
        *_instance(layout),
    ]


def resident_bytes(pid: int) -> int:
    """Memory that a process has in RAM; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _python() -> Result:
    found = ".".join(map(str, sys.version_info[:3]))
    return Result("Python", sys.version_info >= (3, 11), f"{found} ({sys.executable}); 3.11 or later is needed")


def _room(layout: Layout) -> Result:
    folder = next(path for path in (layout.data_dir, *layout.data_dir.parents) if path.exists())
    if not os.access(folder, os.W_OK | os.X_OK):
        return Result("data directory", False, f"{folder} cannot be written; choose another with --data-dir")
    free = shutil.disk_usage(folder).free
    return Result("data directory", free > COMFORTABLE_BYTES, f"{layout.data_dir}: {free / (1 << 30):.1f} GiB free")


def _program(name: str, find: Callable[[], Path]) -> Result:
    """Whether a program is there and runs on this machine."""
    try:
        done = _run([str(find()), "--version"])
    except CannotRun as problem:
        return Result(name, False, str(problem))
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return Result(name, done.returncode == 0, lines[0].strip() if lines else f"exit code {done.returncode}")


def _sandbox() -> Result:
    """Asks the runtime itself whether it could start a worker here."""
    try:
        done = _run([sys.executable, "-m", "services.pps.runtimes.process", "--check"])
    except CannotRun as problem:
        return Result("worker sandbox", False, str(problem))
    lines = (done.stdout + done.stderr).strip().splitlines()
    return Result("worker sandbox", done.returncode == 0, lines[-1] if lines else f"exit code {done.returncode}")


def _instance(layout: Layout) -> list[Result]:
    if layouts.holder(layout) is None:
        port = layouts.kept_port(layout)
        try:
            claim(port)
        except CannotRun as problem:
            return [Result("port", False, str(problem))]
        return [Result("port", True, f"{port} is free"), Result("instance", True, "none is running here")]
    results = []
    for part in layouts.read_state(layout).get("parts", []):
        if part["name"] == "nats":
            answer = Answer.SERVING if part["state"] == "up" else Answer.SILENT
        else:
            answer = asyncio.run(ask_grpc(part["port"]))
        text = f"{answer.value} on port {part['port']}, started again {part['restarts']} times"
        results.append(Result(part["title"], answer is Answer.SERVING, text))
    return results


def _run(command: list[str]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False, cwd=ROOT)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotRun(f"{command[0]} does not run: {error}") from error
