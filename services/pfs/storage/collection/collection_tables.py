"""The tables of garbage collection: processes that may refer to packs, the epoch, and what was deleted lately.

Elsewhere: packs themselves (content/content_tables.py); what all of it is for (operations/collection, docs/adr/0009).
"""

from datetime import datetime

from sqlalchemy import LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from services.kit.storage.database import UtcTime
from services.pfs.storage.tables import NEVER_REUSED, Base, Number


class SessionRow(Base):
    """A process that writes, or a backup that must find everything it saw.

    until: by the database's clock. quiet: no call is running in it that began before the process knew of this epoch.
    """

    __tablename__ = "sessions"
    id: Mapped[str] = mapped_column(primary_key=True)
    replica: Mapped[str]
    until: Mapped[datetime] = mapped_column(UtcTime)
    quiet: Mapped[int] = mapped_column(Number)


class EpochRow(Base):
    """One row: the number of collections begun so far, and how often the set of moved packs changed."""

    __tablename__ = "epoch"
    id: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[int] = mapped_column(Number)
    moves: Mapped[int] = mapped_column(Number, default=0)


class GraveRow(Base):
    """What a commit referred to that was deleted since the last collection began; parts as layers.py encodes them."""

    __tablename__ = "graves"
    __table_args__ = (NEVER_REUSED,)
    number: Mapped[int] = mapped_column(Number, primary_key=True, autoincrement=True)
    parts: Mapped[bytes] = mapped_column(LargeBinary)
