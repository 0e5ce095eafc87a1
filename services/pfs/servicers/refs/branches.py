"""The branch methods of pfs_v2.API."""

from collections.abc import AsyncIterator

from google.protobuf.empty_pb2 import Empty

from datamill.wire import pfs_v2_pb2 as pfs
from services.kit.rpc.server import Context
from services.pfs.domain.errors import MissingField
from services.pfs.domain.keys import RepoKey
from services.pfs.operations.refs import branches
from services.pfs.servicers.base import Rpcs
from services.pfs.servicers.wire import from_wire, to_wire


class BranchRpcs(Rpcs):
    """Branches."""

    async def CreateBranch(self, request: pfs.CreateBranchRequest, context: Context) -> Empty:
        await self.change(branches.create_branch, **asked(request))
        return Empty()

    async def InspectBranch(self, request: pfs.InspectBranchRequest, context: Context) -> pfs.BranchInfo:
        key = from_wire.some_branch(request.branch, request.HasField("branch"))
        return to_wire.branch_info(await self.db.read(branches.inspect_branch, key))

    async def ListBranch(self, request: pfs.ListBranchRequest, context: Context) -> AsyncIterator[pfs.BranchInfo]:
        key, kind = None, ""
        if request.HasField("repo"):
            kind = request.repo.type
            key = RepoKey(from_wire.project_name(request.repo.project), request.repo.name, kind or "user")
        for view in await self.db.read(branches.list_branches, key, type=kind, reverse=request.reverse):
            yield to_wire.branch_info(view)

    async def DeleteBranch(self, request: pfs.DeleteBranchRequest, context: Context) -> Empty:
        if not request.HasField("branch"):
            raise MissingField("branch")
        key, owner = from_wire.branch_key(request.branch), self.by_service(context)
        await self.change(branches.delete_branch, key, force=request.force, owner=owner)
        return Empty()


def asked(request: pfs.CreateBranchRequest) -> branches.Asked:
    """What create_branch takes. Raises Malformed."""
    never = [spec.branch for spec in request.branch_propagation_specs if spec.propagation_spec.never]
    return {
        "key": from_wire.some_branch(request.branch, request.HasField("branch")),
        "head": from_wire.maybe_commit(request.head, request.HasField("head")),
        "provenance": from_wire.branch_keys(request.provenance),
        "never": from_wire.branch_keys(never),
        "trigger": from_wire.trigger(request.trigger),
    }
