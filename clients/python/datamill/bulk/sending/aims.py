"""Where an upload goes."""

from dataclasses import dataclass

from datamill.wire import pfs_v2_pb2 as pfs


@dataclass(frozen=True)
class Aim:
    """Where files go. top: "/" or "/x/". branch, source: name what is remembered of it; no source: nothing is."""

    top: str
    branch: str = ""
    source: str = ""
    held: pfs.Commit | None = None
    """A finished commit; what it holds already is left out."""
