"""What was sent before: kept between runs, so that an unchanged file is neither read nor sent again.

One small database for each (store, branch, source) in the user's cache folder. A file is known by its path in the
source and by what the system says of it; where its bytes lie is only a hint, which the service confirms before it is
used. All of it may be lost at any time, and several commands may use it at once: what a row says of a file is true
whenever it was written, and a row that is lost costs another reading of its file.
Files are kept in batches, one for each pack that was stored, and now and then made into one: reading a hundred thousand
rows would take longer than looking at as many files.
Elsewhere: batches as bytes (columns.py); what is done with it (recall.py, sending/upload.py).
"""

import hashlib
import os
import sqlite3
import struct
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from datamill.bulk.recalling.columns import Known, Look, Table, encoded

KEPT_SECONDS = 90 * 86400
FINE_NS, COARSE_NS = 20_000_000, 2_000_000_000  # so long after a change another one may leave no trace in the times
MANY_BATCHES = 256  # are made into one
BATCH_FILES = 1_000_000  # of such one
SCHEMA = """
CREATE TABLE IF NOT EXISTS batches (number INTEGER PRIMARY KEY AUTOINCREMENT, files BLOB);
CREATE TABLE IF NOT EXISTS chunks (digest BLOB PRIMARY KEY, pack BLOB, start INT, size INT) WITHOUT ROWID;
"""


class Chunk(NamedTuple):
    """Where a chunk was stored."""

    pack: bytes
    offset: int
    size: int


def settled(look: Look, now_ns: int) -> bool:
    """Whether a change after `now_ns` must show in the file's times."""
    changed = max(look.mtime, look.ctime)
    return changed + (FINE_NS if changed % 1_000_000 else COARSE_NS) < now_ns


class Memory:
    """Safe for several threads and processes. What cannot be kept is forgotten without a word."""

    def __init__(self, place: Path) -> None:
        self._lock = Lock()
        self._base: sqlite3.Connection | None = None
        self._read: list[int] = []
        self.table = Table()
        with suppress(OSError, sqlite3.Error, ValueError, struct.error):
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _tidy(place)
            self._base = sqlite3.connect(place, timeout=5.0, check_same_thread=False)
            self._base.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;" + SCHEMA)
            for number, files in self._base.execute("SELECT number, files FROM batches ORDER BY number"):
                self._read.append(number)
                self.table.add(files)
            os.utime(place)

    def chunks(self) -> dict[bytes, Chunk]:
        """Every chunk of big files, by digest."""
        with self._lock, suppress(sqlite3.Error):
            if self._base is not None:
                return {row[0]: Chunk(*row[1:]) for row in self._base.execute("SELECT * FROM chunks")}
        return {}

    def keep(self, files: Iterable[Known], chunks: Iterable[tuple[bytes, Chunk]] = ()) -> None:
        """Note what has been stored."""
        named = list(files)
        batches = [(encoded(named),)] if named else []
        pieces = [(digest, *chunk) for digest, chunk in chunks]
        with self._lock, suppress(sqlite3.Error):
            if self._base is not None:
                self._base.executemany("INSERT INTO batches (files) VALUES (?)", batches)
                self._base.executemany("INSERT OR REPLACE INTO chunks VALUES (?,?,?,?)", pieces)
                self._base.commit()

    def forget(self, packs: Iterable[bytes]) -> None:
        """Let go of chunks in packs that are no more."""
        with self._lock, suppress(sqlite3.Error):
            if self._base is not None:
                self._base.executemany("DELETE FROM chunks WHERE pack = ?", [(pack,) for pack in packs])
                self._base.commit()

    def tidy(self, without: Collection[int]) -> None:
        """Make what was read at the start smaller, where that is worth it: without these rows of the table."""
        rows = len(self.table.rows) - len(without)
        if len(self._read) <= MANY_BATCHES and 4 * rows >= 3 * len(self.table.paths):
            return
        kept = [row for row in self.table.in_order() if row not in without]
        batches = [self.table.encoded(kept[at : at + BATCH_FILES]) for at in range(0, len(kept), BATCH_FILES)]
        with self._lock, suppress(sqlite3.Error):
            if self._base is not None:  # under old numbers, so that what came meanwhile stays later
                self._base.executemany("DELETE FROM batches WHERE number = ?", [(number,) for number in self._read])
                numbered = zip(self._read, batches, strict=False)
                self._base.executemany("INSERT OR REPLACE INTO batches VALUES (?,?)", numbered)
                self._base.commit()

    def close(self) -> None:
        with self._lock, suppress(sqlite3.Error):
            if self._base is not None:
                self._base.close()
                self._base = None


def place_of(store: str, branch: str, source: str) -> Path:
    """Where the memory of a source is kept. store: tells one instance from another."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = hashlib.sha256("\0".join((store, branch, source)).encode(errors="surrogateescape")).hexdigest()[:32]
    return home / "datamill" / "sent" / f"{name}.sqlite"


def _tidy(place: Path) -> None:
    """Remove memories that nobody has used for long."""
    oldest = time.time() - KEPT_SECONDS
    for other in place.parent.glob("*.sqlite*"):
        with suppress(OSError):
            if other.stat().st_mtime < oldest:
                other.unlink()
