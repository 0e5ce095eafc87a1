"""Rows of projects and repos, inside the caller's transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, collate, delete, insert, select, update
from sqlalchemy.orm import Session

from services.pfs.domain.commits import CommitNumber, RepoNumber
from services.pfs.domain.keys import RepoKey
from services.pfs.domain.repos import Project, Repo
from services.pfs.storage.tables import BranchRow, CommitRow, InstanceRow, ProjectRow, RepoRow, table

SOME = 500  # numbers that one question names
_REPO = table(RepoRow)
_OF_NAME = (
    select(_REPO)
    .where(_REPO.c.project == bindparam("project"), _REPO.c.name == bindparam("name"))
    .order_by(_REPO.c.number)
)
_BY_KEY = _OF_NAME.where(_REPO.c.type == bindparam("type"))


def _repo_of(row: Row[Any]) -> Repo:
    key = RepoKey(row.project, row.name, row.type)
    return Repo(row.number, key, row.description, row.pairs, row.created_at)


@dataclass(frozen=True)
class ProjectStore:
    """Projects; never commits the transaction."""

    tx: Session

    def get(self, name: str) -> Project | None:
        row = self._row(name)
        return row.to_domain() if row else None

    def every(self) -> list[Project]:
        """In the order of creation."""
        return [row.to_domain() for row in self.tx.scalars(select(ProjectRow).order_by(ProjectRow.number))]

    def add(self, name: str, description: str, now: datetime) -> None:
        self.tx.add(ProjectRow(name=name, description=description, pairs={}, created_by="", created_at=now))
        self.tx.flush()

    def describe(self, name: str, description: str) -> None:
        """Replace the description of a project that exists."""
        row = self._row(name)
        assert row is not None
        row.description = description

    def remove(self, name: str) -> None:
        self.tx.execute(delete(ProjectRow).where(ProjectRow.name == name))

    def _row(self, name: str) -> ProjectRow | None:
        return self.tx.scalars(select(ProjectRow).where(ProjectRow.name == name)).first()


@dataclass(frozen=True)
class RepoStore:
    """Repos; never commits the transaction."""

    tx: Session

    def get(self, key: RepoKey) -> Repo | None:
        wanted = {"project": key.project, "name": key.name, "type": key.type}
        row = self.tx.execute(_BY_KEY, wanted).first()  # plain columns, made once: every change asks for its repo
        return _repo_of(row) if row else None

    def add(self, key: RepoKey, description: str, now: datetime) -> Repo:
        values = {"project": key.project, "name": key.name, "type": key.type, "created_at": now}
        self.tx.execute(insert(_REPO), {**values, "description": description})
        return _repo_of(self.tx.execute(_BY_KEY, values).one())

    def describe(self, key: RepoKey, description: str) -> None:
        """Replace the description of a repo that exists."""
        change = update(_REPO).where(_REPO.c.project == key.project, _REPO.c.name == key.name, _REPO.c.type == key.type)
        self.tx.execute(change, {"description": description})

    def remove(self, number: RepoNumber) -> None:
        self.tx.execute(delete(RepoRow).where(RepoRow.number == number))
        self.tx.expire_all()

    def listed(
        self, *, type: str = "", projects: Sequence[str] = (), skip: int = 0, limit: int | None = None
    ) -> list[Repo]:
        """By project, then name, then type."""
        # Byte by byte, whatever order the database's language has: pages hold the same repos everywhere.
        how = "C" if self.tx.get_bind().dialect.name == "postgresql" else "BINARY"
        order = [collate(column, how) for column in (_REPO.c.project, _REPO.c.name, _REPO.c.type)]
        rows = select(_REPO).order_by(*order).offset(skip).limit(limit)
        if type:
            rows = rows.where(RepoRow.type == type)
        if projects:
            rows = rows.where(RepoRow.project.in_(projects))
        return [_repo_of(row) for row in self.tx.execute(rows)]

    def of_name(self, project: str, name: str) -> list[Repo]:
        """Repos of every type with this name."""
        return [_repo_of(row) for row in self.tx.execute(_OF_NAME, {"project": project, "name": name})]

    def heads(self, numbers: Sequence[RepoNumber]) -> dict[RepoNumber, tuple[CommitNumber, int | None]]:
        """The head of "master" of each repo that has one, and its size; None while it is not FINISHED."""
        rows = (
            select(BranchRow.repo_number, CommitRow.number, CommitRow.size_bytes, CommitRow.finished)
            .join(CommitRow, CommitRow.number == BranchRow.head)
            .where(BranchRow.name == "master")
        )
        found = dict[RepoNumber, tuple[CommitNumber, int | None]]()
        for start in range(0, len(numbers), SOME):
            some = BranchRow.repo_number.in_(numbers[start : start + SOME])
            for repo, head, size, finished in self.tx.execute(rows.where(some)):
                found[RepoNumber(repo)] = CommitNumber(head), None if finished is None else size
        return found


def instance_fact(tx: Session, name: str) -> str | None:
    """A fact about the instance, such as its id."""
    row = tx.get(InstanceRow, name)
    return row.value if row else None


def keep_instance_fact(tx: Session, name: str, value: str) -> None:
    """Remember a fact for good."""
    tx.add(InstanceRow(name=name, value=value))
