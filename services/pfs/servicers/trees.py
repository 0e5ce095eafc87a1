"""datamill.trees.v1: many files in one message, for planners.

Elsewhere: matching and comparing (operations/files/read.py, operations/files/diff.py, domain/files/globs.py).
"""

from collections.abc import AsyncIterator
from contextlib import aclosing

from datamill.wire import trees_v1_pb2 as wire
from datamill.wire.trees_v1_pb2_grpc import TreeServiceServicer
from services.kit.rpc.server import Answers, Context, Encoded
from services.pfs.domain.files.globs import Glob, compile_glob
from services.pfs.operations.batches import batches, gathered
from services.pfs.operations.files.diff import Pair, matching
from services.pfs.operations.files.read import Reading
from services.pfs.operations.files.tree_views import Views
from services.pfs.servicers.wire import from_wire
from services.pfs.servicers.wire.file_bytes import TreeEntryBytes
from services.pfs.servicers.wire.file_wire import Captures, TreeEntries

EVERYTHING = "**"


class TreeService(TreeServiceServicer):
    def __init__(self, views: Views) -> None:
        self._views = views

    async def GlobTree(self, request: wire.GlobTreeRequest, context: Context) -> Answers:
        ref = from_wire.commit_ref(request.commit if request.HasField("commit") else None)
        glob = compile_glob(request.pattern)
        reading = Reading(await self._views.open(ref))
        entries = TreeEntryBytes(TreeEntries(_captures(glob)))
        found = gathered(lambda: map(entries, reading.glob_found(glob)), _count, _response)
        async with aclosing(found) as responses:
            async for response in responses:
                yield response

    async def DiffTree(self, request: wire.DiffTreeRequest, context: Context) -> AsyncIterator[wire.DiffTreeResponse]:
        ref = from_wire.commit_ref(request.new_commit if request.HasField("new_commit") else None)
        glob = compile_glob(request.pattern or EVERYTHING)
        new = Reading(await self._views.open(ref))
        old = await self._before(request, new)
        entry = TreeEntries(_captures(glob))

        def change(pair: Pair) -> wire.TreeChange:
            now, was = pair
            return wire.TreeChange(
                new_entry=None if now is None else entry(now), old_entry=None if was is None else entry(was)
            )

        async for batch in batches(lambda: map(change, matching(new, old, glob))):
            yield wire.DiffTreeResponse(changes=batch)

    async def _before(self, request: wire.DiffTreeRequest, new: Reading) -> Reading:
        if request.HasField("old_commit"):
            return Reading(await self._views.open(from_wire.commit_ref(request.old_commit)))
        return Reading(await self._views.before(new.view))


def _count(some: tuple[int, bytes]) -> int:
    return some[0]


def _response(batch: list[tuple[int, bytes]]) -> Encoded:
    return Encoded([b"".join(entries for _, entries in batch)] if batch else ())


def _captures(glob: Glob) -> Captures | None:
    """What the groups of a pattern match, if it has any."""
    return glob.captures if glob.expression.groups else None
