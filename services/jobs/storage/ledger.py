"""Which objects of its own Jobs has, and whose they are; which pipelines have lost jobs since they were last collected.

A name is in the ledger before its first byte is stored, and counts from the transaction on that first refers to it:
what a crash leaves behind is found without a listing of the store. RESERVED: nothing refers to it. LIVE: a job of the
pipeline does, or did. DYING: nothing does; the object is deleted after a while, the row after the object.
Elsewhere: the objects (objects.py); who collects (operations/upkeep/collecting.py).
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, Index, delete, insert, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from services.jobs.domain.errors import ObjectGivenUp
from services.jobs.domain.jobs import JobKey
from services.jobs.storage.tables import Base

RESERVED, LIVE, DYING = "reserved", "live", "dying"
SOME = 500


class ObjectRow(Base):
    """An object in the store. kind: as of objects.py; "" as long as it is RESERVED."""

    __tablename__ = "objects"
    __table_args__ = (Index("objects_of_pipeline", "project", "pipeline"), Index("objects_by_state", "state", "at"))
    name: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(default="")
    project: Mapped[str] = mapped_column(default="")
    pipeline: Mapped[str] = mapped_column(default="")
    state: Mapped[str]
    at: Mapped[datetime]
    """Of the last change of its state."""


class GraveRow(Base):
    """A job of this pipeline was deleted."""

    __tablename__ = "graves"
    __table_args__ = ({"sqlite_autoincrement": True},)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    project: Mapped[str]
    pipeline: Mapped[str]


@dataclass(frozen=True, slots=True)
class Kept:
    """An object of the ledger. kind: "" for one that may be of any."""

    name: str
    kind: str


@dataclass(frozen=True)
class Ledger:
    """Inside the caller's transaction; never commits."""

    tx: Session

    def reserve(self, names: Iterable[str], now: datetime) -> None:
        """Note that objects are going to be stored."""
        rows = [{"name": name, "kind": "", "state": RESERVED, "at": now} for name in names]
        self.tx.execute(insert(ObjectRow), [{**row, "project": "", "pipeline": ""} for row in rows])

    def publish(self, kind: str, names: Collection[str], key: JobKey, now: datetime) -> None:
        """Let objects count that the caller's transaction refers to from a job. Raises ObjectGivenUp."""
        for some in _batches(names):
            reserved = update(ObjectRow).where(ObjectRow.name.in_(some), ObjectRow.state == RESERVED)
            values = {"kind": kind, "state": LIVE, "at": now, "project": key.project, "pipeline": key.pipeline}
            if cast("CursorResult[Any]", self.tx.execute(reserved.values(**values))).rowcount != len(some):
                raise ObjectGivenUp()

    def condemn(self, names: Collection[str], now: datetime) -> None:
        """Nothing refers to these any more."""
        for some in _batches(names):
            live = update(ObjectRow).where(ObjectRow.name.in_(some), ObjectRow.state == LIVE)
            self.tx.execute(live.values(state=DYING, at=now))

    def give_up(self, before: datetime, now: datetime) -> int:
        """Names that were reserved before then will never count. Returns how many."""
        left = update(ObjectRow).where(ObjectRow.state == RESERVED, ObjectRow.at < before)
        return cast("CursorResult[Any]", self.tx.execute(left.values(state=DYING, at=now))).rowcount

    def live(self, project: str, pipeline: str) -> list[Kept]:
        """What jobs of the pipeline refer to, or did."""
        return self._kept(ObjectRow.project == project, ObjectRow.pipeline == pipeline, ObjectRow.state == LIVE)

    def all_live(self) -> list[Kept]:
        return self._kept(ObjectRow.state == LIVE)

    def dying(self) -> list[tuple[Kept, datetime]]:
        """What is to be deleted, and since when."""
        rows = self.tx.scalars(select(ObjectRow).where(ObjectRow.state == DYING))
        return [(Kept(row.name, row.kind), row.at) for row in rows]

    def forget(self, names: Collection[str]) -> None:
        """These objects are deleted."""
        for some in _batches(names):
            self.tx.execute(delete(ObjectRow).where(ObjectRow.name.in_(some), ObjectRow.state == DYING))

    def bury(self, project: str, pipeline: str) -> None:
        """A job of the pipeline is deleted: it is worth looking for what nothing refers to any more."""
        self.tx.add(GraveRow(project=project, pipeline=pipeline))

    def graves(self) -> dict[tuple[str, str], list[int]]:
        """Pipelines that have lost jobs, with the numbers of their rows."""
        found = dict[tuple[str, str], list[int]]()
        for row in self.tx.scalars(select(GraveRow)):
            found.setdefault((row.project, row.pipeline), []).append(row.number)
        return found

    def close_graves(self, numbers: Sequence[int]) -> None:
        for some in _batches(numbers):
            self.tx.execute(delete(GraveRow).where(GraveRow.number.in_(some)))

    def _kept(self, *conditions: Any) -> list[Kept]:
        rows = self.tx.execute(select(ObjectRow.name, ObjectRow.kind).where(*conditions))
        return [Kept(name, kind) for name, kind in rows]


def _batches(names: Collection[Any]) -> Iterable[list[Any]]:
    every = list(names)
    return (every[start : start + SOME] for start in range(0, len(every), SOME))
