"""Answers that are kept as long as nobody has changed the database, for what is asked again and again.

SQLite tells cheaply whether any connection of any process has committed something since; other databases do not, and
nothing is kept then. One commit makes all that is kept void: what is right never depends on who has changed what.
Elsewhere: reading itself (database.py).
"""

import sqlite3
from collections.abc import Callable, Hashable
from typing import Any

MOST = 512
NOTHING = object()


class Recall:
    """Used on one thread, the event loop's. connect: a connection of its own to a SQLite database; it never waits."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._version = -1
        self._kept: dict[Hashable, Any] = {}

    def version(self) -> int | None:
        """What changes with every commit. None: it cannot be told now."""
        try:
            if self._connection is None:
                self._connection = self._connect()
            version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error:
            return None
        return version

    def get(self, key: Hashable, version: int) -> Any:
        """What was kept at this version, or NOTHING."""
        return self._kept.get(key, NOTHING) if version == self._version else NOTHING

    def keep(self, key: Hashable, version: int, answer: object) -> None:
        """version: as it was before the answer was read, so that it can only be too old."""
        if version != self._version or len(self._kept) >= MOST:
            self._kept.clear()
            self._version = version
        self._kept[key] = answer

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
