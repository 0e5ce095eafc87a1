"""Rows of the cache: values by key, and the file sets that each keeps alive.

A file set that some entry holds never expires; when the last such entry goes it lives for a while more, like a new one.
At most MOST_ENTRIES are kept: beyond that, those go first that were not used for the longest time.
Elsewhere: rows of file sets (content/content_tables.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, LargeBinary, delete, func, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from services.kit.storage.database import UtcTime
from services.pfs.storage.content.content_tables import FileSetRow
from services.pfs.storage.content.filesets import NEVER, FileSetStore
from services.pfs.storage.tables import Base

MOST_ENTRIES = 10_000
TTL_AFTER_HOLD = timedelta(minutes=10)
_SOME = 500  # keys named in one statement


class CacheRow(Base):
    """One value."""

    __tablename__ = "cache"
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[bytes] = mapped_column(LargeBinary)  # a google.protobuf.Any
    tag: Mapped[str] = mapped_column(index=True)
    used_at: Mapped[datetime] = mapped_column(UtcTime, index=True)


class CacheHoldRow(Base):
    """An entry keeps a file set alive."""

    __tablename__ = "cache_holds"
    key: Mapped[str] = mapped_column(ForeignKey("cache.key", ondelete="CASCADE"), primary_key=True)
    file_set: Mapped[str] = mapped_column(primary_key=True, index=True)


@dataclass(frozen=True)
class CacheStore:
    """The cache, inside the caller's transaction; never commits it."""

    tx: Session

    def add(self, key: str, value: bytes, file_sets: Sequence[str], *, tag: str, now: datetime) -> None:
        """Keep a value, unless its key is there already. file_sets: plain ids. Raises PathMissing."""
        if self.tx.get(CacheRow, key) is not None:
            return
        rows = [FileSetStore(self.tx).get(id, now) for id in dict.fromkeys(file_sets)]
        self.tx.add(CacheRow(key=key, value=value, tag=tag, used_at=now))
        self.tx.flush()
        for row in rows:
            row.expires_at = NEVER
            self.tx.add(CacheHoldRow(key=key, file_set=row.id))
        self.tx.flush()
        self._make_room(now)

    def get(self, key: str, now: datetime) -> bytes | None:
        row = self.tx.get(CacheRow, key)
        if row is None:
            return None
        row.used_at = now
        return row.value

    def clear(self, tag_prefix: str, now: datetime) -> None:
        begins = func.substr(CacheRow.tag, 1, len(tag_prefix)) == tag_prefix  # LIKE takes upper for lower case
        self._remove(list(self.tx.scalars(select(CacheRow.key).where(begins))), now)

    def _make_room(self, now: datetime) -> None:
        extra = (self.tx.scalar(select(func.count()).select_from(CacheRow)) or 0) - MOST_ENTRIES
        if extra > 0:
            oldest = select(CacheRow.key).order_by(CacheRow.used_at, CacheRow.key).limit(extra)
            self._remove(list(self.tx.scalars(oldest)), now)

    def _remove(self, keys: list[str], now: datetime) -> None:
        for start in range(0, len(keys), _SOME):
            some = keys[start : start + _SOME]
            held = list(self.tx.scalars(select(CacheHoldRow.file_set).where(CacheHoldRow.key.in_(some))))
            self.tx.execute(delete(CacheHoldRow).where(CacheHoldRow.key.in_(some)))
            self.tx.execute(delete(CacheRow).where(CacheRow.key.in_(some)))
            still = select(CacheHoldRow.file_set)
            free = update(FileSetRow).where(FileSetRow.id.in_(held), FileSetRow.id.not_in(still))
            self.tx.execute(free.values(expires_at=now + TTL_AFTER_HOLD))
