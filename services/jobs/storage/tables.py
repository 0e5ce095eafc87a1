"""The tables of the jobs database. Times are UTC; ids that users see are text, those inside are numbers."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, Index, LargeBinary, MetaData, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.kit.storage.database import UtcTime


class Base(DeclarativeBase):
    """Tables of Jobs."""

    metadata = MetaData()
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: UtcTime, bytes: LargeBinary}


class SpecRow(Base):
    """A version of a pipeline, as PPS described it when its first job was made.

    made: when the pipeline was; another one of the name, made after this one was deleted, has other versions.
    """

    __tablename__ = "specs"
    project: Mapped[str] = mapped_column(primary_key=True)
    pipeline: Mapped[str] = mapped_column(primary_key=True)
    made: Mapped[datetime] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    document: Mapped[bytes]


class JobRow(Base):
    """A job. Durations are microseconds."""

    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("project", "pipeline", "id"),
        Index("jobs_by_id", "id"),
        Index("jobs_by_created", "created"),
        Index("jobs_of_pipeline", "project", "pipeline", "number"),
        Index("jobs_open", "closed", "project", "pipeline", "number"),
        Index("jobs_unsealed", "sealed", "number"),
        {"sqlite_autoincrement": True},  # sets in the queue go by the number: one that came back would mean another job
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    project: Mapped[str]
    pipeline: Mapped[str]
    id: Mapped[str]
    pipeline_made: Mapped[datetime]
    """As of its spec."""
    version: Mapped[int]
    output_branch: Mapped[str]
    traceparent: Mapped[str]
    state: Mapped[int]
    reason: Mapped[str]
    created: Mapped[datetime]
    started: Mapped[datetime | None]
    finished: Mapped[datetime | None]
    restart: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    processed: Mapped[int] = mapped_column(default=0)
    skipped: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    recovered: Mapped[int] = mapped_column(default=0)
    download_us: Mapped[int] = mapped_column(BigInteger, default=0)
    process_us: Mapped[int] = mapped_column(BigInteger, default=0)
    upload_us: Mapped[int] = mapped_column(BigInteger, default=0)
    download_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    upload_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    first_failed: Mapped[str] = mapped_column(default="")
    closed: Mapped[bool] = mapped_column(default=False)
    sealed: Mapped[bool] = mapped_column(default=False)
    """Whether its log is in objects (seals.py)."""
    plan: Mapped[str] = mapped_column(default="")
    """Object key of the datums that run; "" before there is a plan."""
    rest: Mapped[str] = mapped_column(default="")
    """Object key of those that could be planned only when the base had ended; "" when there are none."""
    rest_from: Mapped[int] = mapped_column(default=0)
    """Number of the first set of the rest."""
    awaits: Mapped[int | None]
    """The job that may still run whose end the rest of the plan awaits; None when the plan is whole."""
    indexed: Mapped[bool] = mapped_column(default=False)
    """Whether the root holds the job's own datums already, or only what it took over."""
    root_id: Mapped[bytes | None]
    root_pack: Mapped[bytes | None]
    root_offset: Mapped[int] = mapped_column(BigInteger, default=0)
    root_stored: Mapped[int] = mapped_column(BigInteger, default=0)
    root_rows: Mapped[int] = mapped_column(BigInteger, default=0)


HELD = text("state = 0 AND lease > ''")  # word for word in queries, or SQLite does not use the index


class SetRow(Base):
    """A set of datums that runs in one go. begin, length: its range of the plan object."""

    __tablename__ = "sets"
    __table_args__ = (
        Index("sets_by_worker", "worker", "state"),
        Index("sets_by_state", "job", "state", "index"),
        Index("sets_held", "job", "state", "lease", sqlite_where=HELD, postgresql_where=HELD),
    )
    job: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """No foreign key: a deleted job leaves its sets for later (LeftRow)."""
    index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    state: Mapped[int]
    begin: Mapped[int] = mapped_column(BigInteger)
    length: Mapped[int] = mapped_column(BigInteger)
    datums: Mapped[int]
    worker: Mapped[str] = mapped_column(default="")
    incarnation: Mapped[str] = mapped_column(default="")
    lease: Mapped[str] = mapped_column(default="")
    lease_until: Mapped[datetime | None]
    records: Mapped[str] = mapped_column(default="")
    """Object key of the results, once they were taken."""
    output_files: Mapped[str] = mapped_column(default="")
    meta_files: Mapped[str] = mapped_column(default="")
    doing: Mapped[str] = mapped_column(default="")
    """What the worker said last that it does with it (operations/work/activity.py); "" between datums."""
    cancelled: Mapped[str] = mapped_column(default="")
    """Datums whose present attempt is to be cut short, until the worker hears of it: ids with blanks between."""


class LeftRow(Base):
    """A job that was deleted, some of whose sets are still there: a large job has too many for one transaction."""

    __tablename__ = "left_sets"
    job: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
