"""The tables of projects, repos, branches and commits.

Rows that belong to a commit go with it: tables elsewhere that name `commits.id` use ON DELETE CASCADE.
Elsewhere: packs, layers and file sets (content/content_tables.py); leases and the outbox (services.kit).
"""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.kit.storage.database import UtcTime
from services.pfs.domain.repos import Project

Number = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only when they are INTEGER
NEVER_REUSED: dict[str, Any] = {"sqlite_autoincrement": True}  # listeners use numbers as cursors


class Base(DeclarativeBase):
    """Every table of PFS."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def table(of: type[Base]) -> Table:
    """The table behind a row class, for statements that bring plain columns."""
    found = of.__table__
    assert isinstance(found, Table)
    return found


class InstanceRow(Base):
    """Facts about this instance as a whole, such as its id."""

    __tablename__ = "instance"
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class ProjectRow(Base):
    __tablename__ = "projects"
    __table_args__ = (NEVER_REUSED,)
    number: Mapped[int] = mapped_column(Number, primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str] = mapped_column(default="")
    # "metadata" is taken by SQLAlchemy
    pairs: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    created_by: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(UtcTime)

    def to_domain(self) -> Project:
        return Project(self.name, self.description, dict(self.pairs), self.created_by, self.created_at)


class RepoRow(Base):
    __tablename__ = "repos"
    __table_args__ = (UniqueConstraint("project", "name", "type"), NEVER_REUSED)
    number: Mapped[int] = mapped_column(Number, primary_key=True, autoincrement=True)
    project: Mapped[str] = mapped_column(ForeignKey("projects.name"))  # names of projects never change
    name: Mapped[str]
    type: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    pairs: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    created_at: Mapped[datetime] = mapped_column(UtcTime)


class BranchRow(Base):
    __tablename__ = "branches"
    __table_args__ = (UniqueConstraint("repo_number", "name"), NEVER_REUSED)
    number: Mapped[int] = mapped_column(Number, primary_key=True, autoincrement=True)
    repo_number: Mapped[int] = mapped_column(ForeignKey("repos.number"))
    name: Mapped[str]
    # No foreign key: commits name branches already, and a circle of keys cannot be made in one go everywhere.
    head: Mapped[int | None] = mapped_column(Number, index=True)
    pairs: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    created_by: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    updated_at: Mapped[datetime] = mapped_column(UtcTime)


class BranchEdgeRow(Base):
    """`downstream` was asked to derive from `upstream`; `never` keeps commits from propagating along the edge."""

    __tablename__ = "branch_edges"
    downstream: Mapped[int] = mapped_column(ForeignKey("branches.number", ondelete="CASCADE"), primary_key=True)
    upstream: Mapped[int] = mapped_column(ForeignKey("branches.number"), primary_key=True, index=True)
    position: Mapped[int]
    never: Mapped[bool] = mapped_column(default=False)


class CommitRow(Base):
    __tablename__ = "commits"
    __table_args__ = (
        UniqueConstraint("repo_number", "id"),
        Index("ix_commits_id_number", "id", "number"),
        Index("ix_commits_repo_number_number", "repo_number", "number"),
        # What the finisher looks for: closed, not finished yet.
        Index("ix_commits_finished_finishing", "finished", "finishing"),
        NEVER_REUSED,
    )
    number: Mapped[int] = mapped_column(Number, primary_key=True, autoincrement=True)
    repo_number: Mapped[int] = mapped_column(ForeignKey("repos.number"))
    id: Mapped[str]  # of the commit set
    branch_number: Mapped[int | None] = mapped_column(ForeignKey("branches.number", ondelete="SET NULL"), index=True)
    parent: Mapped[int | None] = mapped_column(ForeignKey("commits.number"), index=True)
    origin: Mapped[int]
    description: Mapped[str] = mapped_column(default="")
    started: Mapped[datetime] = mapped_column(UtcTime)
    finishing: Mapped[datetime | None] = mapped_column(UtcTime)
    finished: Mapped[datetime | None] = mapped_column(UtcTime)
    error: Mapped[str] = mapped_column(default="")
    root_id: Mapped[bytes | None] = mapped_column(LargeBinary)  # NULL: an empty tree, or not finished
    root_pack: Mapped[bytes | None] = mapped_column(LargeBinary)
    root_offset: Mapped[int | None] = mapped_column(BigInteger)
    root_stored: Mapped[int | None] = mapped_column(BigInteger)
    root_codec: Mapped[int | None]
    root_rows: Mapped[int | None] = mapped_column(BigInteger)
    size_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    compacting_us: Mapped[int] = mapped_column(BigInteger, default=0)
    validating_us: Mapped[int] = mapped_column(BigInteger, default=0)
    forgotten: Mapped[bool] = mapped_column(default=False)
    pairs: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    created_by: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    updated_at: Mapped[datetime] = mapped_column(UtcTime)


class CommitEdgeRow(Base):
    """`downstream` was made from `upstream`."""

    __tablename__ = "commit_edges"
    __table_args__ = (Index("ix_commit_edges_upstream_downstream", "upstream", "downstream"),)
    downstream: Mapped[int] = mapped_column(ForeignKey("commits.number", ondelete="CASCADE"), primary_key=True)
    upstream: Mapped[int] = mapped_column(ForeignKey("commits.number", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int]
