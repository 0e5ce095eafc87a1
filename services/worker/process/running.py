"""One run of a command: its own session, its output read as it comes, an end that leaves nothing behind.

Whatever ends it (its own exit, the timeout, a cancellation, a lost lease), the whole process group is killed, and so
are processes that left the group: the shim is their "child subreaper", so orphans become its children and are found.
Elsewhere: what an end means for the datum (attempts.py).
"""

import contextlib
import ctypes
import errno
import logging
import os
import select
import shlex
import signal
import subprocess
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from services.worker.process.interrupt import Interrupt
from services.worker.process.lines import OutputLog
from services.worker.spec import RunAs

log = logging.getLogger(__name__)
READ_BYTES = 64 << 10
PAUSE_SECONDS = 0.02
PATIENCE_SECONDS = 30.0  # how long output waits for room in the log before it is dropped instead
SWEEP_SECONDS = 5.0
_PR_SET_CHILD_SUBREAPER = 36


class End(Enum):
    """How a run ended."""

    EXITED = "exited"
    TIMED_OUT = "timed out"
    CANCELLED = "cancelled"
    LOST = "lost"
    NOT_STARTED = "not started"


@dataclass(frozen=True, slots=True)
class Ended:
    """code: exit status, negative for a signal; None when the command never started or was stopped."""

    how: End
    reason: str
    code: int | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """What to run. stdin: a file whose bytes it reads, or None for nothing."""

    argv: tuple[str, ...]
    stdin: Path | None
    cwd: str | None
    run_as: RunAs | None


class OutOfProcesses(OSError):
    """The machine could not make a process just now; not the command's fault."""


class LogRoom(Protocol):
    """Whether the log takes more lines now."""

    def has_room(self) -> bool: ...


def adopt_orphans() -> None:
    """Make processes that user code leaves behind children of this one. Does nothing where the kernel cannot."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        log.warning("orphans of user code cannot be adopted: %s", os.strerror(ctypes.get_errno()))


def run(
    command: Command,
    env: dict[str, str],
    output: OutputLog,
    room: LogRoom,
    interrupt: Interrupt,
    deadline: float | None,
) -> Ended:
    """Run to the end. deadline: time.monotonic() at which it is killed. Raises OutOfProcesses."""
    pipes = (os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC))
    try:
        try:
            process = _start(command, env, pipes[0][1], pipes[1][1])
        finally:
            os.close(pipes[0][1])
            os.close(pipes[1][1])
        if isinstance(process, Ended):
            return process
        streams = {pipes[0][0]: "stdout", pipes[1][0]: "stderr"}
        try:
            ended = _Watch(process, streams, output, room, interrupt, deadline).wait()
        finally:
            _kill_group(process.pid)
            code = process.wait()
            _sweep()
        _drain(streams, output)
        return ended or _exit(code)
    finally:
        os.close(pipes[0][0])
        os.close(pipes[1][0])


def _start(command: Command, env: dict[str, str], out: int, err: int) -> "subprocess.Popen[bytes] | Ended":
    stdin = os.open(command.stdin or os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    who = command.run_as
    try:
        return subprocess.Popen(
            command.argv,
            stdin=stdin,
            stdout=out,
            stderr=err,
            env=env,
            cwd=command.cwd,
            start_new_session=True,
            user=who.uid if who else None,
            group=who.gid if who else None,
            extra_groups=[] if who else None,
        )
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE):
            raise OutOfProcesses(error.errno, error.strerror) from error
        return Ended(End.NOT_STARTED, _why_not_started(command, env, error))
    except ValueError as error:  # a NUL byte in an argument
        return Ended(End.NOT_STARTED, f"cannot run {shlex.join(command.argv)}: {error}")
    finally:
        os.close(stdin)


def _why_not_started(command: Command, env: dict[str, str], error: OSError) -> str:
    name = command.argv[0]
    if command.cwd and error.filename == command.cwd:
        return f"cannot run in working directory {command.cwd!r}: {error.strerror}"
    path = env.get("PATH", os.defpath)
    if "/" not in name and not any(os.path.exists(f"{folder}/{name}") for folder in path.split(":")):
        return f"command {name!r} not found in PATH ({path})"
    if isinstance(error, FileNotFoundError):
        if "/" not in name or os.path.exists(name):
            return f"command {name!r} cannot be run: its interpreter is not there"
        return f"command {name!r} not found"
    return f"cannot run {name!r}: {error.strerror}"


class _Watch:
    """Waits for a process while passing on what it prints."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        streams: dict[int, str],
        output: OutputLog,
        room: LogRoom,
        interrupt: Interrupt,
        deadline: float | None,
    ) -> None:
        self._output = output
        self._room = room
        self._interrupt = interrupt
        self._deadline = deadline
        self._streams = streams
        self._open = set(streams)
        self._full_since: float | None = None
        self._pid_fd = os.pidfd_open(process.pid)
        self._poll = select.poll()
        for fd in (self._pid_fd, interrupt.fd, *streams):
            self._poll.register(fd, select.POLLIN)

    def wait(self) -> Ended | None:
        """None when it exited by itself."""
        try:
            while True:
                ready = [fd for fd, _ in self._poll.poll(self._timeout())]
                for fd in ready:
                    if fd in self._open:
                        self._read(fd)
                if self._pid_fd in ready:
                    return None
                stopped = self._stopped()
                if stopped:
                    return stopped
                self._mind_room()
        finally:
            os.close(self._pid_fd)

    def _timeout(self) -> float | None:
        left = None if self._deadline is None else max(self._deadline - time.monotonic(), 0.0) * 1000 + 1
        if self._full_since is not None:
            return min(PAUSE_SECONDS * 1000, left) if left is not None else PAUSE_SECONDS * 1000
        return left

    def _stopped(self) -> Ended | None:
        if self._interrupt.lost.is_set():
            return Ended(End.LOST, self._interrupt.reason)
        if self._interrupt.cancelled:
            return Ended(End.CANCELLED, "the attempt was cancelled")
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return Ended(End.TIMED_OUT, "the datum timeout was exceeded")
        return None

    def _read(self, fd: int) -> None:
        data = os.read(fd, READ_BYTES)
        if not data:
            self._poll.unregister(fd)
            self._open.discard(fd)
        elif self._waited_enough():
            self._output.drop(data)
        else:
            self._output.feed(self._streams[fd], data)

    def _mind_room(self) -> None:
        """Stop reading while the log is full; after PATIENCE_SECONDS read on and drop: no run waits for ever."""
        if self._room.has_room():
            if self._full_since is not None:
                self._full_since = None
                self._listen(select.POLLIN)
        elif self._full_since is None:
            self._full_since = time.monotonic()
            self._listen(0)
        elif self._waited_enough():
            self._listen(select.POLLIN)

    def _waited_enough(self) -> bool:
        return self._full_since is not None and time.monotonic() - self._full_since > PATIENCE_SECONDS

    def _listen(self, events: int) -> None:
        for fd in self._open:
            self._poll.modify(fd, events)


def _exit(code: int) -> Ended:
    if code >= 0:
        return Ended(End.EXITED, f"exit status {code}", code)
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    return Ended(End.EXITED, f"killed by signal {-code} ({name})", code)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # gone, or only processes not ours to kill
        os.killpg(pid, signal.SIGKILL)


def _drain(streams: dict[int, str], output: OutputLog) -> None:
    """Read what the pipes still hold; nobody writes any more, or is to be heard."""
    for fd, stream in streams.items():
        os.set_blocking(fd, False)
        for _ in range(32):  # a pipe holds a MiB at most
            try:
                data = os.read(fd, READ_BYTES)
            except BlockingIOError:
                break
            if not data:
                break
            output.feed(stream, data)
    output.end_attempt()


def _sweep() -> None:
    """Reap every child that is left, killing those that live."""
    until = time.monotonic() + SWEEP_SECONDS
    while time.monotonic() < until:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            for child in _children():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(child, signal.SIGKILL)
            time.sleep(0.001)  # the kernel needs a moment to make them zombies
    log.warning("processes of user code outlive a kill; leaving them")


def _children() -> list[int]:
    """Pids of the children. /proc may be that of an outer namespace, where this process has another number."""
    mine = os.readlink("/proc/self")
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                status = Path(f"/proc/{name}/status").read_text(errors="replace")
            except OSError:
                continue
            fields = dict(line.partition(":")[::2] for line in status.splitlines())
            if fields.get("PPid", "").strip() == mine:
                found.append(int(fields.get("NSpid", name).split()[-1]))
    return found
