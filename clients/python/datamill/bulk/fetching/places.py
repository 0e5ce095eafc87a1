"""Where files from a commit go on this machine: never outside the folder that was asked for."""

import os
from collections.abc import Callable
from pathlib import Path

from datamill.errors import Corrupt

PathOf = Callable[[str], str]
"""Where a path of the commit goes. Raises Corrupt."""
_RUN = f"{os.getpid()}-{os.urandom(4).hex()}"


def beside_of(path: str) -> str:
    """Where a file is written until it is whole. A name of this process alone."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/.{name[:200]}.{_RUN}.part"


def below(folder: Path, top: str) -> PathOf:
    """Files go into a folder, their paths taken from `top` on."""
    root = str(folder)

    def place(path: str) -> str:
        found = inside(root, path, top)
        if found is None:
            raise Corrupt(f"the server sent {path!r} as a file")
        return found

    return place


def inside(folder: str, name: str, below: str) -> str | None:
    """Where an entry goes, or None for the top folder itself. Raises Corrupt for a path that leads outside."""
    names = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in names or "\0" in name:
        raise Corrupt(f"the server sent a path that leads outside: {name!r}")
    above = [part for part in below.split("/") if part]
    if names[: len(above)] != above:
        raise Corrupt(f"the server sent {name!r}, which is not below {below}")
    return "/".join((folder, *names[len(above) :])) if len(names) > len(above) else None


class Folders:
    """The folders that files are put into: each is made once, and looked into once."""

    def __init__(self) -> None:
        self._names: dict[str, frozenset[str]] = {}

    def may_hold(self, path: str) -> bool:
        """Makes the folder of a path. Says whether something had this path when that was first done for its folder."""
        folder, _, name = path.rpartition("/")
        names = self._names.get(folder)
        if names is None:
            names = self._names[folder] = _made(folder or "/")
        return name in names


def _made(folder: str) -> frozenset[str]:
    """Make a folder and those above it; what was in it."""
    try:
        os.mkdir(folder)
    except FileNotFoundError:
        os.makedirs(folder, exist_ok=True)
    except FileExistsError:
        return frozenset(os.listdir(folder))
    return frozenset()
