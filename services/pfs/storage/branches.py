"""Rows of branches and of the edges between them, inside the caller's transaction.

As for commits, the statements that every change runs are made once, of plain columns.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Row, Select, bindparam, delete, insert, or_, select, text, update
from sqlalchemy.orm import Session

from services.pfs.domain.commits import Branch, BranchNumber, CommitNumber, RepoNumber
from services.pfs.domain.keys import BranchKey, RepoKey
from services.pfs.storage.tables import BranchEdgeRow, BranchRow, RepoRow, table

SOME = 500
T = TypeVar("T")
Edges = dict[BranchNumber, list[BranchNumber]]
_BRANCH, _EDGE, _REPO = table(BranchRow), table(BranchEdgeRow), table(RepoRow)
_BRANCHES: Select[Any] = select(*_BRANCH.c, _REPO.c.project, _REPO.c.name.label("repo_name"), _REPO.c.type).select_from(
    _BRANCH.join(_REPO, _REPO.c.number == _BRANCH.c.repo_number)
)
_BY_NUMBER = _BRANCHES.where(_BRANCH.c.number == bindparam("number"))
_BY_NUMBERS = _BRANCHES.where(_BRANCH.c.number.in_(bindparam("numbers", expanding=True)))
_BY_KEY = _BRANCHES.where(
    _REPO.c.project == bindparam("project"),
    _REPO.c.name == bindparam("repo"),
    _REPO.c.type == bindparam("type"),
    _BRANCH.c.name == bindparam("name"),
)
_ADD = insert(_BRANCH).returning(_BRANCH.c.number)
_SET_HEAD = update(_BRANCH).where(_BRANCH.c.number == bindparam("moved"))
_UPSTREAM = (
    select(_EDGE.c.downstream, _EDGE.c.upstream)
    .where(_EDGE.c.downstream.in_(bindparam("numbers", expanding=True)))
    .order_by(_EDGE.c.downstream, _EDGE.c.position)
)
_DOWNSTREAM = (
    select(_EDGE.c.upstream, _EDGE.c.downstream)
    .where(_EDGE.c.upstream.in_(bindparam("numbers", expanding=True)))
    .order_by(_EDGE.c.upstream, _EDGE.c.downstream)
)
_PROPAGATING = _DOWNSTREAM.where(_EDGE.c.never.is_(False))


def _branch_of(row: Row[Any]) -> Branch:
    return Branch(
        number=row.number,
        repo_number=row.repo_number,
        key=BranchKey(RepoKey(row.project, row.repo_name, row.type), row.name),
        head=row.head,
        metadata=row.pairs,
        created_by=row.created_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


@dataclass(frozen=True)
class BranchStore:
    """Branches; never commits the transaction."""

    tx: Session

    def get(self, number: BranchNumber) -> Branch | None:
        row = self.tx.execute(_BY_NUMBER, {"number": number}).first()
        return _branch_of(row) if row else None

    def find(self, key: BranchKey) -> Branch | None:
        repo = key.repo
        wanted = {"project": repo.project, "repo": repo.name, "type": repo.type, "name": key.name}
        row = self.tx.execute(_BY_KEY, wanted).first()
        return _branch_of(row) if row else None

    def many(self, numbers: Iterable[BranchNumber]) -> dict[BranchNumber, Branch]:
        """Those that exist, by number."""
        found: dict[BranchNumber, Branch] = {}
        for some in _batches(numbers):
            for branch in map(_branch_of, self.tx.execute(_BY_NUMBERS, {"numbers": some})):
                found[branch.number] = branch
        return found

    def add(self, repo: RepoNumber, name: str, now: datetime) -> Branch:
        """A new branch, whose head must be set before the transaction ends."""
        values = {"repo_number": repo, "name": name, "head": None, "created_at": now, "updated_at": now}
        number = self.tx.execute(_ADD, values).scalar_one()
        return _branch_of(self.tx.execute(_BY_NUMBER, {"number": number}).one())

    def set_head(self, number: BranchNumber, head: CommitNumber, now: datetime) -> None:
        self.tx.execute(_SET_HEAD, {"moved": number, "head": head, "updated_at": now})

    def remove(self, number: BranchNumber) -> None:
        """Delete a branch and the edges that touch it; commits made on it stay, without a branch."""
        self.tx.flush()
        self.tx.execute(
            delete(BranchEdgeRow).where(or_(BranchEdgeRow.upstream == number, BranchEdgeRow.downstream == number))
        )
        self.tx.execute(delete(BranchRow).where(BranchRow.number == number))
        self.tx.expire_all()

    def set_provenance(
        self, branch: BranchNumber, upstream: Sequence[BranchNumber], never: Iterable[BranchNumber]
    ) -> None:
        """Replace the edges up from a branch."""
        self.tx.execute(delete(BranchEdgeRow).where(BranchEdgeRow.downstream == branch))
        blocked = set(never)
        for position, number in enumerate(upstream):
            self.tx.add(BranchEdgeRow(downstream=branch, upstream=number, position=position, never=number in blocked))
        self.tx.flush()

    def upstream(self, numbers: Iterable[BranchNumber]) -> Edges:
        """What each branch directly derives from, in order."""
        return self._pairs(_UPSTREAM, numbers)

    def downstream(self, numbers: Iterable[BranchNumber], *, propagating: bool = False) -> Edges:
        """What directly derives from each branch; only along edges that propagate, when asked."""
        return self._pairs(_PROPAGATING if propagating else _DOWNSTREAM, numbers)

    def never(self, numbers: Iterable[BranchNumber]) -> Edges:
        """The upstream ends of edges that do not propagate, for each downstream branch."""
        found: Edges = {}
        for some in _batches(numbers):
            rows = select(BranchEdgeRow.downstream, BranchEdgeRow.upstream).where(
                BranchEdgeRow.downstream.in_(some), BranchEdgeRow.never.is_(True)
            )
            for here, there in self.tx.execute(rows.order_by(BranchEdgeRow.position)):
                found.setdefault(BranchNumber(here), []).append(BranchNumber(there))
        return found

    def of_repo(self, repo: RepoNumber) -> list[Branch]:
        """Oldest first."""
        rows = _BRANCHES.where(BranchRow.repo_number == repo).order_by(BranchRow.number)
        return [_branch_of(row) for row in self.tx.execute(rows)]

    def of_repos(self, repos: Sequence[RepoNumber]) -> Mapping[RepoNumber, list[BranchKey]]:
        """Keys of the branches of each repo, oldest first."""
        found: dict[RepoNumber, list[BranchKey]] = {}
        for some in _batches(repos):
            rows = _BRANCHES.where(BranchRow.repo_number.in_(some)).order_by(BranchRow.number)
            for branch in map(_branch_of, self.tx.execute(rows)):
                found.setdefault(branch.repo_number, []).append(branch.key)
        return found

    def listed(self, *, project: str = "", type: str = "") -> list[Branch]:
        """Branches of a project, or all, oldest first."""
        rows = _BRANCHES.order_by(BranchRow.number)
        if project:
            rows = rows.where(RepoRow.project == project)
        if type:
            rows = rows.where(RepoRow.type == type)
        return [_branch_of(row) for row in self.tx.execute(rows)]

    def _pairs(self, rows: Select[Any], numbers: Iterable[BranchNumber]) -> Edges:
        found: Edges = {}
        for some in _batches(numbers):
            for here, there in self.tx.execute(rows, {"numbers": some}):
                found.setdefault(here, []).append(there)
        return found


def one_at_a_time(tx: Session) -> None:
    """Let changes of the DAG follow one another, in the order of their commits' numbers; reading goes on.

    Changes of one DAG would only refuse each other's snapshots otherwise. SQLite has one writer in any case. Locking a
    table takes no snapshot, so what a first statement sees includes the change that was waited for, and a clock that is
    read now tells a later time. Again is no error.
    """
    if "one_at_a_time" in tx.info:
        return
    tx.connection()  # from here on SQLite's one writer is this transaction
    if tx.get_bind().dialect.name == "postgresql":
        tx.execute(text(f"LOCK TABLE {BranchRow.__tablename__} IN SHARE ROW EXCLUSIVE MODE"))
    tx.info["one_at_a_time"] = True


def _batches(numbers: Iterable[T]) -> Iterable[list[T]]:
    every = list(dict.fromkeys(numbers))
    return (every[start : start + SOME] for start in range(0, len(every), SOME))
