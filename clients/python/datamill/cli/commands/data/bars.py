"""A bar on standard error while files are on their way, when somebody watches.

Elsewhere: how it looks (cli/drawing.py).
"""

import importlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import Any

from datamill.bulk.local import LocalFile
from datamill.errors import DatamillError


@contextmanager
def transfer(
    what: str, total_bytes: int | None = None, files: Iterable[LocalFile] = ()
) -> Iterator[Callable[[int, int], None]]:
    """A bar for files and bytes with rate and time left, on standard error, when that is a terminal.

    files: what is going to be sent, when the total is to be found by looking at it meanwhile. Yields
    progress(files, bytes).
    """
    if not sys.stderr.isatty():
        yield lambda _files, _bytes: None
        return
    drawing: Any = importlib.import_module("datamill.cli.drawing")
    over = Event()
    with drawing.bars() as bars:
        task = bars.add_task(what, total=total_bytes)
        done = 0

        def look() -> None:
            total = 0
            with suppress(OSError, DatamillError):  # the upload itself says what is wrong
                for file in files:
                    if over.is_set():
                        return
                    total += os.stat(file.source).st_size
                bars.update(task, total=total)

        def progress(more: int, count: int) -> None:
            nonlocal done
            done += more
            bars.update(task, advance=count, description=f"{what}, {done} files" if done else what)

        if total_bytes is None:
            Thread(target=look, daemon=True).start()
        try:
            yield progress
        finally:
            over.set()
