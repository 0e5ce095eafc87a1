"""Where plans are written before they are objects: a folder for each process, gone with it.

What a crash left is removed by the next process to start; a lock on each folder says whether somebody uses it.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from services.kit.objects.port import Objects


@contextmanager
def plans_folder(objects: Objects) -> Iterator[Path]:
    """On the disk of the store, if it is one, so that a plan becomes an object by renaming."""
    if objects.root is None:
        with TemporaryDirectory(prefix="datamill-plans-") as somewhere:
            yield Path(somewhere)
        return
    every = objects.root / ".plans"
    every.mkdir(parents=True, exist_ok=True)
    turn = _opened(every)
    fcntl.flock(turn, fcntl.LOCK_EX)
    for left in every.iterdir():
        _remove_unless_used(left)
    with TemporaryDirectory(dir=every, ignore_cleanup_errors=True) as mine:
        held = _opened(Path(mine))
        fcntl.flock(held, fcntl.LOCK_EX)
        os.close(turn)
        try:
            yield Path(mine)
        finally:
            os.close(held)


def make_again(folder: Path, objects: Objects) -> None:
    """Make a process's folder once more that somebody has removed; not where all of the store is away."""
    if objects.root is None or (objects.root / ".incoming").is_dir():
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)


def _remove_unless_used(left: Path) -> None:
    if not left.is_dir():
        left.unlink(missing_ok=True)
        return
    try:
        held = _opened(left)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(left, ignore_errors=True)
    except BlockingIOError:
        return
    finally:
        os.close(held)


def _opened(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
