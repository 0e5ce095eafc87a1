"""The commit set methods of pfs_v2.API: all commits of one change together."""

from collections.abc import AsyncIterator

from google.protobuf.empty_pb2 import Empty

from datamill.wire import pfs_v2_pb2 as pfs
from services.kit.rpc.server import Context
from services.pfs.domain.errors import CommitSetNotFound
from services.pfs.operations.refs import listing
from services.pfs.operations.refs.delete_commits import delete_set
from services.pfs.servicers.base import Rpcs
from services.pfs.servicers.refs.progress import reached
from services.pfs.servicers.wire import from_wire, to_wire


class CommitSetRpcs(Rpcs):
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
                yield to_wire.commit_info(await reached(self.db, self.bus, view.commit, pfs.CommitState.FINISHED))

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
