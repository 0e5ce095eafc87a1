"""Rows of file sets: they live until they expire, and an expired one is as good as gone."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, delete
from sqlalchemy.orm import Session

from services.pfs.domain.files.file_errors import PathMissing
from services.pfs.storage.content.content_tables import FileSetRow

FILE_SETS = "__filesets__"
"""The repo through which file sets are read."""
NEVER = datetime(9000, 1, 1, tzinfo=UTC)
"""When a file set expires that something else keeps alive."""


@dataclass(frozen=True)
class FileSetStore:
    """File sets; never commits the transaction."""

    tx: Session

    def add(self, id: str, parts: bytes, *, ttl: timedelta, now: datetime) -> None:
        self.tx.add(FileSetRow(id=id, parts=parts, created_at=now, expires_at=now + ttl))
        self.tx.flush()

    def find(self, id: str, now: datetime) -> FileSetRow | None:
        """None: unknown or expired. What stands behind a "." in an id says nothing."""
        row = self.tx.get(FileSetRow, id.partition(".")[0].lower())
        return row if row is not None and row.expires_at > now else None

    def get(self, id: str, now: datetime) -> FileSetRow:
        """Raises PathMissing."""
        row = self.find(id, now)
        if row is None:
            raise PathMissing()
        return row

    def forget_expired(self, now: datetime) -> int:
        """For the collector only: what is read from a set must stay until calls that read it have ended."""
        gone = self.tx.execute(delete(FileSetRow).where(FileSetRow.expires_at < now))
        return cast("CursorResult[Any]", gone).rowcount
