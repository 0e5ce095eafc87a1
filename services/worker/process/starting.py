"""Starting a command: its own session, its user, and why it did not start.

Most commands run as the worker does and where it is: these are started by posix_spawn, which takes this
process 0.10 ms, and Popen 0.19. What it cannot start goes the general way, which also knows why not.
Elsewhere: watching it until it ends (running.py).
"""

import contextlib
import errno
import functools
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.worker.spec import RunAs


@dataclass(frozen=True, slots=True)
class Command:
    """What to run. stdin: a file whose bytes it reads, or None for nothing."""

    argv: tuple[str, ...]
    stdin: Path | None
    cwd: str | None
    run_as: RunAs | None


_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)  # user code is to meet them as they are by default


class OutOfProcesses(OSError):
    """The machine could not make a process just now; not the command's fault."""


class NotStarted(Exception):
    """The command cannot be run; the text says why."""


def ignore_for_oneself() -> None:
    """Go on ignoring signals as whoever started the instance has it (nohup does), but not for the commands, too.

    What is ignored is inherited, a handler is not.
    """
    for number in signal.valid_signals():
        if signal.getsignal(number) is signal.SIG_IGN and number not in _IGNORED_BY_PYTHON:
            signal.signal(number, lambda *_: None)


def start(command: Command, env: Mapping[str, str], out: int, err: int) -> int:
    """Start it, writing to these two. Returns its pid, to be waited for. Raises NotStarted, OutOfProcesses."""
    stdin = os.open(command.stdin or os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if command.run_as is None and command.cwd in (None, os.getcwd()):
            program = _program(command.argv[0], env.get("PATH", os.defpath))
            if program:
                with contextlib.suppress(OSError):
                    return _spawn(program, command, env, (stdin, out, err))
        return _popen(command, env, (stdin, out, err))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE):
            raise OutOfProcesses(error.errno, error.strerror) from error
        raise NotStarted(_why_not_started(command, env, error)) from error
    except ValueError as error:  # a NUL byte in an argument
        raise NotStarted(f"cannot run {shlex.join(command.argv)}: {error}") from error
    finally:
        os.close(stdin)


def _spawn(program: str, command: Command, env: Mapping[str, str], streams: tuple[int, int, int]) -> int:
    places = [(os.POSIX_SPAWN_DUP2, fd, to) for to, fd in enumerate(streams)]
    return os.posix_spawn(program, command.argv, env, file_actions=places, setsid=True, setsigdef=_IGNORED_BY_PYTHON)


def _popen(command: Command, env: Mapping[str, str], streams: tuple[int, int, int]) -> int:
    stdin, out, err = streams
    who = command.run_as
    process = subprocess.Popen(
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
    process.returncode = 0  # it is not Popen that waits for it
    return process.pid


@functools.lru_cache(maxsize=16)
def _program(name: str, path: str) -> str:
    """Where a command is; nothing when it is nowhere."""
    return name if "/" in name else shutil.which(name, path=path) or ""


def _why_not_started(command: Command, env: Mapping[str, str], error: OSError) -> str:
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
