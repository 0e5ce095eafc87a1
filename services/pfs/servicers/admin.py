"""admin_v2 and versionpb_v2: who this instance is, and which protocol it speaks.

InspectCluster never fails over what a client says of itself: whatever is odd becomes a warning.
"""

from google.protobuf.empty_pb2 import Empty

from datamill.wire import admin_v2_pb2 as admin
from datamill.wire import versionpb_v2_pb2 as version
from datamill.wire.admin_v2_pb2_grpc import APIServicer as AdminServicer
from datamill.wire.versionpb_v2_pb2_grpc import APIServicer as VersionServicer
from services.kit.errors import Problem
from services.kit.rpc.server import Context
from services.kit.storage.database import Database
from services.pfs.operations.refs.metadata import instance_metadata
from services.pfs.operations.refs.projects import inspect_project, instance_ids

# The release whose clients work unchanged. A suffix would make it a pre-release, which fits no client but its own.
PROTOCOL = version.Version(major=2, minor=12, micro=0, platform="linux")


class AdminApi(AdminServicer):
    def __init__(self, db: Database) -> None:
        self._db = db

    async def InspectCluster(self, request: admin.InspectClusterRequest, context: Context) -> admin.ClusterInfo:
        id, deployment = await self._db.read(instance_ids)
        warnings = _of_version(request.client_version if request.HasField("client_version") else None)
        if request.current_project.name:
            try:
                await self._db.read(inspect_project, request.current_project.name)
            except Problem as problem:
                warnings.append(
                    f'WARNING: Could not inspect project "{request.current_project.name}": {problem}; '
                    "is it the right one for this instance?"
                )
        return admin.ClusterInfo(
            id=id,
            deployment_id=deployment,
            warnings_ok=True,
            warnings=warnings,
            metadata=await self._db.read(instance_metadata),
        )


class VersionApi(VersionServicer):
    async def GetVersion(self, request: Empty, context: Context) -> version.Version:
        return PROTOCOL


def _of_version(client: version.Version | None) -> list[str]:
    """What is odd about a client's version; development builds call themselves 0.0.0 and pass."""
    if client is None:
        return ["WARNING: the client did not say its version; it may be too old for this server"]
    theirs, ours = _release(client), _release(PROTOCOL)
    if theirs == (0, 0) or (theirs == ours and not client.additional):
        return []
    if theirs == ours:
        how = "is a pre-release, which may differ from"
    else:
        how = "is much older than" if theirs < ours else "is much newer than"
    return [f"WARNING: the client's version {_text(client)} {how} the server's {_text(PROTOCOL)}"]


def _release(of: version.Version) -> tuple[int, int]:
    return of.major, of.minor


def _text(of: version.Version) -> str:
    return f"{of.major}.{of.minor}.{of.micro}{of.additional}"
