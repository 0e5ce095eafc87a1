"""Listing commits and commit sets, a page at a time.

Elsewhere: how a commit looks to clients (views.py); waiting for one (servicers/refs/commits.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.pfs.domain.commits import Commit, CommitNumber, CommitView, Origin
from services.pfs.domain.errors import CommitSetNotFound, Malformed
from services.pfs.domain.keys import CommitRef, RepoKey
from services.pfs.domain.walks import in_order
from services.pfs.operations.dag.resolve import find_repo, resolve_commit
from services.pfs.operations.refs.views import commit_views
from services.pfs.storage.commit_rows import COMMITS, commit_of
from services.pfs.storage.commits import CommitStore
from services.pfs.storage.tables import BranchRow, CommitRow, RepoRow

PAGE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which commits are wanted. repo None: of all repos. started: strictly before, or after when reverse."""

    repo: RepoKey | None
    origin: Origin | None = None
    branch: str = ""
    started: datetime | None = None
    reverse: bool = False


def commit_page(tx: Session, wanted: Filter, after: CommitNumber | None, limit: int = PAGE) -> list[Commit]:
    """The next commits in the order of the listing, beyond `after`. Raises RepoNotFound."""
    rows = COMMITS.order_by(CommitRow.number.asc() if wanted.reverse else CommitRow.number.desc())
    if wanted.repo is not None:
        rows = rows.where(CommitRow.repo_number == find_repo(tx, wanted.repo).number)
    if wanted.origin is not None:
        rows = rows.where(CommitRow.origin == int(wanted.origin))
    if wanted.branch:
        rows = rows.where(BranchRow.name == wanted.branch)
    if wanted.started is not None:
        earlier = CommitRow.started < wanted.started
        rows = rows.where(CommitRow.started > wanted.started if wanted.reverse else earlier)
    if after is not None:
        rows = rows.where(CommitRow.number > after if wanted.reverse else CommitRow.number < after)
    return [commit_of(row) for row in tx.execute(rows.limit(limit))]


def view_page(tx: Session, wanted: Filter, after: CommitNumber | None, limit: int = PAGE) -> list[CommitView]:
    """A page as clients see it, with estimated sizes."""
    return commit_views(tx, commit_page(tx, wanted, after, limit), sizes=True)


def chain_page(
    tx: Session, to: CommitRef | CommitNumber, stop: CommitRef | None, repo: RepoKey, limit: int = PAGE
) -> list[CommitView]:
    """`to` and its ancestors, newest first, up to but without `stop`. Raises Malformed, PickFailed."""
    end = None if stop is None else resolve_commit(tx, stop)
    commits = CommitStore(tx)
    number = resolve_commit(tx, to).number if isinstance(to, CommitRef) else to
    found = commits.chain(number, limit)
    for each in (*found[:1], end):
        if each is not None and each.repo != repo:
            raise Malformed(f"`from` and `to` commits need to be from repo {repo}")
    before = list(takewhile(lambda commit: end is None or commit.number != end.number, found))
    return commit_views(tx, before, sizes=True)


def set_members(tx: Session, id: str) -> list[Commit]:
    """The set's commits and the older ones they were made from, each after its causes. Raises CommitSetNotFound."""
    commits = CommitStore(tx)
    own = commits.of_set(id)
    if not own:
        raise CommitSetNotFound(id)
    known = {commit.number: commit for commit in own}
    causes: dict[CommitNumber, list[CommitNumber]] = {}
    frontier = list(known)
    while frontier:  # a level of the whole set is one question
        above = commits.upstream(frontier)
        causes.update(above)
        fresh = {number for numbers in above.values() for number in numbers} - known.keys()
        known.update(commits.many(fresh))
        frontier = list(fresh)
    ordered = in_order(sorted(known), lambda number: causes.get(number, ()))
    return [known[number] for number in ordered]


def set_view(tx: Session, id: str) -> list[CommitView]:
    """A commit set as clients see it. Raises CommitSetNotFound."""
    return commit_views(tx, set_members(tx, id))


def set_page(tx: Session, project: str, after: CommitNumber | None) -> tuple[list[str], CommitNumber | None]:
    """The next sets, ordered by their newest commit, and where the page after them begins."""
    rows = select(CommitRow.id, CommitRow.number).order_by(CommitRow.number.desc()).limit(PAGE)
    if project:
        rows = rows.join(RepoRow, RepoRow.number == CommitRow.repo_number).where(RepoRow.project == project)
    if after is not None:
        rows = rows.where(CommitRow.number < after)
    found: Sequence[tuple[str, int]] = [(id, number) for id, number in tx.execute(rows)]
    last = CommitNumber(found[-1][1]) if found else None
    return list(dict.fromkeys(id for id, _ in found)), last
