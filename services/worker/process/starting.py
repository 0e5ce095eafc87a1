"""Starting a command: its own session, its user, and why it did not start.

Elsewhere: watching it until it ends (running.py).
"""

import errno
import os
import shlex
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


class OutOfProcesses(OSError):
    """The machine could not make a process just now; not the command's fault."""


class NotStarted(Exception):
    """The command cannot be run; the text says why."""


def start(command: Command, env: Mapping[str, str], out: int, err: int) -> "subprocess.Popen[bytes]":
    """Start it, writing to these two. Raises NotStarted, OutOfProcesses."""
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
        raise NotStarted(_why_not_started(command, env, error)) from error
    except ValueError as error:  # a NUL byte in an argument
        raise NotStarted(f"cannot run {shlex.join(command.argv)}: {error}") from error
    finally:
        os.close(stdin)


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
