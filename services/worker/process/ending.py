"""The end of user code: nothing of it is left, not even processes that left its group.

The shim is the "child subreaper" of what it starts, so orphans become its children and are found.
"""

import contextlib
import ctypes
import logging
import os
import signal
import threading
import time
from pathlib import Path

log = logging.getLogger(__name__)
SWEEP_SECONDS = 5.0
_PR_SET_CHILD_SUBREAPER, _PR_SET_DUMPABLE = 36, 4
_adopting = threading.Event()  # set once this process adopts orphans, so that all its children are user code


def adopt_orphans() -> None:
    """Make processes that user code leaves behind children of this one. Does nothing where the kernel cannot."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        log.warning("orphans of user code cannot be adopted: %s", os.strerror(ctypes.get_errno()))
    else:
        _adopting.set()


def keep_to_oneself() -> None:
    """Let no process of the same user look into this one's memory; root can, whatever a process does."""
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # gone, or only processes not ours to kill
        os.killpg(pid, signal.SIGKILL)


def sweep() -> None:
    """Reap every child that is left, killing those that live. Who adopts none leaves its children alone."""
    if not _adopting.is_set():
        return
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
