"""One run of a real command."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.worker.process.interrupt import Interrupt
from services.worker.process.lines import OutputLog
from services.worker.process.running import End, Ended, run
from services.worker.process.starting import Command, ignore_for_oneself


class Room:
    """A log that may be full."""

    def __init__(self) -> None:
        self.open = True

    def has_room(self) -> bool:
        return self.open


class Bench:
    def __init__(self, tmp_path: Path) -> None:
        self.lines: list[tuple[str, str]] = []
        self.room = Room()
        self.interrupt = Interrupt()
        self.tmp_path = tmp_path

    def run(self, *argv: str, stdin: str | None = None, cwd: str | None = None, seconds: float | None = None) -> Ended:
        if stdin is not None:
            (self.tmp_path / "stdin").write_text(stdin)
        command = Command(argv, self.tmp_path / "stdin" if stdin is not None else None, cwd, None)
        output = OutputLog(lambda stream, lines: self.lines.extend((stream, x) for x in lines), limit_bytes=1 << 20)
        deadline = None if seconds is None else time.monotonic() + seconds
        return run(command, dict(os.environ), output, self.room, self.interrupt, deadline)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_exit_output_stdin_and_folder(bench: Bench, tmp_path: Path) -> None:
    ended = bench.run("sh", "-c", "cat; pwd >&2; exit 3", stdin="to be read\n", cwd=str(tmp_path))
    assert (ended.how, ended.code, ended.reason) == (End.EXITED, 3, "exit status 3")
    assert sorted(bench.lines) == [("stderr", str(tmp_path)), ("stdout", "to be read")]


@pytest.fixture
def hung_up() -> Iterator[None]:
    """As under nohup."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGHUP, signal.SIGQUIT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("hung_up")
@pytest.mark.parametrize("elsewhere", [False, True])  # commands start in one of two ways
def test_it_ignores_no_signal_and_leads_its_own_session(bench: Bench, tmp_path: Path, elsewhere: bool) -> None:
    ignore_for_oneself()
    script = "grep SigIgn /proc/self/status; test $(cut -d' ' -f6 /proc/$$/stat) = $$"
    assert bench.run("sh", "-c", script, cwd=str(tmp_path) if elsewhere else None).code == 0
    ignored = int(bench.lines[0][1].split()[1], 16)
    assert ignored & ~(0b11 << 31) == 0  # 32 and 33 are the C library's own, which it ignores in what it spawns


def test_a_program_beside_the_worker_is_not_found_without_its_folder(bench: Bench, tmp_path: Path) -> None:
    before = os.getcwd()
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    (tmp_path / "tool").chmod(0o755)
    os.chdir(tmp_path)
    try:
        assert "not found in PATH" in bench.run("tool").reason
        assert bench.run("./tool").code == 0
    finally:
        os.chdir(before)


def test_a_command_that_reads_nothing_is_fine_with_stdin(bench: Bench) -> None:
    assert bench.run("true", stdin="x" * 1_000_000).code == 0


def test_a_signal_is_named(bench: Bench) -> None:
    ended = bench.run("sh", "-c", "kill -SEGV $$")
    assert ended.reason == "killed by signal 11 (SIGSEGV)"


def test_the_timeout_kills(bench: Bench) -> None:
    began = time.monotonic()
    ended = bench.run("sh", "-c", "trap '' TERM; sleep 60 & sleep 60", seconds=0.2)
    assert ended.how is End.TIMED_OUT
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(("how", "call"), [(End.LOST, "lose"), (End.CANCELLED, "cancel")])
def test_another_thread_stops_it(bench: Bench, how: End, call: str) -> None:
    def stop() -> None:
        if call == "lose":
            bench.interrupt.lose("why")
        else:
            bench.interrupt.cancel()

    threading.Timer(0.2, stop).start()
    began = time.monotonic()
    assert bench.run("sleep", "60").how is how
    assert time.monotonic() - began < 30


def test_a_background_child_does_not_hold_the_run(bench: Bench) -> None:
    began = time.monotonic()
    assert bench.run("sh", "-c", "sleep 60 & echo done").code == 0
    assert time.monotonic() - began < 30
    assert bench.lines == [("stdout", "done")]


def test_children_that_are_no_orphans_of_a_run_are_left_alone(bench: Bench) -> None:
    """The tests' own servers are children of this process, which adopts nobody."""
    with subprocess.Popen(["sleep", "60"]) as other:
        bench.run("true")
        assert other.poll() is None
        other.kill()


def test_a_full_log_holds_the_output_until_there_is_room(bench: Bench) -> None:
    bench.room.open = False
    opener = threading.Timer(0.4, lambda: setattr(bench.room, "open", True))
    opener.start()
    began = time.monotonic()
    assert bench.run("sh", "-c", "seq 1 100000").code == 0
    assert time.monotonic() - began > 0.3
    assert len(bench.lines) > 10_000 / 2


@pytest.mark.parametrize(
    ("argv", "cwd", "reason"),
    [
        (("nothing-like-it",), None, "command 'nothing-like-it' not found in PATH ("),
        (("./nothing",), None, "command './nothing' not found"),
        (("true",), "/no/such", "cannot run in working directory '/no/such': No such file or directory"),
        (("/",), None, "cannot run '/': Permission denied"),
        (("echo", "a\0b"), None, "cannot run "),
    ],
)
def test_why_a_command_did_not_start(bench: Bench, argv: tuple[str, ...], cwd: str | None, reason: str) -> None:
    ended = bench.run(*argv, cwd=cwd)
    assert ended.how is End.NOT_STARTED
    assert ended.reason.startswith(reason)


def test_a_script_without_its_interpreter(bench: Bench, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    assert bench.run(str(script)).reason == f"command '{script}' cannot be run: its interpreter is not there"
