"""The branches that follow others for the sake of inputs with a trigger: which of them nobody needs any more."""

from collections.abc import Collection, Sequence

import grpc

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pfs_v2_pb2_grpc as pfs_grpc
from services.pps.domain.names import PipelineKey


async def unused(
    channel: grpc.aio.Channel, branches: Sequence[pfs.Branch], going: Collection[PipelineKey]
) -> list[pfs.Branch]:
    """Those that are there, that nothing derives from but the outputs of `going`, and that no branch follows."""
    return [branch for branch in branches if await _unused(channel, branch, going)]


async def _unused(channel: grpc.aio.Channel, branch: pfs.Branch, going: Collection[PipelineKey]) -> bool:
    stub = pfs_grpc.APIStub(channel)
    try:
        listed = [info async for info in stub.ListBranch(pfs.ListBranchRequest(repo=branch.repo))]
        found = next((info for info in listed if info.branch.name == branch.name), None)
        if found is None or any(info.trigger.branch == branch.name for info in listed):
            return False
        for below in found.subvenance:
            if PipelineKey(below.repo.project.name, below.repo.name) not in going:
                info = await stub.InspectBranch(pfs.InspectBranchRequest(branch=below))
                if any(above.repo == branch.repo and above.name == branch.name for above in info.direct_provenance):
                    return False
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:  # its repo is gone, and the branch with it
            return False
        raise
    return True
