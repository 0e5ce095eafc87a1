"""Tables of the pipeline service."""

from datetime import datetime

from sqlalchemy import ForeignKeyConstraint, LargeBinary, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.kit.storage.database import UtcTime


class Base(DeclarativeBase):
    """Tables of this service."""


class PipelineRow(Base):
    """A pipeline. `doing` is an intent: work begun outside this database that must be finished or undone."""

    __tablename__ = "pipelines"
    project: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]  # the one in force; 0 while the first is being made
    state: Mapped[int]
    reason: Mapped[str] = mapped_column(Text, default="")
    stopped: Mapped[bool] = mapped_column(default=False)
    doing: Mapped[str] = mapped_column(default="", index=True)
    doing_since: Mapped[datetime | None] = mapped_column(UtcTime)
    keep_repo: Mapped[bool] = mapped_column(default=False)
    force: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(UtcTime, index=True)
    workers_started_at: Mapped[datetime | None] = mapped_column(UtcTime)
    workers_requested: Mapped[int] = mapped_column(default=0)
    workers_available: Mapped[int] = mapped_column(default=0)
    recent_error: Mapped[str] = mapped_column(Text, default="")


class VersionRow(Base):
    """One version of a pipeline; `token` marks the spec commit it made, so that a crash can be told from a failure."""

    __tablename__ = "versions"
    __table_args__ = (ForeignKeyConstraint(["project", "name"], ["pipelines.project", "pipelines.name"]),)
    project: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    token: Mapped[str]
    spec_commit: Mapped[str] = mapped_column(default="")  # empty until the version is in force
    salt: Mapped[str]
    spec_json: Mapped[str] = mapped_column(Text)  # completed: what runs
    user_json: Mapped[str] = mapped_column(Text)
    effective_json: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(UtcTime)


class CronRow(Base):
    """A cron input of the version in force. look_at: when its next tick may be due; NULL while it is to have none."""

    __tablename__ = "crons"
    __table_args__ = (ForeignKeyConstraint(["project", "name"], ["pipelines.project", "pipelines.name"]),)
    project: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True)  # among the crons of its pipeline
    repo_project: Mapped[str]
    repo: Mapped[str]
    spec: Mapped[str]
    start: Mapped[datetime] = mapped_column(UtcTime)
    overwrite: Mapped[bool]
    look_at: Mapped[datetime | None] = mapped_column(UtcTime, index=True)


class SecretRow(Base):
    """A secret; its keys and values are in `sealed` only. token: another one for each secret that bears the name."""

    __tablename__ = "secrets"
    name: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    labels_json: Mapped[str] = mapped_column(Text)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    token: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(UtcTime)


class DefaultsRow(Base):
    """What specs take from their project, or from everywhere: the row whose project is empty."""

    __tablename__ = "defaults"
    project: Mapped[str] = mapped_column(primary_key=True)
    document: Mapped[str] = mapped_column(Text)  # word for word as it was set
    at: Mapped[datetime] = mapped_column(UtcTime)
