"""The tables of packs, layers and file sets.

Elsewhere: repos, branches and commits (storage/tables.py).
"""

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from services.kit.storage.database import UtcTime
from services.pfs.storage.tables import NEVER_REUSED, Base, Number

WRITING, LIVE, DYING, MOVING, MOVED = "writing", "live", "dying", "moving", "moved"
"""A pack may be referred to from LIVE on. MOVING: what is referred to lies in another pack, too. MOVED: only there."""
CONTENT, INDEX = "content", "index"


class PackRow(Base):
    """A pack in the object store. One that is still `writing` may be referred to by nobody.

    blobs: how many it holds; of an index pack, its bytes.
    session: whose writing it is (collection_tables.py); NULL: a caller's of the content service.
    sending: of one that a caller may send to an S3 store by itself, the id to finish that with.
    used: the epoch in which a caller last referred to it by name. moved_to: where a MOVING or MOVED one's blobs lie.
    """

    __tablename__ = "packs"
    name: Mapped[bytes] = mapped_column(LargeBinary(16), primary_key=True)
    kind: Mapped[str]
    state: Mapped[str]
    blobs: Mapped[int] = mapped_column(default=0)
    at: Mapped[datetime] = mapped_column(UtcTime)  # of the last change of its state
    session: Mapped[str | None]
    sending: Mapped[str | None]
    used: Mapped[int] = mapped_column(Number, default=0)
    moved_to: Mapped[bytes | None] = mapped_column(LargeBinary(16))


class LayerRow(Base):
    """Writes to an open commit that are applied as a whole, in the order of their numbers."""

    __tablename__ = "layers"
    __table_args__ = (NEVER_REUSED,)
    number: Mapped[int] = mapped_column(Number, primary_key=True, autoincrement=True)
    commit: Mapped[int] = mapped_column(ForeignKey("commits.number", ondelete="CASCADE"), index=True)
    parts: Mapped[bytes] = mapped_column(LargeBinary)  # as layers.py encodes them


class FileSetRow(Base):
    """A file set: writes that belong to no commit yet, kept until they expire."""

    __tablename__ = "file_sets"
    id: Mapped[str] = mapped_column(primary_key=True)
    parts: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    expires_at: Mapped[datetime] = mapped_column(UtcTime, index=True)
