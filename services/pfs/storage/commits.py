"""Rows of commits and of the edges between them, inside the caller's transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, delete, func, literal, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from services.pfs.domain.commits import BranchNumber, Commit, CommitNumber, Origin, RepoNumber
from services.pfs.domain.keys import RepoKey
from services.pfs.storage.tables import BranchRow, CommitEdgeRow, CommitRow, RepoRow

SOME = 500  # numbers in one IN list: every database takes that many


@dataclass(frozen=True)
class CommitStore:
    """Commits; never commits the transaction."""

    tx: Session

    def get(self, number: CommitNumber) -> Commit | None:
        row = self.tx.get(CommitRow, number)
        return row.to_domain() if row else None

    def row(self, number: CommitNumber) -> CommitRow:
        """The row itself, to change it. The commit must exist."""
        return self.tx.get_one(CommitRow, number)

    def find(self, repo: RepoNumber, id: str) -> Commit | None:
        """The commit of a set in a repo: there is at most one."""
        row = self.tx.scalars(select(CommitRow).where(CommitRow.repo_number == repo, CommitRow.id == id)).first()
        return row.to_domain() if row else None

    def many(self, numbers: Iterable[CommitNumber]) -> dict[CommitNumber, Commit]:
        """Those that exist, by number."""
        found: dict[CommitNumber, Commit] = {}
        for some in _batches(numbers):
            for row in self.tx.scalars(select(CommitRow).where(CommitRow.number.in_(some))):
                found[CommitNumber(row.number)] = row.to_domain()
        return found

    def of_set(self, id: str) -> list[Commit]:
        """Commits of a set, in the order of creation."""
        rows = self.tx.scalars(select(CommitRow).where(CommitRow.id == id).order_by(CommitRow.number))
        return [row.to_domain() for row in rows]

    def add(
        self,
        *,
        repo: RepoNumber,
        id: str,
        branch: BranchNumber | None,
        parent: CommitNumber | None,
        origin: Origin,
        description: str,
        now: datetime,
        closed: bool,
    ) -> Commit:
        """A new commit; closed means FINISHED at once with an empty tree."""
        # Commits of a repo get their numbers one transaction after the other, so that a listener's cursor skips none.
        self.tx.execute(select(RepoRow.number).where(RepoRow.number == repo).with_for_update())
        end = now if closed else None
        row = CommitRow(
            repo_number=repo,
            id=id,
            branch_number=branch,
            parent=parent,
            origin=int(origin),
            description=description,
            started=now,
            finishing=end,
            finished=end,
            error="",
            size_bytes=0,
            compacting_us=0,
            validating_us=0,
            pairs={},
            created_by="",
            created_at=now,
            updated_at=now,
        )
        self.tx.add(row)
        self.tx.flush()
        return row.to_domain()

    def set_provenance(self, commit: CommitNumber, upstream: Sequence[CommitNumber]) -> None:
        """Replace what a commit was made from, in this order."""
        wanted = list(dict.fromkeys(upstream))
        before = self.upstream([commit]).get(commit, [])
        if before == wanted:
            return
        if before:
            self.tx.execute(delete(CommitEdgeRow).where(CommitEdgeRow.downstream == commit))
        for position, number in enumerate(wanted):
            self.tx.add(CommitEdgeRow(downstream=commit, upstream=number, position=position))
        self.tx.flush()

    def upstream(self, numbers: Iterable[CommitNumber]) -> dict[CommitNumber, list[CommitNumber]]:
        """What each commit was directly made from, in order."""
        return self._edges(numbers, CommitEdgeRow.downstream, CommitEdgeRow.upstream)

    def downstream(self, numbers: Iterable[CommitNumber]) -> dict[CommitNumber, list[CommitNumber]]:
        """What was directly made from each commit."""
        return self._edges(numbers, CommitEdgeRow.upstream, CommitEdgeRow.downstream)

    def children(self, numbers: Iterable[CommitNumber]) -> dict[CommitNumber, list[CommitNumber]]:
        """The commits whose parent each is."""
        found: dict[CommitNumber, list[CommitNumber]] = {}
        for some in _batches(numbers):
            rows = select(CommitRow.parent, CommitRow.number).where(CommitRow.parent.in_(some))
            for parent, number in self.tx.execute(rows.order_by(CommitRow.number)):
                if parent is not None:
                    found.setdefault(CommitNumber(parent), []).append(CommitNumber(number))
        return found

    def ancestor(self, start: CommitNumber, steps: int) -> CommitNumber | None:
        """`steps` parents back, in one query whose cost grows with the steps; None beyond the root."""
        chain = (
            select(CommitRow.number.label("number"), CommitRow.parent.label("parent"), literal(0).label("depth"))
            .where(CommitRow.number == start)
            .cte("chain", recursive=True)
        )
        older = aliased(CommitRow)
        chain = chain.union_all(
            select(older.number, older.parent, chain.c.depth + 1).where(
                older.number == chain.c.parent, chain.c.depth < steps
            )
        )
        found = self.tx.scalar(select(chain.c.number).where(chain.c.depth == steps))
        return None if found is None else CommitNumber(found)

    def chain_length(self, start: CommitNumber) -> int:
        """How many commits there are from `start` to its root, both included."""
        chain = (
            select(CommitRow.parent.label("parent"), literal(1).label("length"))
            .where(CommitRow.number == start)
            .cte("chain", recursive=True)
        )
        older = aliased(CommitRow)
        chain = chain.union_all(select(older.parent, chain.c.length + 1).where(older.number == chain.c.parent))
        return self.tx.scalar(select(func.max(chain.c.length))) or 0

    def in_repo_among(self, numbers: Iterable[CommitNumber], repo: RepoKey) -> CommitNumber | None:
        """The newest of these commits that is in `repo`."""
        best: CommitNumber | None = None
        for some in _batches(numbers):
            found = self.tx.scalar(
                select(func.max(CommitRow.number))
                .join(RepoRow, RepoRow.number == CommitRow.repo_number)
                .where(CommitRow.number.in_(some), *_is_repo(repo))
            )
            if found is not None and (best is None or found > best):
                best = CommitNumber(found)
        return best

    def reparent(self, old: CommitNumber, new: CommitNumber | None) -> None:
        """Children of `old` become children of `new`."""
        self.tx.execute(update(CommitRow).where(CommitRow.parent == old).values(parent=new))

    def remove(self, number: CommitNumber) -> None:
        """Delete a commit that has no children and no branch points at; what belongs to it goes with it."""
        row = self.row(number)
        self.tx.flush()
        self.tx.execute(delete(CommitRow).where(CommitRow.number == number))
        self.tx.expunge(row)

    def remove_all(self, repo: RepoNumber) -> None:
        """Delete every commit of a repo."""
        self.tx.flush()
        self.tx.execute(delete(CommitRow).where(CommitRow.repo_number == repo))
        self.tx.expire_all()

    def unfinished_of(self, repo: RepoNumber) -> list[Commit]:
        """Commits of a repo that are not FINISHED."""
        rows = select(CommitRow).where(CommitRow.repo_number == repo, CommitRow.finished.is_(None))
        return [row.to_domain() for row in self.tx.scalars(rows)]

    def branches_at(self, head: CommitNumber) -> list[BranchRow]:
        """Branches whose head is this commit, oldest first."""
        rows = select(BranchRow).where(BranchRow.head == head).order_by(BranchRow.number)
        return list(self.tx.scalars(rows))

    def _edges(self, numbers: Iterable[CommitNumber], near: "_Column", far: "_Column") -> "_Edges":
        found: dict[CommitNumber, list[CommitNumber]] = {}
        for some in _batches(numbers):
            rows = select(near, far).where(near.in_(some)).order_by(near, CommitEdgeRow.position, far)
            for here, there in self.tx.execute(rows):
                found.setdefault(CommitNumber(here), []).append(CommitNumber(there))
        return found


_Column = InstrumentedAttribute[int]
_Edges = dict[CommitNumber, list[CommitNumber]]


def _is_repo(repo: RepoKey) -> tuple[ColumnElement[bool], ...]:
    return RepoRow.project == repo.project, RepoRow.name == repo.name, RepoRow.type == repo.type


def _batches(numbers: Iterable[CommitNumber]) -> Iterable[list[CommitNumber]]:
    every = list(dict.fromkeys(numbers))
    return (every[start : start + SOME] for start in range(0, len(every), SOME))
