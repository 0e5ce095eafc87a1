"""The commit and commit set methods of pfs_v2.API.

Waits listen first, then read: news says "look", the database says what happened.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, timedelta

from google.protobuf.empty_pb2 import Empty
from sqlalchemy.orm import Session

from datamill.wire import pfs_v2_pb2 as pfs
from services.kit.bus import Listener
from services.kit.server import Context
from services.pfs.domain.commits import Commit, CommitNumber, CommitView, Origin
from services.pfs.domain.errors import CommitDeleted, CommitSetNotFound, Malformed
from services.pfs.domain.keys import CommitRef, RepoKey
from services.pfs.operations import listing
from services.pfs.operations.commits import start_commit
from services.pfs.operations.delete_commits import delete_one, delete_set
from services.pfs.operations.finish import close_and_see
from services.pfs.operations.listing import Filter
from services.pfs.operations.resolve import resolve_commit
from services.pfs.operations.views import commit_view
from services.pfs.servicers import from_wire, to_wire
from services.pfs.servicers.base import Rpcs
from services.pfs.storage.commits import CommitStore

LOOK_AGAIN = timedelta(seconds=2)
PROGRESS = ("pfs.commit.*", "pfs.repo.deleted")


class CommitRpcs(Rpcs):
    """One commit at a time."""

    async def StartCommit(self, request: pfs.StartCommitRequest, context: Context) -> pfs.Commit:
        branch = from_wire.branch_key(request.branch) if request.HasField("branch") else None
        parent = parent_of(request)
        commit = await self.change(start_commit, branch, parent=parent, description=request.description)
        return to_wire.bare_commit(commit.ref)

    async def FinishCommit(self, request: pfs.FinishCommitRequest, context: Context) -> Empty:
        ref = from_wire.some_commit(request.commit, request.HasField("commit"))
        work = await self.change(
            close_and_see, ref, description=request.description, error=request.error, force=request.force
        )
        if work is not None:
            self.closed(work)
        return Empty()

    async def InspectCommit(self, request: pfs.InspectCommitRequest, context: Context) -> pfs.CommitInfo:
        ref = from_wire.some_commit(request.commit, request.HasField("commit"))
        if request.wait <= pfs.CommitState.STARTED:
            return to_wire.commit_info(await self.db.read(_inspected, ref))
        async with self.bus.listen(*PROGRESS) as news:
            seen = await self.db.read(_resolved, ref, request.wait)
            return to_wire.commit_info(await self._followed(seen, request.wait, news))

    async def _reached(self, commit: Commit, state: int) -> CommitView:
        """The commit once it is in `state`. Raises CommitDeleted."""
        async with self.bus.listen(*PROGRESS) as news:
            return await self._followed(await self.db.read(_progress, commit, state), state, news)

    async def _followed(self, seen: "Progress", state: int, news: Listener) -> CommitView:
        view, awaited = seen
        while awaited:
            commit = view.commit
            await news_of(news, {*awaited, commit.key, commit.repo.full})
            view, awaited = await self.db.read(_progress, commit, state)
        return view

    async def ListCommit(self, request: pfs.ListCommitRequest, context: Context) -> AsyncIterator[pfs.CommitInfo]:
        left = request.number or -1
        async for view in self._listed(request):
            yield to_wire.commit_info(view)
            left -= 1
            if left == 0:
                return

    async def _listed(self, request: pfs.ListCommitRequest) -> AsyncIterator[CommitView]:
        repo: RepoKey | None = from_wire.some_repo(request.repo, request.HasField("repo"))
        assert repo is not None
        if request.HasField("to") or request.HasField("from"):
            async for view in self._chain(request, repo):
                yield view
            return
        started = request.started_time.ToDatetime(tzinfo=UTC) if request.HasField("started_time") else None
        wanted = Filter(
            repo=repo if repo.name else None, origin=_origin(request), started=started, reverse=request.reverse
        )
        after: CommitNumber | None = None
        while page := await self.db.read(listing.view_page, wanted, after):
            for view in page:
                yield view
            after = page[-1].commit.number

    async def _chain(self, request: pfs.ListCommitRequest, repo: RepoKey) -> AsyncIterator[CommitView]:
        if not request.HasField("to"):
            raise Malformed("cannot use `from` commit without `to` commit")
        if request.reverse:
            raise Malformed("cannot use 'Reverse' while also using 'From' or 'To'")
        stop = from_wire.commit_ref(getattr(request, "from")) if request.HasField("from") else None
        to: CommitRef | CommitNumber | None = from_wire.commit_ref(request.to)
        origin = _origin(request)
        while to is not None:
            page = await self.db.read(listing.chain_page, to, stop, repo)
            for view in page:
                if origin is None or view.commit.origin is origin:
                    yield view
            to = page[-1].commit.parent if len(page) == listing.PAGE else None

    async def SubscribeCommit(
        self, request: pfs.SubscribeCommitRequest, context: Context
    ) -> AsyncIterator[pfs.CommitInfo]:
        repo = from_wire.some_repo(request.repo, request.HasField("repo"))
        after: CommitNumber | None = None
        if request.HasField("from"):
            start = await self.db.read(resolve_commit, from_wire.commit_ref(getattr(request, "from")))
            if start.repo != repo:
                raise Malformed(f"the `from` commit needs to be from repo {repo}")
            after = start.number
        wanted = Filter(repo=repo, origin=_origin(request), branch=request.branch, reverse=True)
        async with self.bus.listen(*PROGRESS) as news:
            while True:
                page = await self.db.read(listing.commit_page, wanted, after)
                for commit in page:
                    try:
                        view = await self._reached(commit, request.state)
                    except CommitDeleted:
                        view = None
                    if view is not None:
                        yield to_wire.commit_info(view)
                    after = commit.number
                if not page:
                    await news_of(news, {repo.full}, prefix=f"{repo.full}@")

    async def SquashCommit(self, request: pfs.SquashCommitRequest, context: Context) -> pfs.SquashCommitResponse:
        ref = from_wire.some_commit(request.commit, request.HasField("commit"))
        await self.change(delete_one, ref, recursive=request.recursive, squash=True)
        return pfs.SquashCommitResponse()

    async def DropCommit(self, request: pfs.DropCommitRequest, context: Context) -> pfs.DropCommitResponse:
        ref = from_wire.some_commit(request.commit, request.HasField("commit"))
        await self.change(delete_one, ref, recursive=request.recursive, squash=False)
        return pfs.DropCommitResponse()


def parent_of(request: pfs.StartCommitRequest) -> CommitRef | None:
    """A parent is in the branch's repo, whatever repo it names."""
    if not request.HasField("parent"):
        return None
    repo = from_wire.repo_key(request.branch.repo)
    return CommitRef(repo, request.parent.id, request.parent.branch.name)


def _origin(request: pfs.ListCommitRequest | pfs.SubscribeCommitRequest) -> Origin | None:
    return Origin(request.origin_kind) if request.origin_kind and not request.all else None


def _inspected(tx: Session, ref: CommitRef) -> CommitView:
    return commit_view(tx, resolve_commit(tx, ref))


Progress = tuple[CommitView, set[str]]
"""A commit, and the keys of what it waits for: none once it is in the state that is asked for."""


def _resolved(tx: Session, ref: CommitRef, state: int) -> Progress:
    return _progress_of(tx, resolve_commit(tx, ref), state)


def _progress(tx: Session, commit: Commit, state: int) -> Progress:
    """Raises CommitDeleted."""
    now = CommitStore(tx).get(commit.number)
    if now is None:
        raise CommitDeleted(commit)
    return _progress_of(tx, now, state)


def _progress_of(tx: Session, commit: Commit, state: int) -> Progress:
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


class CommitSetRpcs(CommitRpcs):
    """All commits of one change."""

    async def InspectCommitSet(
        self, request: pfs.InspectCommitSetRequest, context: Context
    ) -> AsyncIterator[pfs.CommitInfo]:
        id = from_wire.commit_set(request.commit_set, request.HasField("commit_set"))
        views = await self.db.read(listing.set_view, id)
        if not request.wait:
            for view in views:
                yield to_wire.commit_info(view)
            return
        for view in views:
            if view.commit.finished is not None:
                yield to_wire.commit_info(view)
        for view in views:
            if view.commit.finished is None:
                yield to_wire.commit_info(await self._reached(view.commit, pfs.CommitState.FINISHED))

    async def ListCommitSet(
        self, request: pfs.ListCommitSetRequest, context: Context
    ) -> AsyncIterator[pfs.CommitSetInfo]:
        project = from_wire.project_name(request.project) if request.HasField("project") else ""
        seen, after = set[str](), None
        while True:
            ids, after = await self.db.read(listing.set_page, project, after)
            for id in ids:
                if id not in seen:
                    seen.add(id)
                    try:
                        views = await self.db.read(listing.set_view, id)
                    except CommitSetNotFound:  # deleted since its page was read
                        continue
                    infos = map(to_wire.commit_info, views)
                    yield pfs.CommitSetInfo(commit_set=pfs.CommitSet(id=id), commits=infos)
            if after is None:
                return

    async def SquashCommitSet(self, request: pfs.SquashCommitSetRequest, context: Context) -> Empty:
        id = from_wire.commit_set(request.commit_set, request.HasField("commit_set"))
        await self.change(delete_set, id, squash=True)
        return Empty()

    async def DropCommitSet(self, request: pfs.DropCommitSetRequest, context: Context) -> Empty:
        id = from_wire.required_set(request.commit_set, request.HasField("commit_set"))
        await self.change(delete_set, id, squash=False)
        return Empty()
