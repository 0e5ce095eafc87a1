"""Rows of open transactions, and of what finished ones left for other services to carry out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import LargeBinary, delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from services.kit.storage.database import UtcTime
from services.pfs.storage.tables import NEVER_REUSED, Base, Number


class TransactionRow(Base):
    """An open transaction. `content` belongs to the servicer (datamill.staging.v1.Staged)."""

    __tablename__ = "transactions"
    id: Mapped[str] = mapped_column(primary_key=True)
    started: Mapped[datetime] = mapped_column(UtcTime)
    version: Mapped[int]  # counts additions
    content: Mapped[bytes] = mapped_column(LargeBinary)


class IntentRow(Base):
    """What the owner of a staged request has still to do, now that its transaction is finished."""

    __tablename__ = "intents"
    __table_args__ = (NEVER_REUSED,)
    number: Mapped[int] = mapped_column(Number, primary_key=True, autoincrement=True)
    owner: Mapped[str] = mapped_column(index=True)
    transaction: Mapped[str] = mapped_column(index=True)
    step: Mapped[bytes] = mapped_column(LargeBinary)  # datamill.staging.v1.Step


@dataclass(frozen=True, slots=True)
class Stored:
    """An open transaction."""

    id: str
    started: datetime
    version: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Intent:
    """Work left for `owner`."""

    number: int
    transaction: str
    step: bytes


@dataclass(frozen=True)
class TransactionStore:
    """Never commits the database's transaction."""

    tx: Session

    def add(self, id: str, now: datetime) -> Stored:
        self.tx.add(TransactionRow(id=id, started=now, version=0, content=b""))
        self.tx.flush()
        return Stored(id, now, 0, b"")

    def get(self, id: str) -> Stored | None:
        row = self.tx.get(TransactionRow, id)
        return _stored(row) if row else None

    def every(self) -> list[Stored]:
        """Oldest first."""
        rows = select(TransactionRow).order_by(TransactionRow.started, TransactionRow.id)
        return [_stored(row) for row in self.tx.scalars(rows)]

    def replace(self, id: str, content: bytes) -> Stored:
        """New content, and the version after the one that is there."""
        row = self.tx.get(TransactionRow, id)
        assert row is not None, "it was read in this transaction of the database"
        row.version, row.content = row.version + 1, content
        self.tx.flush()
        return _stored(row)

    def remove(self, id: str) -> bool:
        """False: there was none."""
        found = self.tx.get(TransactionRow, id)
        if found is not None:
            self.tx.delete(found)
            self.tx.flush()
        return found is not None

    def remove_every(self) -> None:
        self.tx.execute(delete(TransactionRow))


@dataclass(frozen=True)
class IntentStore:
    """Never commits the database's transaction."""

    tx: Session

    def add(self, owner: str, transaction: str, step: bytes) -> None:
        self.tx.add(IntentRow(owner=owner, transaction=transaction, step=step))

    def of(self, owner: str) -> Sequence[Intent]:
        """Oldest first."""
        rows = select(IntentRow).where(IntentRow.owner == owner).order_by(IntentRow.number)
        return [Intent(row.number, row.transaction, row.step) for row in self.tx.scalars(rows)]

    def left_of(self, transaction: str) -> int:
        """How many of a transaction are not carried out yet."""
        rows = select(func.count()).select_from(IntentRow).where(IntentRow.transaction == transaction)
        return self.tx.scalar(rows) or 0

    def remove(self, number: int) -> None:
        self.tx.execute(delete(IntentRow).where(IntentRow.number == number))


def _stored(row: TransactionRow) -> Stored:
    return Stored(row.id, row.started, row.version, row.content)
