"""Logs of the parts: files that the parts append to by themselves, cut when they grow.

The parts write without the supervisor, so nothing is lost or blocked when it dies. A log is therefore cut by copying
it and emptying the file in place; a line written in between may be lost, never garbled, for all append.
"""

import os
import shutil
from pathlib import Path

KEEP = 3
MAX_BYTES = 16 << 20
TAIL_BYTES = 64 << 10


def open_log(path: Path) -> int:
    """A descriptor for a part's output."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)


def rotate(folder: Path, *, max_bytes: int = MAX_BYTES, keep: int = KEEP) -> None:
    """Cut every log of the folder that is larger than `max_bytes`, keeping `keep` older ones: x.log.1 is the newest."""
    for log in folder.glob("*.log"):
        if log.stat().st_size <= max_bytes:
            continue
        for number in range(keep, 1, -1):
            older = log.with_name(f"{log.name}.{number - 1}")
            if older.exists():
                older.replace(log.with_name(f"{log.name}.{number}"))
        shutil.copyfile(log, log.with_name(f"{log.name}.1"))
        os.truncate(log, 0)


def tail(path: Path, lines: int = 10) -> list[str]:
    """The last lines of a log; none when there is no log."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            return file.read().decode(errors="replace").splitlines()[-lines:]
    except OSError:
        return []
