"""What every object store driver does. All calls are synchronous; services run them in threads.

Holds for ever: an object is never overwritten with other bytes, is durable once `put` or `adopt` returns, and is
never seen half-written. Keys are relative paths of [a-z0-9/_.-]. A store that is away is waited for, for a while; then
every call raises Unavailable.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from services.kit.errors import Corrupt

Piece = bytes | bytearray | memoryview
Data = bytes | Sequence[Piece]
"""What an object is made of: its bytes, or pieces of them in order, which nobody changes meanwhile."""


class ObjectMissing(Corrupt):
    """An object that something refers to is not in the store."""

    def __init__(self, key: str) -> None:
        super().__init__(f"object {key} is missing from the store")


class Objects(Protocol):
    """An object store."""

    @property
    def root(self) -> Path | None:
        """The folder of the objects when callers on this machine may read them as files, else None."""
        ...

    def spread(self, *prefixes: str) -> None:
        """Be ready for many objects "<prefix>/<two hex digits>/…"."""
        ...

    def put(self, key: str, data: Data) -> None:
        """Store `data` durably. The same key with the same bytes again is no error. Raises Exhausted."""
        ...

    def adopt(self, key: str, path: Path) -> None:
        """Move a finished file on this machine into the store, durably. No error when it is there already."""
        ...

    def move(self, source: str, key: str) -> None:
        """Give a finished object another key, durably; what has `key` already is replaced. Raises ObjectMissing."""
        ...

    def get(self, key: str) -> bytes:
        """All of an object. Raises ObjectMissing."""
        ...

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`. Raises ObjectMissing, or Corrupt when the object is shorter."""
        ...

    def get_up_to(self, key: str, offset: int, length: int) -> bytes:
        """What there is of `length` bytes from `offset`, perhaps nothing. Raises ObjectMissing."""
        ...

    def size(self, key: str) -> int | None:
        """Size in bytes, or None when there is no such object."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; no error when it is gone already."""
        ...

    def begin_sending(self, key: str) -> str | None:
        """Let somebody else send this object. An id, or None when the store has no such thing."""
        ...

    def sending_url(self, key: str, id: str, lifetime: timedelta) -> str:
        """A URL that whoever has it may PUT the object to. It is not there before `finish_sending`."""
        ...

    def send(self, key: str, id: str, data: Data) -> None:
        """Send the object from here. Raises Exhausted."""
        ...

    def finish_sending(self, key: str, id: str) -> bool:
        """Let what was sent last be the object, durably; from then on the URL is worth nothing. May be repeated.

        False: nothing was sent, or this was finished or given up before.
        """
        ...

    def drop_sendings(self, prefix: str, begun_before: datetime) -> int:
        """Give up those that were not finished, of keys that begin with `prefix`, this process's own uploads in parts
        included. Says how many. Stores that do not tell of them must give them up by themselves."""
        ...

    def signed_get(self, key: str, lifetime: timedelta) -> str | None:
        """A URL that whoever has it may GET this object from; None when the store has no such thing."""
        ...


def pieces_of(data: Data) -> Sequence[Piece]:
    """What `put` was given, as pieces."""
    return (data,) if isinstance(data, bytes) else data
