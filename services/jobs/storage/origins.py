"""What the plans of jobs were made from, inside the caller's transaction.

Elsewhere: what that is (domain/origins.py).
"""

from dataclasses import dataclass

from sqlalchemy import ForeignKey, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from services.jobs.domain.planning.origins import Origin, read_origin, written
from services.jobs.storage.tables import Base, JobRow


class OriginRow(Base):
    """Of a job that is planned, when the next plan can be told from it."""

    __tablename__ = "origins"
    job: Mapped[int] = mapped_column(ForeignKey("jobs.number", ondelete="CASCADE"), primary_key=True)
    origin: Mapped[bytes]


@dataclass(frozen=True)
class Origins:
    """Rows of origins; never commits."""

    tx: Session

    def keep(self, job: int, origin: Origin | None) -> None:
        """Of a job that is planned, perhaps once more."""
        self.forget(job)
        if origin is not None:
            self.tx.add(OriginRow(job=job, origin=written(origin)))
            self.tx.flush()

    def find(self, job: int) -> Origin | None:
        row = self.tx.get(OriginRow, job)
        return None if row is None else read_origin(row.origin)

    def forget(self, job: int) -> None:
        self.tx.execute(delete(OriginRow).where(OriginRow.job == job))

    def of(self, owner: tuple[str, str] | None) -> list[Origin]:
        """Those of a pipeline (project, name), or all."""
        rows = select(OriginRow.origin)
        if owner is not None:
            rows = rows.join(JobRow, JobRow.number == OriginRow.job)
            rows = rows.where(JobRow.project == owner[0], JobRow.pipeline == owner[1])
        return [read_origin(data) for data in self.tx.scalars(rows)]
