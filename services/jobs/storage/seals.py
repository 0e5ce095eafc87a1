"""Rows of logs that are kept in objects, inside the caller's transaction.

Lines of a job up to the number in its last row are read from objects, later ones from the stream they came in. A job
that has ended is sealed once; one that runs for long gets rows before that, as the stream fills.
Elsewhere: the objects (log_objects.py); who seals (operations/history/).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, delete, func, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from services.jobs.domain.jobs import Job, JobKey
from services.jobs.domain.logs.queries import LogQuery
from services.jobs.storage.jobs import JobStore, to_domain
from services.jobs.storage.tables import Base, JobRow
from services.kit.storage.database import UtcTime


class SealRow(Base):
    """A part of a job's log. object: its name; "" for a log without lines, or one that was kept for long enough.

    stream: which stream `last`, the number of its last message, is of. first_ns, last_ns: times of its lines.
    """

    __tablename__ = "seals"
    __table_args__ = (Index("seals_by_time", "last_ns"),)
    job: Mapped[int] = mapped_column(ForeignKey("jobs.number", ondelete="CASCADE"), primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    object: Mapped[str]
    stream: Mapped[str]
    last: Mapped[int] = mapped_column(BigInteger)
    first_ns: Mapped[int] = mapped_column(BigInteger)
    last_ns: Mapped[int] = mapped_column(BigInteger)
    index_at: Mapped[int] = mapped_column(BigInteger)
    lines: Mapped[int] = mapped_column(BigInteger)


class PassedRow(Base):
    """How far a stream has been gone through for the lines of jobs that run, and when that was."""

    __tablename__ = "passed"
    stream: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime] = mapped_column(UtcTime)


@dataclass(frozen=True, slots=True)
class End:
    """Where the rows of a job end. parts: how many there are; last: number of the last message, of one stream."""

    job: Job
    parts: int
    last: int


@dataclass(frozen=True, slots=True)
class Part:
    """A row, without its job's number."""

    object: str
    stream: str
    last: int
    first_ns: int = 0
    last_ns: int = 0
    index_at: int = 0
    lines: int = 0


@dataclass(frozen=True)
class Seals:
    """Never commits."""

    tx: Session

    def due(self, ended_before: datetime, limit: int) -> list[Job]:
        """Jobs whose log is to be sealed, oldest first."""
        rows = select(JobRow).where(JobRow.sealed.is_(False), JobRow.closed.is_(True), JobRow.finished <= ended_before)
        return [to_domain(row) for row in self.tx.scalars(rows.order_by(JobRow.number).limit(limit))]

    def end(self, key: JobKey, stream: str) -> End | None:
        """None: there is no such job."""
        job = JobStore(self.tx).find(key)
        if job is None:
            return None
        last = select(func.max(SealRow.last)).where(SealRow.job == job.number, SealRow.stream == stream)
        return End(job, self._parts(job.number), self.tx.scalar(last) or 0)

    def _parts(self, number: int) -> int:
        return self.tx.scalar(select(func.count()).where(SealRow.job == number)) or 0

    def seal(self, end: End, parts: Sequence[Part], *, whole: bool) -> bool:
        """Add rows after those that there are. whole: the job has ended, and this is the rest.

        False: somebody else has done it, or the job is gone.
        """
        number = end.job.number
        row = self.tx.get(JobRow, number, with_for_update=True)
        if row is None or (whole and row.sealed) or self._parts(number) != end.parts:
            return False
        row.sealed = row.sealed or whole
        for at, part in enumerate(parts, end.parts):
            self.tx.add(
                SealRow(
                    job=number, part=at, object=part.object, stream=part.stream, last=part.last,
                    first_ns=part.first_ns, last_ns=part.last_ns, index_at=part.index_at, lines=part.lines,
                )
            )  # fmt: skip
        self.tx.flush()
        return True

    def of(self, query: LogQuery) -> list[tuple[JobKey, Part]]:
        """What of the logs of jobs is in objects and may have such lines, in the order of jobs."""
        pairs = ((JobRow.project, query.project), (JobRow.pipeline, query.pipeline), (JobRow.id, query.job))
        rows = select(SealRow, JobRow).join(JobRow, JobRow.number == SealRow.job)
        rows = rows.where(*(column == wanted for column, wanted in pairs if wanted), SealRow.last_ns >= query.since)
        found = self.tx.execute(rows.order_by(SealRow.job, SealRow.part))
        return [(JobKey(job.project, job.pipeline, job.id), _part(row)) for row, job in found]

    def passed(self, stream: str) -> tuple[int, datetime] | None:
        """How far the stream was gone through, and when; None: it was not yet."""
        row = self.tx.get(PassedRow, stream)
        return None if row is None else (row.number, row.at)

    def note_passed(self, stream: str, number: int, now: datetime) -> None:
        self.tx.execute(delete(PassedRow))  # of a stream that is no more, too
        self.tx.add(PassedRow(stream=stream, number=number, at=now))

    def objects(self, owner: tuple[str, str] | None = None) -> list[tuple[str, int]]:
        """Names of a pipeline's objects, or of all, and where in each the index begins."""
        rows = select(SealRow.object, SealRow.index_at).where(SealRow.object != "")
        if owner is not None:
            mine: Any = (JobRow.project == owner[0], JobRow.pipeline == owner[1])
            rows = rows.join(JobRow, JobRow.number == SealRow.job).where(*mine)
        return [(name, index_at) for name, index_at in self.tx.execute(rows)]

    def expire(self, before_ns: int) -> list[str]:
        """Let go of parts whose lines are all older; names of their objects."""
        old = (SealRow.last_ns < before_ns, SealRow.object != "")
        names = list(self.tx.scalars(select(SealRow.object).where(*old)))
        self.tx.execute(update(SealRow).where(*old).values(object=""))
        return names

    def remove(self, number: int) -> None:
        self.tx.execute(delete(SealRow).where(SealRow.job == number))


def _part(row: SealRow) -> Part:
    return Part(row.object, row.stream, row.last, row.first_ns, row.last_ns, row.index_at, row.lines)
