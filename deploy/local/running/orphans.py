"""Finds what an instance has left behind: processes that carry its mark though its supervisor is gone."""

import contextlib
import os
import signal
import time
from pathlib import Path

from deploy.local.layout import Layout
from deploy.local.running.parts import MARK

SECONDS = 5.0


def kill_orphans(layout: Layout) -> int:
    """Kill every process marked as this instance's, and wait until all are gone; says how many there were.

    To be called by the one process that holds the directory's lock, before it starts a part or after it stopped all.
    """
    killed: set[int] = set()
    deadline = time.monotonic() + SECONDS
    while (left := _marked(layout)) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed |= left
        time.sleep(0.02)  # a killed process leaves its last traces to the kernel
    return len(killed)


def _marked(layout: Layout) -> set[int]:
    mark = f"\0{MARK}={layout.data_dir}\0".encode()
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # another user's, or gone meanwhile
            if mark in b"\0" + (process / "environ").read_bytes() and int(process.name) != os.getpid():
                found.add(int(process.name))
    return found
