"""The commit methods of pfs_v2.API.

Elsewhere: waiting for a commit (progress.py); commit sets (commit_sets.py).
"""

from collections.abc import AsyncIterator
from datetime import datetime

from google.protobuf.empty_pb2 import Empty
from sqlalchemy.orm import Session

from datamill.wire import pfs_v2_pb2 as pfs
from services.kit.rpc.server import FINISHED_HEADER, Context
from services.kit.time.clock import fresh_id
from services.kit.time.times import time_of
from services.pfs.domain.commits import CommitNumber, CommitView, Origin
from services.pfs.domain.errors import CommitDeleted, Malformed
from services.pfs.domain.keys import CommitRef, RepoKey
from services.pfs.domain.names import FILESETS_REPO
from services.pfs.operations.dag.resolve import resolve_commit
from services.pfs.operations.files.filesets import checked_id
from services.pfs.operations.finishing.ahead import close_commit, foresee
from services.pfs.operations.refs import listing
from services.pfs.operations.refs.commits import start_commit
from services.pfs.operations.refs.delete_commits import delete_one
from services.pfs.operations.refs.listing import Filter
from services.pfs.operations.refs.views import commit_view
from services.pfs.servicers.base import Rpcs
from services.pfs.servicers.refs.progress import PROGRESS, followed, news_of, progress_towards, reached
from services.pfs.servicers.wire import from_wire, to_wire
from services.pfs.storage.content.filesets import FileSetStore


class CommitRpcs(Rpcs):
    """One commit at a time."""

    async def StartCommit(self, request: pfs.StartCommitRequest, context: Context) -> pfs.Commit:
        branch = from_wire.branch_key(request.branch) if request.HasField("branch") else None
        parent = parent_of(request)
        commit = await self.change(start_commit, branch, parent=parent, description=request.description)
        return to_wire.bare_commit(commit.ref)

    async def FinishCommit(self, request: pfs.FinishCommitRequest, context: Context) -> Empty:
        ref = from_wire.some_commit(request.commit, request.HasField("commit"))
        ahead = None if request.error else await self.built(await self.db.read(foresee, ref))
        work, finished = await self.db.run(
            close_commit, ref, ahead, id=fresh_id(), now=self.clock.now,
            description=request.description, error=request.error, force=request.force,
        )  # fmt: skip
        if work is not None:
            self.closed(work)
        if finished:
            context.set_trailing_metadata(((FINISHED_HEADER, "1"),))
        return Empty()

    async def InspectCommit(self, request: pfs.InspectCommitRequest, context: Context) -> pfs.CommitInfo:
        ref = from_wire.some_commit(request.commit, request.HasField("commit"))
        if ref.repo.name == FILESETS_REPO:
            return await self.db.read(_file_set, ref, self.clock.now())
        if request.wait <= pfs.CommitState.STARTED:
            return to_wire.commit_info(await self.db.recall(_inspected, ref))
        async with self.bus.listen(*PROGRESS) as news:
            seen = await self.db.read(progress_towards, ref, request.wait)
            return to_wire.commit_info(await followed(self.db, seen, request.wait, news))

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
        started = time_of(request.started_time) if request.HasField("started_time") else None
        wanted = Filter(
            repo=repo if repo.name else None, origin=_origin(request), started=started, reverse=request.reverse
        )
        after: CommitNumber | None = None
        while page := await self.db.read(listing.view_page, wanted, after, _page(request)):
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
            page = await self.db.read(listing.chain_page, to, stop, repo, _page(request))
            for view in page:
                if origin is None or view.commit.origin is origin:
                    yield view
            to = page[-1].commit.parent if len(page) == _page(request) else None

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
                        view = await reached(self.db, self.bus, commit, request.state)
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


def _page(request: pfs.ListCommitRequest) -> int:
    """How many commits are read at a time."""
    return min(request.number, listing.PAGE) if request.number > 0 else listing.PAGE


def parent_of(request: pfs.StartCommitRequest) -> CommitRef | None:
    """A parent is in the branch's repo, and need not name it. Raises Malformed when it names another one."""
    if not request.HasField("parent"):
        return None
    repo, parent = from_wire.repo_key(request.branch.repo), request.parent
    named = parent.repo if parent.repo.name else parent.branch.repo
    if named.name and from_wire.repo_key(named) != repo:
        there = CommitRef(from_wire.repo_key(named), parent.id, parent.branch.name)
        raise Malformed(f"parent commit not found: {there} is not a commit of repo {repo}")
    return CommitRef(repo, parent.id, parent.branch.name)


def _origin(request: pfs.ListCommitRequest | pfs.SubscribeCommitRequest) -> Origin | None:
    """Raises Malformed when the protocol has no such kind."""
    if request.all or not request.origin_kind:
        return None
    try:
        return Origin(request.origin_kind)
    except ValueError as error:
        raise Malformed(f"unknown origin kind {request.origin_kind}") from error


def _file_set(tx: Session, ref: CommitRef, now: datetime) -> pfs.CommitInfo:
    """A file set as the finished commit that readers take it for. Raises BadFileSetId, PathMissing."""
    row = FileSetStore(tx).get(checked_id(ref.text), now)
    at = to_wire.moment(row.created_at)
    info = pfs.CommitInfo(commit=to_wire.bare_commit(ref), started=at, finishing=at, finished=at)
    info.details.SetInParent()
    return info


def _inspected(tx: Session, ref: CommitRef) -> CommitView:
    return commit_view(tx, resolve_commit(tx, ref))
