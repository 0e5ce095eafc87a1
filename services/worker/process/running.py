"""One run of a command: its own session, its output read as it comes, an end that leaves nothing behind.

Whatever ends it (its own exit, the timeout, a cancellation, a lost lease), the whole process group is killed, and so
are processes that left the group.
Elsewhere: how it starts (starting.py) and is swept away (ending.py); what an end means for the datum (datums/).
"""

import contextlib
import os
import select
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from services.worker.process.ending import kill_group, sweep
from services.worker.process.interrupt import Interrupt
from services.worker.process.lines import OutputLog
from services.worker.process.starting import Command, NotStarted, start

READ_BYTES = 64 << 10
PAUSE_SECONDS = 0.02
PATIENCE_SECONDS = 30.0  # how long output waits for room in the log before it is dropped instead


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


class LogRoom(Protocol):
    """Whether the log takes more lines now."""

    def has_room(self) -> bool: ...


def run(
    command: Command,
    env: Mapping[str, str],
    output: OutputLog,
    room: LogRoom,
    interrupt: Interrupt,
    deadline: float | None,
) -> Ended:
    """Run to the end. deadline: time.monotonic() at which it is killed. Raises OutOfProcesses."""
    try:
        process = UserProcess(command, env, output, room, interrupt)
    except NotStarted as why:
        return Ended(End.NOT_STARTED, str(why))
    try:
        ended = process.wait(deadline)
    finally:
        exited = process.end()
    return ended or exited


class UserProcess:
    """A running command. What it prints goes to one log at a time; `hear` changes which."""

    def __init__(
        self, command: Command, env: Mapping[str, str], output: OutputLog, room: LogRoom, interrupt: Interrupt
    ) -> None:
        """Start it. Raises NotStarted, OutOfProcesses."""
        self._output = output
        self._room = room
        self._interrupt = interrupt
        self._full_since: float | None = None
        self.exited = False
        out, err = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
        self._streams = {out[0]: "stdout", err[0]: "stderr"}
        try:
            self._pid = start(command, env, out[1], err[1])
        except BaseException:
            self._close_streams()
            raise
        finally:
            os.close(out[1])
            os.close(err[1])
        for fd in self._streams:
            os.set_blocking(fd, False)
        self._open = set(self._streams)
        self._pid_fd = os.pidfd_open(self._pid)
        self._poll = select.poll()
        for fd in (self._pid_fd, interrupt.fd, *self._streams):
            self._poll.register(fd, select.POLLIN)

    def wait(self, deadline: float | None, *, or_for: int | None = None) -> Ended | None:
        """Wait until it must be stopped (the answer says why), or until it exited or `or_for` is readable (None)."""
        if or_for is not None:
            self._poll.register(or_for, select.POLLIN)
        try:
            while True:
                ready = [fd for fd, _ in self._poll.poll(self._timeout(deadline))]
                for fd in ready:
                    if fd in self._open:
                        self._read(fd)
                if self._pid_fd in ready:
                    self.exited = True
                    return None
                if stopped := self._stopped(deadline):
                    return stopped
                if or_for in ready:
                    return None
                self._mind_room()
        finally:
            if or_for is not None:
                self._poll.unregister(or_for)

    def hear(self, output: OutputLog) -> None:
        """Send what it prints from now on to `output`; what it has printed so far belongs to the log before."""
        for fd, _ in self._poll.poll(0):
            if fd in self._open:
                self._drain()
                break
        self._output.end_attempt()
        self._output = output

    def end(self) -> Ended:
        """Kill what is left of it. Returns how it would have ended by itself, if it did."""
        kill_group(self._pid)
        code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        sweep()
        self._drain()
        self._close_streams()
        os.close(self._pid_fd)
        return _exit(code)

    def _timeout(self, deadline: float | None) -> float | None:
        left = None if deadline is None else max(deadline - time.monotonic(), 0.0) * 1000 + 1
        if self._full_since is not None:
            return min(PAUSE_SECONDS * 1000, left) if left is not None else PAUSE_SECONDS * 1000
        return left

    def _stopped(self, deadline: float | None) -> Ended | None:
        if self._interrupt.lost.is_set():
            return Ended(End.LOST, self._interrupt.reason)
        if self._interrupt.cancelled:
            return Ended(End.CANCELLED, "the attempt was cancelled")
        if deadline is not None and time.monotonic() >= deadline:
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

    def _drain(self) -> None:
        """Read what the pipes hold now; an unfinished line counts as one."""
        for fd, stream in self._streams.items():
            for _ in range(32):  # a pipe holds a MiB at most
                try:
                    data = os.read(fd, READ_BYTES)
                except BlockingIOError:
                    break
                if not data:
                    break
                self._output.feed(stream, data)
        self._output.end_attempt()

    def _close_streams(self) -> None:
        for fd in self._streams:
            with contextlib.suppress(OSError):
                os.close(fd)

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
