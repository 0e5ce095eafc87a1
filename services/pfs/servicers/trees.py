"""datamill.trees.v1: many files in one message, for planners.

Elsewhere: matching (operations/files/read.py, domain/files/globs.py).
"""

from collections.abc import AsyncIterator

from datamill.wire import trees_v1_pb2 as wire
from datamill.wire.trees_v1_pb2_grpc import TreeServiceServicer
from services.kit.rpc.server import Context
from services.pfs.domain.files.globs import compile_glob
from services.pfs.operations.files.read import Reading, Visit
from services.pfs.operations.files.tree_views import Views
from services.pfs.servicers.files.batches import batches
from services.pfs.servicers.wire import from_wire


class TreeService(TreeServiceServicer):
    def __init__(self, views: Views) -> None:
        self._views = views

    async def GlobTree(self, request: wire.GlobTreeRequest, context: Context) -> AsyncIterator[wire.GlobTreeResponse]:
        ref = from_wire.commit_ref(request.commit if request.HasField("commit") else None)
        glob = compile_glob(request.pattern)
        reading = Reading(await self._views.open(ref))

        def entry(visit: Visit) -> wire.TreeEntry:
            stat = reading.stat(visit)
            captures = None
            if glob.expression.groups:
                captures = glob.captures(stat.path if stat.row is not None else stat.path[:-1])
            return wire.TreeEntry(path=stat.path.decode(), size_bytes=stat.size, digest=stat.digest, captures=captures)

        async for batch in batches(lambda: map(entry, reading.glob(glob))):
            yield wire.GlobTreeResponse(entries=batch)
