"""admin_v2 and versionpb_v2: who this instance is, and which protocol it speaks."""

from google.protobuf.empty_pb2 import Empty

from datamill.wire import admin_v2_pb2 as admin
from datamill.wire import versionpb_v2_pb2 as version
from datamill.wire.admin_v2_pb2_grpc import APIServicer as AdminServicer
from datamill.wire.versionpb_v2_pb2_grpc import APIServicer as VersionServicer
from services.kit.database import Database
from services.kit.server import Context
from services.pfs.operations.projects import instance_ids

PROTOCOL = (2, 12, 0)  # the release whose clients work unchanged


class AdminApi(AdminServicer):
    def __init__(self, db: Database) -> None:
        self._db = db

    async def InspectCluster(self, request: admin.InspectClusterRequest, context: Context) -> admin.ClusterInfo:
        id, deployment = await self._db.read(instance_ids)
        return admin.ClusterInfo(id=id, deployment_id=deployment, warnings_ok=True)


class VersionApi(VersionServicer):
    async def GetVersion(self, request: Empty, context: Context) -> version.Version:
        major, minor, micro = PROTOCOL
        return version.Version(major=major, minor=minor, micro=micro, additional="-datamill", platform="linux")
