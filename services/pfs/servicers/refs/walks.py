"""The Walk… methods of pfs_v2.API: provenance and subvenance of branches and commits, from several starts."""

from collections.abc import AsyncIterator

from datamill.wire import pfs_v2_pb2 as pfs
from services.kit.rpc.server import Context
from services.pfs.domain.commits import BranchView, CommitView
from services.pfs.operations.refs import walks
from services.pfs.operations.refs.walks import Limits
from services.pfs.servicers.base import Rpcs
from services.pfs.servicers.wire import from_wire, to_wire

COMMITS = pfs.WalkCommitProvenanceRequest | pfs.WalkCommitSubvenanceRequest
BRANCHES = pfs.WalkBranchProvenanceRequest | pfs.WalkBranchSubvenanceRequest


class WalkRpcs(Rpcs):
    """Nearest first; a start is not part of its own result."""

    async def WalkBranchProvenance(
        self, request: pfs.WalkBranchProvenanceRequest, context: Context
    ) -> AsyncIterator[pfs.BranchInfo]:
        for view in await self._branches(request, down=False):
            yield to_wire.branch_info(view)

    async def WalkBranchSubvenance(
        self, request: pfs.WalkBranchSubvenanceRequest, context: Context
    ) -> AsyncIterator[pfs.BranchInfo]:
        for view in await self._branches(request, down=True):
            yield to_wire.branch_info(view)

    async def WalkCommitProvenance(
        self, request: pfs.WalkCommitProvenanceRequest, context: Context
    ) -> AsyncIterator[pfs.CommitInfo]:
        for view in await self._commits(request, down=False):
            yield to_wire.commit_info(view)

    async def WalkCommitSubvenance(
        self, request: pfs.WalkCommitSubvenanceRequest, context: Context
    ) -> AsyncIterator[pfs.CommitInfo]:
        for view in await self._commits(request, down=True):
            yield to_wire.commit_info(view)

    async def _branches(self, request: BRANCHES, *, down: bool) -> list[BranchView]:
        starts = [from_wire.picked_branch(picker) for picker in request.start]
        limits = Limits(request.max_branches or walks.MOST, request.max_depth or walks.DEEPEST)
        return await self.db.read(walks.walk_branches, starts, limits, down=down)

    async def _commits(self, request: COMMITS, *, down: bool) -> list[CommitView]:
        starts = [from_wire.picked_commit(picker) for picker in request.start]
        limits = Limits(request.max_commits or walks.MOST, request.max_depth or walks.DEEPEST)
        return await self.db.read(walks.walk_commits, starts, limits, down=down)
