"""What was sent before: kept between runs, so that an unchanged file is neither read nor sent again.

One small database for each (store, branch, source) in the user's cache folder. A file is known by its path in the
source and by what the system says of it; where its bytes lie is only a hint, which the service confirms before it is
used. All of it may be lost at any time. Elsewhere: what is done with it (upload.py).
"""

import hashlib
import os
import sqlite3
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import NamedTuple

KEPT_SECONDS = 90 * 86400
FINE_NS, COARSE_NS = 20_000_000, 2_000_000_000  # so long after a change another one may leave no trace in the times
SCHEMA = """
CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INT, mtime INT, ctime INT, inode INT, digest BLOB,
  content BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chunks (digest BLOB PRIMARY KEY, pack BLOB, start INT, size INT) WITHOUT ROWID;
"""


class Look(NamedTuple):
    """What tells that a file was not changed."""

    size: int
    mtime: int
    ctime: int
    inode: int


class Known(NamedTuple):
    """A file as it was sent. content: a serialized content.Content, or b"" when only the service knew where it lies."""

    look: Look
    digest: bytes
    content: bytes


class Chunk(NamedTuple):
    """Where a chunk was stored."""

    pack: bytes
    offset: int
    size: int


def look_of(stat: os.stat_result) -> Look:
    return Look(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


def settled(look: Look, now_ns: int) -> bool:
    """Whether a change after `now_ns` must show in the file's times."""
    changed = max(look.mtime, look.ctime)
    return changed + (FINE_NS if changed % 1_000_000 else COARSE_NS) < now_ns


class Memory:
    """Safe for several threads. What cannot be kept is forgotten without a word."""

    def __init__(self, place: Path) -> None:
        self._lock = Lock()
        self.files: dict[str, Known] = {}
        self.chunks: dict[bytes, Chunk] = {}
        self._base: sqlite3.Connection | None = None
        with suppress(OSError, sqlite3.Error):
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _tidy(place)
            self._base = sqlite3.connect(place, timeout=1.0, check_same_thread=False)
            self._base.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;" + SCHEMA)
            for path, size, mtime, ctime, inode, digest, content in self._base.execute("SELECT * FROM files"):
                self.files[path] = Known(Look(size, mtime, ctime, inode), digest, content)
            self.chunks = {row[0]: Chunk(*row[1:]) for row in self._base.execute("SELECT * FROM chunks")}
            os.utime(place)

    def keep(self, files: Iterable[tuple[str, Known]], chunks: Iterable[tuple[bytes, Chunk]] = ()) -> None:
        """Note what has been stored."""
        rows = [(path, *known.look, known.digest, known.content) for path, known in files]
        with self._lock, suppress(sqlite3.Error):
            if self._base is not None:
                self._base.executemany("INSERT OR REPLACE INTO files VALUES (?,?,?,?,?,?,?)", rows)
                pieces = [(digest, *chunk) for digest, chunk in chunks]
                self._base.executemany("INSERT OR REPLACE INTO chunks VALUES (?,?,?,?)", pieces)
                self._base.commit()

    def forget(self, paths: Iterable[str], packs: Iterable[bytes] = ()) -> None:
        """Let go of files that are no more, and of chunks in packs that are no more."""
        with self._lock, suppress(sqlite3.Error):
            if self._base is not None:
                self._base.executemany("DELETE FROM files WHERE path = ?", [(path,) for path in paths])
                self._base.executemany("DELETE FROM chunks WHERE pack = ?", [(pack,) for pack in packs])
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
