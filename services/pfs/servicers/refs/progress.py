"""Waiting for a commit to reach a state.

Waits listen first, then read: news says "look", the database says what happened.
"""

import asyncio
from datetime import timedelta

from sqlalchemy.orm import Session

from datamill.wire import pfs_v2_pb2 as pfs
from services.kit.bus import Bus, Listener
from services.kit.storage.database import Database
from services.pfs.domain.commits import Commit, CommitView
from services.pfs.domain.errors import CommitDeleted
from services.pfs.domain.keys import CommitRef
from services.pfs.operations.dag.resolve import resolve_commit
from services.pfs.operations.refs.views import commit_view
from services.pfs.storage.commits import CommitStore

LOOK_AGAIN = timedelta(seconds=2)
PROGRESS = ("pfs.commit.*", "pfs.repo.deleted")

Progress = tuple[CommitView, set[str]]
"""A commit, and the keys of what it waits for: none once it is in the state that is asked for."""


async def reached(db: Database, bus: Bus, commit: Commit, state: int) -> CommitView:
    """The commit once it is in `state`. Raises CommitDeleted."""
    async with bus.listen(*PROGRESS) as news:
        return await followed(db, await db.read(_again, commit, state), state, news)


async def followed(db: Database, seen: Progress, state: int, news: Listener) -> CommitView:
    """The same for who listens already and has looked. Raises CommitDeleted."""
    view, awaited = seen
    while awaited:
        commit = view.commit
        await news_of(news, {*awaited, commit.key, commit.repo.full})
        view, awaited = await db.read(_again, commit, state)
    return view


def progress_towards(tx: Session, ref: CommitRef, state: int) -> Progress:
    """How far a commit is. Raises what resolving it raises."""
    return _of(tx, resolve_commit(tx, ref), state)


def _again(tx: Session, commit: Commit, state: int) -> Progress:
    """Raises CommitDeleted."""
    now = CommitStore(tx).get(commit.number)
    if now is None:
        raise CommitDeleted(commit)
    return _of(tx, now, state)


def _of(tx: Session, commit: Commit, state: int) -> Progress:
    commits = CommitStore(tx)
    awaited = set[str]()
    if state == pfs.CommitState.READY:
        above = commits.many(commits.upstream([commit.number]).get(commit.number, ()))
        awaited = {cause.key for cause in above.values() if cause.finished is None}
    elif state > pfs.CommitState.READY and commit.finished is None:
        awaited = {commit.key}
    return (_bare(commit) if awaited else commit_view(tx, commit)), awaited


async def news_of(news: Listener, keys: set[str], prefix: str = "\0") -> None:
    """Return at the first news of one of `keys`, or of a key with this prefix, or when it is time to look anyway."""
    loop = asyncio.get_running_loop()
    end = loop.time() + LOOK_AGAIN.total_seconds()
    while (left := end - loop.time()) > 0:
        one = await news.wait(timedelta(seconds=left))
        if one is None or one.key in keys or one.key.startswith(prefix):
            return


def _bare(commit: Commit) -> CommitView:
    return CommitView(commit=commit, parent=None, children=(), provenance=(), subvenance=())
