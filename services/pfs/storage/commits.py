"""Rows of commits and of the edges between them, inside the caller's transaction.

The statements that every change runs are made once, of plain columns: SQLAlchemy finds their SQL instead of compiling
it, and no rows are tracked.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, delete, exists, func, insert, literal, select, update
from sqlalchemy.orm import Session, aliased

from services.pfs.domain.commits import Branch, BranchNumber, Commit, CommitNumber, Origin, RepoNumber
from services.pfs.domain.keys import USER, RepoKey
from services.pfs.storage.collection.graves import bury_commits
from services.pfs.storage.commit_rows import COMMITS, commit_of, root_columns
from services.pfs.storage.content.content_tables import LayerRow
from services.pfs.storage.tables import BranchRow, CommitEdgeRow, CommitRow, RepoRow, table

SOME = 500  # numbers in one IN list: every database takes that many
_COMMIT, _EDGE, _REPO, _BRANCH = table(CommitRow), table(CommitEdgeRow), table(RepoRow), table(BranchRow)

_BY_NUMBER = COMMITS.where(_COMMIT.c.number == bindparam("number"))
_BY_NUMBERS = COMMITS.where(_COMMIT.c.number.in_(bindparam("numbers", expanding=True)))
_BY_ID = COMMITS.where(_COMMIT.c.repo_number == bindparam("repo"), _COMMIT.c.id == bindparam("id"))
_OF_REPO = COMMITS.where(
    _COMMIT.c.id == bindparam("id"),
    _REPO.c.project == bindparam("project"),
    _REPO.c.name == bindparam("repo"),
    _REPO.c.type == bindparam("type"),
)
_OF_SET = COMMITS.where(_COMMIT.c.id == bindparam("id")).order_by(_COMMIT.c.number)
_CLOSED = COMMITS.where(_COMMIT.c.finished.is_(None), _COMMIT.c.finishing.is_not(None)).order_by(_COMMIT.c.number)
_OPEN_OUTPUTS = (
    select(_REPO.c.project, _REPO.c.name)
    .join(_COMMIT, _COMMIT.c.repo_number == _REPO.c.number)
    .where(_COMMIT.c.finished.is_(None), _COMMIT.c.finishing.is_(None), _COMMIT.c.origin == int(Origin.AUTO))
    .where(_REPO.c.type == USER)
    .distinct()
    .order_by(_REPO.c.project, _REPO.c.name)
)
_PARENT = _COMMIT.alias("older")
_WAITING = (
    exists()
    .where(_PARENT.c.number == _COMMIT.c.parent, _PARENT.c.finished.is_(None), _PARENT.c.error == "")
    .where(_COMMIT.c.error == "")
)
_CHILDREN = (
    select(_COMMIT.c.parent, _COMMIT.c.number)
    .where(_COMMIT.c.parent.in_(bindparam("numbers", expanding=True)))
    .order_by(_COMMIT.c.number)
)
_ADD = insert(_COMMIT).returning(_COMMIT.c.number)
_CHANGE = update(_COMMIT).where(_COMMIT.c.number == bindparam("changed"))


def _edges(near: str, far: str) -> Select[Any]:
    here, there = _EDGE.c[near], _EDGE.c[far]
    rows = select(here, there).where(here.in_(bindparam("numbers", expanding=True)))
    return rows.order_by(here, _EDGE.c.position, there)


_UPSTREAM, _DOWNSTREAM = _edges("downstream", "upstream"), _edges("upstream", "downstream")


def _bases() -> Select[Any]:
    wanted = _COMMIT.c.number.in_(bindparam("numbers", expanding=True))
    chain = select(_COMMIT.c.number.label("start"), _COMMIT.c.parent.label("at")).where(wanted)
    passed = chain.cte("passed", recursive=True)
    passed = passed.union_all(
        select(passed.c.start, _PARENT.c.parent).where(_PARENT.c.number == passed.c.at, _PARENT.c.error != "")
    )
    return COMMITS.add_columns(passed.c.start).where(_COMMIT.c.number == passed.c.at, _COMMIT.c.error == "")


_BASES = _bases()


@dataclass(frozen=True)
class CommitStore:
    """Commits; never commits the transaction."""

    tx: Session

    def get(self, number: CommitNumber) -> Commit | None:
        row = self.tx.execute(_BY_NUMBER, {"number": number}).first()
        return commit_of(row) if row else None

    def find(self, repo: RepoNumber, id: str) -> Commit | None:
        """The commit of a set in a repo: there is at most one."""
        row = self.tx.execute(_BY_ID, {"repo": repo, "id": id}).first()
        return commit_of(row) if row else None

    def of_repo(self, repo: RepoKey, id: str) -> Commit | None:
        """Like `find`, by the repo's key; None too when there is no such repo."""
        wanted = {"id": id, "project": repo.project, "repo": repo.name, "type": repo.type}
        row = self.tx.execute(_OF_REPO, wanted).first()
        return commit_of(row) if row else None

    def many(self, numbers: Iterable[CommitNumber]) -> dict[CommitNumber, Commit]:
        """Those that exist, by number."""
        found: dict[CommitNumber, Commit] = {}
        for some in _batches(numbers):
            for commit in map(commit_of, self.tx.execute(_BY_NUMBERS, {"numbers": some})):
                found[commit.number] = commit
        return found

    def of_set(self, id: str) -> list[Commit]:
        """Commits of a set, in the order of creation."""
        return [commit_of(row) for row in self.tx.execute(_OF_SET, {"id": id})]

    def repos_with_open_outputs(self) -> list[RepoKey]:
        """The user repos with commits that were opened for what is upstream of them, and are not closed."""
        rows = self.tx.execute(_OPEN_OUTPUTS)
        return [RepoKey(row.project, row.name) for row in rows]

    def closed(self) -> list[Commit]:
        """Commits that are FINISHING, oldest first."""
        return [commit_of(row) for row in self.tx.execute(_CLOSED)]

    def closed_on_finished(self, most: int) -> tuple[list[Commit], bool]:
        """The oldest of them whose parent is not FINISHING, or is errored; and whether others wait for theirs."""
        found = [commit_of(row) for row in self.tx.execute(_CLOSED.where(~_WAITING).limit(most))]
        waiting = self.tx.execute(_CLOSED.where(_WAITING).limit(1)).first() is not None
        return found, waiting or len(found) == most

    def add(
        self,
        *,
        id: str,
        branch: Branch,
        parent: CommitNumber | None,
        origin: Origin,
        description: str,
        now: datetime,
        finishing: datetime | None,
        finished: datetime | None,
    ) -> Commit:
        """A new commit on a branch; one that is FINISHED at once has an empty tree.

        Called by one change at a time, so that a listener's cursor, which is a number, skips none.
        """
        values = {
            "repo_number": branch.repo_number,
            "id": id,
            "branch_number": branch.number,
            "parent": parent,
            "origin": int(origin),
            "description": description,
            "started": now,
            "finishing": finishing,
            "finished": finished,
            "created_at": now,
            "updated_at": now,
        }
        number = self.tx.execute(_ADD, values).scalar_one()
        return Commit(
            number=CommitNumber(number),
            repo=branch.key.repo,
            repo_number=branch.repo_number,
            id=id,
            branch=branch.key.name,
            branch_number=branch.number,
            parent=parent,
            origin=origin,
            description=description,
            started=now,
            finishing=finishing,
            finished=finished,
            created_at=now,
            updated_at=now,
        )

    def close(self, commit: Commit) -> None:
        """Keep what FinishCommit changed of a commit."""
        values = {"description": commit.description, "error": commit.error, "finishing": commit.finishing}
        self.tx.execute(_CHANGE, {"changed": commit.number, "updated_at": commit.updated_at, **values})

    def finish(self, commit: Commit) -> None:
        """Keep what finishing made of a commit."""
        values = {
            "changed": commit.number,
            **root_columns(commit.root),
            "size_bytes": commit.size_bytes,
            "error": commit.error,
            "compacting_us": commit.compacting // timedelta(microseconds=1),
            "validating_us": commit.validating // timedelta(microseconds=1),
            "finished": commit.finished,
            "updated_at": commit.updated_at,
        }
        self.tx.execute(_CHANGE, values)

    def forget(self, number: CommitNumber, now: datetime) -> None:
        """Let go of a commit's tree and layers."""
        bury_commits(self.tx, CommitRow.number == number)
        self.tx.execute(delete(table(LayerRow)).where(LayerRow.commit == number))
        self.tx.execute(_CHANGE, {"changed": number, **root_columns(None), "forgotten": True, "updated_at": now})

    def forgotten_heads(self) -> bool:
        """Whether a branch points at a commit whose data is gone."""
        rows = select(BranchRow.number).join(CommitRow, CommitRow.number == BranchRow.head)
        return self.tx.scalar(rows.where(CommitRow.forgotten.is_(True)).limit(1)) is not None

    def add_provenance(self, made: Mapping[CommitNumber, Sequence[CommitNumber]]) -> None:
        """Say what new commits were made from, each in its order."""
        rows = [
            {"downstream": commit, "upstream": number, "position": position}
            for commit, upstream in made.items()
            for position, number in enumerate(dict.fromkeys(upstream))
        ]
        if rows:
            self.tx.execute(insert(_EDGE), rows)

    def set_provenance(self, commit: CommitNumber, upstream: Sequence[CommitNumber]) -> None:
        """Replace what a commit was made from, in this order."""
        wanted = list(dict.fromkeys(upstream))
        before = self.upstream([commit]).get(commit, [])
        if before == wanted:
            return
        if before:
            self.tx.execute(delete(CommitEdgeRow).where(CommitEdgeRow.downstream == commit))
        self.add_provenance({commit: wanted})

    def upstream(self, numbers: Iterable[CommitNumber]) -> dict[CommitNumber, list[CommitNumber]]:
        """What each commit was directly made from, in order."""
        return self._pairs(_UPSTREAM, numbers)

    def downstream(self, numbers: Iterable[CommitNumber]) -> dict[CommitNumber, list[CommitNumber]]:
        """What was directly made from each commit."""
        return self._pairs(_DOWNSTREAM, numbers)

    def children(self, numbers: Iterable[CommitNumber]) -> dict[CommitNumber, list[CommitNumber]]:
        """The commits whose parent each is."""
        return self._pairs(_CHILDREN, numbers)

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

    def chain(self, start: CommitNumber, most: int) -> list[Commit]:
        """A commit and its ancestors, nearest first, at most so many."""
        first = select(CommitRow.number, CommitRow.parent, literal(1).label("length")).where(CommitRow.number == start)
        chain = first.cte("chain", recursive=True)
        older = aliased(CommitRow)
        chain = chain.union_all(
            select(older.number, older.parent, chain.c.length + 1).where(
                older.number == chain.c.parent, chain.c.length < most
            )
        )
        numbers = [CommitNumber(number) for number in self.tx.scalars(select(chain.c.number).order_by(chain.c.length))]
        known = self.many(numbers)
        return [known[number] for number in numbers]

    def bases(self, numbers: Iterable[CommitNumber]) -> dict[CommitNumber, Commit]:
        """The nearest ancestor of each of these commits that is not errored, where there is one."""
        return {
            CommitNumber(row.start): commit_of(row)
            for some in _batches(numbers)
            for row in self.tx.execute(_BASES, {"numbers": some})
        }

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
        self.tx.flush()
        bury_commits(self.tx, CommitRow.number == number)
        self.tx.execute(delete(CommitRow).where(CommitRow.number == number))

    def remove_all(self, repo: RepoNumber) -> None:
        """Delete every commit of a repo."""
        self.tx.flush()
        bury_commits(self.tx, CommitRow.repo_number == repo)
        self.tx.execute(delete(CommitRow).where(CommitRow.repo_number == repo))
        self.tx.expire_all()

    def unfinished_of(self, repo: RepoNumber) -> list[Commit]:
        """Commits of a repo that are not FINISHED."""
        rows = COMMITS.where(CommitRow.repo_number == repo, CommitRow.finished.is_(None))
        return [commit_of(row) for row in self.tx.execute(rows)]

    def branches_at(self, head: CommitNumber) -> list[BranchNumber]:
        """Branches whose head is this commit, oldest first."""
        rows = select(BranchRow.number).where(BranchRow.head == head).order_by(BranchRow.number)
        return [BranchNumber(number) for number in self.tx.scalars(rows)]

    def _pairs(self, rows: Select[Any], numbers: Iterable[CommitNumber]) -> dict[CommitNumber, list[CommitNumber]]:
        found: dict[CommitNumber, list[CommitNumber]] = {}
        for some in _batches(numbers):
            for here, there in self.tx.execute(rows, {"numbers": some}):
                found.setdefault(here, []).append(there)
        return found


def _is_repo(repo: RepoKey) -> tuple[ColumnElement[bool], ...]:
    return RepoRow.project == repo.project, RepoRow.name == repo.name, RepoRow.type == repo.type


def _batches(numbers: Iterable[CommitNumber]) -> Iterable[list[CommitNumber]]:
    every = list(dict.fromkeys(numbers))
    return (every[start : start + SOME] for start in range(0, len(every), SOME))
