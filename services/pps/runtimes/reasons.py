"""Why a worker ended, in words for a person who looks at the pipeline."""

import errno
import json
import signal
from pathlib import Path

LONGEST = 1000  # characters
SHELL = 128  # what shells and sandboxes add to the number of the signal that ended what they ran


ON_DISK = {
    errno.ENOSPC: "there is no room left on the disk",
    errno.EDQUOT: "there is no room left on the disk: the quota is used up",
    errno.EROFS: "the disk is read-only",
}


def why_not_started(error: OSError, folder: Path) -> str:
    """folder: where workers live."""
    what = ON_DISK.get(error.errno or 0)
    return str(error) if what is None else f"no worker can be started in {folder}: {what}; it is tried again"


def why_ended(code: int, last_line: str) -> str:
    """code: the exit status, of a signal as Python or as a shell has it. last_line: of what the worker wrote, or ""."""
    said = _message(last_line)
    number = -code if code < 0 else code - SHELL if code > SHELL else 0
    if not number:
        return (said or f"the worker ended with code {code}")[:LONGEST]
    try:
        name = signal.Signals(number).name
    except ValueError:
        return (said or f"the worker ended with code {code}")[:LONGEST]
    hint = ", as the system does when memory runs out" if number == signal.SIGKILL else ""
    return (f"the worker was killed by {name}{hint}" + (f"; the last it said was: {said}" if said else ""))[:LONGEST]


def _message(line: str) -> str:
    """What a line of a worker's log says: its own are JSON objects."""
    try:
        fields = json.loads(line)
        return str(fields["message"])
    except (ValueError, KeyError, TypeError):
        return line
