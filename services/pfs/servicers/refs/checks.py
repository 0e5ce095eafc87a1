"""The methods of pfs_v2.API about the instance's state as a whole."""

import hashlib
from collections.abc import AsyncIterator

from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToJson

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import taskapi_pb2 as taskapi
from services.kit.rpc.server import Context
from services.pfs.domain.errors import MissingField
from services.pfs.operations.upkeep.everything import delete_all
from services.pfs.operations.upkeep.structure import check_structure
from services.pfs.operations.upkeep.tasks import STORAGE, Task, tasks
from services.pfs.operations.upkeep.zombies import zombies
from services.pfs.servicers.auth import AuthNotActivated
from services.pfs.servicers.base import Rpcs
from services.pfs.servicers.wire import from_wire, to_wire


class CheckRpcs(Rpcs):
    """Checking, listing what goes on, deleting everything."""

    async def Fsck(self, request: pfs.FsckRequest, context: Context) -> AsyncIterator[pfs.FsckResponse]:
        for trouble in await self.db.read(check_structure):
            yield pfs.FsckResponse(error=trouble)
        target = None
        if request.WhichOneof("zombie_check") == "zombie_target":
            target = from_wire.commit_ref(request.zombie_target)
        elif not request.zombie_all:
            return
        async for trouble in zombies(self.db, self.views, target):
            yield pfs.FsckResponse(error=trouble)

    async def ListTask(self, request: taskapi.ListTaskRequest, context: Context) -> AsyncIterator[taskapi.TaskInfo]:
        if not request.HasField("group"):
            raise MissingField("group", streaming=True)
        group = request.group
        for task in await self.db.read(tasks, group.namespace, group.group, self.clock.now()):
            yield _task_info(task)

    async def DeleteAll(self, request: Empty, context: Context) -> Empty:
        await self.change(delete_all, owner=self.by_service(context))
        return Empty()

    async def ActivateAuth(self, request: pfs.ActivateAuthRequest, context: Context) -> pfs.ActivateAuthResponse:
        raise AuthNotActivated()


def _task_info(task: Task) -> taskapi.TaskInfo:
    commit = to_wire.bare_commit(task.commit.ref)
    return taskapi.TaskInfo(
        id=hashlib.blake2b(task.commit.key.encode(), digest_size=16).hexdigest(),
        group=taskapi.Group(namespace=STORAGE, group=task.commit.id),
        state=taskapi.CLAIMED if task.claimed else taskapi.RUNNING,
        input_type=commit.DESCRIPTOR.full_name,
        input_data=MessageToJson(commit, indent=None, preserving_proto_field_name=True),
    )
