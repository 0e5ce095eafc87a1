"""Finding the commits that touched a file, newest first.

A commit is found when the file is another one in its tree than in the tree that it was built on; trees that are the
same are not opened. What a forgotten commit did counts for the one after it.
Elsewhere: when a search ends (servicers/refs/history.py).
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from sqlalchemy.orm import Session

from services.kit.storage.database import Database
from services.pfs.domain.commits import Commit, CommitNumber
from services.pfs.domain.errors import CommitOpen
from services.pfs.domain.files.paths import at, canonical
from services.pfs.domain.keys import CommitRef
from services.pfs.operations.dag.resolve import resolve_commit
from services.pfs.operations.files.read import Reading
from services.pfs.operations.files.tree_views import TreeView, Views
from services.pfs.storage.commits import CommitStore

PAGE = 50
Files = tuple[tuple[bytes, bytes], ...]
"""What is at a path: key and digest for each datum that wrote it."""


@dataclass(frozen=True, slots=True)
class Searched:
    """A commit that was looked at. found: whether it touched the file."""

    commit: Commit
    found: bool


async def searched(db: Database, views: Views, start: CommitRef, path: str) -> AsyncGenerator[Searched, None]:
    """`start` and its ancestors, one after the other. Raises what resolving raises, CommitOpen."""
    finder = _Finder(views, path)
    waiting = deque[Commit]()  # commits whose base is still to come
    at: CommitRef | CommitNumber | None = start
    while at is not None:
        page, at = await db.read(_chain, at)
        for commit in page:
            if not commit.error and not commit.forgotten:
                while waiting:
                    yield await finder.search(waiting.popleft(), commit)
            waiting.append(commit)
            if len(waiting) == 1 and commit.finished is None:
                raise CommitOpen(commit, commit.id)
    while waiting:
        yield await finder.search(waiting.popleft(), None)


def _chain(tx: Session, start: CommitRef | CommitNumber) -> tuple[list[Commit], CommitNumber | None]:
    """A commit and its next ancestors, and where to go on."""
    number = resolve_commit(tx, start).number if isinstance(start, CommitRef) else start
    found = CommitStore(tx).chain(number, PAGE)
    return found, found[-1].parent if found else None


class _Finder:
    def __init__(self, views: Views, path: str) -> None:
        self._views, self._span = views, at(canonical(path))
        self._seen: tuple[CommitNumber, Files] | None = None  # a base is most often the next one looked at

    async def search(self, commit: Commit, base: Commit | None) -> Searched:
        """Raises CommitOpen."""
        for each in (commit, base):
            if each is not None and each.finished is None:
                raise CommitOpen(each, each.id)
        if commit.forgotten:
            return Searched(commit, found=False)
        if base is not None and not commit.error and commit.root == base.root:
            return Searched(commit, found=False)
        mine = await self._files(commit)
        theirs = () if base is None else await self._files(base)
        return Searched(commit, mine != theirs)

    async def _files(self, commit: Commit) -> Files:
        if self._seen is None or self._seen[0] != commit.number:
            view = await self._views.open(CommitRef(commit.repo, commit.id))
            self._seen = commit.number, await asyncio.to_thread(self._read, view)
        return self._seen[1]

    def _read(self, view: TreeView) -> Files:
        return tuple((row.key, row.digest) for row in Reading(view).rows(*self._span))
