"""Where files from a commit go on this machine: never outside the folder that was asked for."""

import os
from pathlib import Path, PurePosixPath

from datamill.errors import Corrupt


def beside_of(path: Path) -> str:
    """Where a file is written until it is whole."""
    return f"{path.parent}/.{path.name[:200]}.{os.getpid()}-{os.urandom(4).hex()}.part"


def inside(folder: Path, name: str, below: str) -> Path | None:
    """Where an entry goes, or None for the top folder itself. Raises Corrupt for a path that leads outside."""
    path = PurePosixPath("/" + name.lstrip("/"))
    if ".." in path.parts or "\0" in name:
        raise Corrupt(f"the server sent a path that leads outside: {name!r}")
    top = PurePosixPath(below)
    if not path.is_relative_to(top):
        raise Corrupt(f"the server sent {name!r}, which is not below {below}")
    relative = path.relative_to(top)
    return folder / relative if relative.parts else None
