"""What lies where in a data directory, who may use it, and which release wrote it.

Holds for ever: a directory that a newer release has written is left alone, and one instance at a time uses it.
Elsewhere: what runs (running/parts.py) and who keeps it running (running/supervisor.py).
"""

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

VERSION = version("datamill")
NEEDED_BYTES = 64 << 20
DEFAULT_PORT = 30650


class CannotRun(Exception):
    """Why an instance cannot be started or stopped; the text tells the user what to do."""


@dataclass(frozen=True)
class Layout:
    """The paths of one data directory."""

    data_dir: Path

    @property
    def run(self) -> Path:
        return self.data_dir / "run"

    @property
    def logs(self) -> Path:
        return self.data_dir / "logs"

    @property
    def address_file(self) -> Path:
        """Holds "grpc://localhost:PORT" while the instance is up."""
        return self.data_dir / "address"

    @property
    def port_file(self) -> Path:
        """Holds the port of the address also while the instance is down."""
        return self.data_dir / "port"

    @property
    def restoring_file(self) -> Path:
        """There from the first to the last step of a restore, so that one that was cut off is known for what it is."""
        return self.data_dir / "restoring"

    @property
    def lock_file(self) -> Path:
        """Locked by the supervisor as long as it lives; holds its process id."""
        return self.run / "lock"

    @property
    def state_file(self) -> Path:
        return self.run / "state.json"

    def log_of(self, part: str) -> Path:
        return self.logs / f"{part}.log"


def resolve(data_dir: Path) -> Layout:
    """The layout of a directory that need not exist yet."""
    return Layout(data_dir.expanduser().absolute())


def prepare(layout: Layout) -> str:
    """Make the directories, check release and room, and return the instance's service token.

    Raises CannotRun and then has changed nothing that was there.
    """
    try:
        layout.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        _refuse_newer(layout)
        free = shutil.disk_usage(layout.data_dir).free
        if free < NEEDED_BYTES:
            raise CannotRun(
                f"the disk of {layout.data_dir} is full: {free >> 20} MiB are free and at least "
                f"{NEEDED_BYTES >> 20} MiB are needed; free some, or choose another place with --data-dir"
            )
        for folder in (layout.run, layout.logs):
            folder.mkdir(exist_ok=True)
        write_whole(layout.data_dir / "version", VERSION + "\n")
        return _token(layout.data_dir / "token")
    except OSError as error:
        raise CannotRun(
            f"cannot write to data directory {layout.data_dir}: {error.strerror}; choose another with --data-dir"
        ) from error


def refuse_unfinished(layout: Layout) -> None:
    """Raises CannotRun when a restore into this directory was cut off."""
    if layout.restoring_file.exists():
        raise CannotRun(f"{layout.data_dir} holds a restore that did not end: run `datamill restore` into it again")


def _refuse_newer(layout: Layout) -> None:
    path = layout.data_dir / "version"
    written = path.read_text().strip() if path.exists() else ""
    if written and _numbers(written) > _numbers(VERSION):
        raise CannotRun(
            f"data directory {layout.data_dir} was written by datamill {written}; this is {VERSION}: "
            f"run datamill {written} or later on it, or choose another directory with --data-dir"
        )


def _numbers(release: str) -> tuple[int, ...]:
    """The numeric parts of a release for comparing; what is not a release counts as newer than any."""
    try:
        return tuple(int(part) for part in release.partition("+")[0].split("."))
    except ValueError:
        return (1 << 30,)


def _token(path: Path) -> str:
    if path.exists():
        return path.read_text().strip()
    token = secrets.token_hex(32)
    write_whole(path, token + "\n", mode=0o600)
    return token


def kept_port(layout: Layout) -> int:
    """The port that the instance last had; the usual one before it was ever up."""
    try:
        return int(layout.port_file.read_text())
    except (OSError, ValueError):
        return DEFAULT_PORT


def write_whole(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a file so that a reader sees the old text or the new one, never a part."""
    beside = path.with_name(f".{path.name}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    beside.replace(path)


def lock(layout: Layout) -> int:
    """Take the directory for this process until it ends; returns the descriptor to keep. Raises CannotRun."""
    descriptor = os.open(layout.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        pid = layout.lock_file.read_text().strip()
        raise CannotRun(
            f"an instance is already running on {layout.data_dir} (pid {pid}{_at(layout)}); "
            "see it with `datamill status`, stop it with `datamill down`"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def holder(layout: Layout) -> int | None:
    """The process id of the running supervisor, or None when no instance runs on this directory."""
    try:
        descriptor = os.open(layout.lock_file, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, 32, 0).strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(descriptor)
    return None


def read_state(layout: Layout) -> Mapping[str, Any]:
    """What the supervisor last wrote about its parts; empty when there is nothing."""
    try:
        state: Mapping[str, Any] = json.loads(layout.state_file.read_text())
    except (OSError, ValueError):
        return {}
    return state


def _at(layout: Layout) -> str:
    try:
        return f", {layout.address_file.read_text().strip()}"
    except OSError:
        return ""
