"""Rows of branches and of the edges between them, inside the caller's transaction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from services.pfs.domain.commits import Branch, BranchNumber, CommitNumber, RepoNumber
from services.pfs.domain.keys import BranchKey
from services.pfs.storage.tables import BranchEdgeRow, BranchRow, RepoRow

SOME = 500
Edges = dict[BranchNumber, list[BranchNumber]]


@dataclass(frozen=True)
class BranchStore:
    """Branches; never commits the transaction."""

    tx: Session

    def get(self, number: BranchNumber) -> Branch | None:
        row = self.tx.get(BranchRow, number)
        return row.to_domain() if row else None

    def find(self, key: BranchKey) -> Branch | None:
        rows = (
            select(BranchRow)
            .join(RepoRow, RepoRow.number == BranchRow.repo_number)
            .where(
                RepoRow.project == key.repo.project,
                RepoRow.name == key.repo.name,
                RepoRow.type == key.repo.type,
                BranchRow.name == key.name,
            )
        )
        row = self.tx.scalars(rows).first()
        return row.to_domain() if row else None

    def many(self, numbers: Iterable[BranchNumber]) -> dict[BranchNumber, Branch]:
        """Those that exist, by number."""
        found: dict[BranchNumber, Branch] = {}
        for some in _batches(numbers):
            for row in self.tx.scalars(select(BranchRow).where(BranchRow.number.in_(some))):
                found[BranchNumber(row.number)] = row.to_domain()
        return found

    def add(self, repo: RepoNumber, name: str, now: datetime) -> Branch:
        """A new branch, whose head must be set before the transaction ends."""
        row = BranchRow(repo_number=repo, name=name, head=None, pairs={}, created_by="", created_at=now, updated_at=now)
        self.tx.add(row)
        self.tx.flush()
        return row.to_domain()

    def set_head(self, number: BranchNumber, head: CommitNumber, now: datetime) -> None:
        row = self.tx.get_one(BranchRow, number)
        row.head, row.updated_at = head, now
        self.tx.flush()

    def remove(self, number: BranchNumber) -> None:
        """Delete a branch and the edges that touch it; commits made on it stay, without a branch."""
        self.tx.flush()
        self.tx.execute(
            delete(BranchEdgeRow).where(or_(BranchEdgeRow.upstream == number, BranchEdgeRow.downstream == number))
        )
        self.tx.execute(delete(BranchRow).where(BranchRow.number == number))
        self.tx.expire_all()

    def clear_heads(self, repo: RepoNumber) -> None:
        """Let go of the commits of a repo that is about to be deleted."""
        self.tx.execute(update(BranchRow).where(BranchRow.repo_number == repo).values(head=None))

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
        found: Edges = {}
        for some in _batches(numbers):
            rows = select(BranchEdgeRow.downstream, BranchEdgeRow.upstream).where(BranchEdgeRow.downstream.in_(some))
            for here, there in self.tx.execute(rows.order_by(BranchEdgeRow.downstream, BranchEdgeRow.position)):
                found.setdefault(BranchNumber(here), []).append(BranchNumber(there))
        return found

    def downstream(self, numbers: Iterable[BranchNumber], *, propagating: bool = False) -> Edges:
        """What directly derives from each branch; only along edges that propagate, when asked."""
        found: Edges = {}
        for some in _batches(numbers):
            rows = select(BranchEdgeRow.upstream, BranchEdgeRow.downstream).where(BranchEdgeRow.upstream.in_(some))
            if propagating:
                rows = rows.where(BranchEdgeRow.never.is_(False))
            for here, there in self.tx.execute(rows.order_by(BranchEdgeRow.upstream, BranchEdgeRow.downstream)):
                found.setdefault(BranchNumber(here), []).append(BranchNumber(there))
        return found

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
        rows = select(BranchRow).where(BranchRow.repo_number == repo).order_by(BranchRow.number)
        return [row.to_domain() for row in self.tx.scalars(rows)]

    def of_repos(self, repos: Sequence[RepoNumber]) -> Mapping[RepoNumber, list[BranchKey]]:
        """Keys of the branches of each repo, oldest first."""
        found: dict[RepoNumber, list[BranchKey]] = {}
        rows = select(BranchRow).where(BranchRow.repo_number.in_(repos)).order_by(BranchRow.number)
        for row in self.tx.scalars(rows):
            found.setdefault(RepoNumber(row.repo_number), []).append(row.key)
        return found

    def listed(self, *, project: str = "", type: str = "") -> list[Branch]:
        """Branches of a project, or all, oldest first."""
        rows = select(BranchRow).join(RepoRow, RepoRow.number == BranchRow.repo_number).order_by(BranchRow.number)
        if project:
            rows = rows.where(RepoRow.project == project)
        if type:
            rows = rows.where(RepoRow.type == type)
        return [row.to_domain() for row in self.tx.scalars(rows)]


def _batches(numbers: Iterable[BranchNumber]) -> Iterable[list[BranchNumber]]:
    every = list(dict.fromkeys(numbers))
    return (every[start : start + SOME] for start in range(0, len(every), SOME))
