"""datamill.trees.v1: many files in one message, for planners.

Elsewhere: matching and comparing (operations/files/read.py, operations/files/diff.py, domain/files/globs.py).
"""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace

from datamill.wire import trees_v1_pb2 as wire
from datamill.wire.trees_v1_pb2_grpc import TreeServiceServicer
from services.kit.rpc.server import Answers, Context, Encoded
from services.kit.sortedmap.rows import EMPTY
from services.pfs.domain.files.globs import Glob, compile_glob
from services.pfs.operations.batches import batches, gathered
from services.pfs.operations.files.diff import Pair, matching
from services.pfs.operations.files.read import FileStat, Reading
from services.pfs.operations.files.tree_views import Views
from services.pfs.servicers.wire import from_wire
from services.pfs.servicers.wire.file_bytes import TreeEntryBytes

EVERYTHING = "**"


class TreeService(TreeServiceServicer):
    def __init__(self, views: Views) -> None:
        self._views = views

    async def GlobTree(self, request: wire.GlobTreeRequest, context: Context) -> Answers:
        ref = from_wire.commit_ref(request.commit if request.HasField("commit") else None)
        glob = compile_glob(request.pattern)
        reading = Reading(await self._views.open(ref))
        entries = TreeEntryBytes(glob.captures if glob.expression.groups else None)
        found = gathered(lambda: map(entries, reading.glob_found(glob)), _count, _response)
        async with aclosing(found) as responses:
            async for response in responses:
                yield response

    async def DiffTree(self, request: wire.DiffTreeRequest, context: Context) -> AsyncIterator[wire.DiffTreeResponse]:
        ref = from_wire.commit_ref(request.new_commit if request.HasField("new_commit") else None)
        glob = compile_glob(request.pattern or EVERYTHING)
        new = Reading(await self._views.open(ref))
        old = await self._before(request, new)
        entry = _entries(glob)

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
        parent = await self._views.parent(new.view.ref)
        if parent is None:
            return Reading(replace(new.view, root=EMPTY))
        return Reading(await self._views.open(parent))


def _count(some: tuple[int, bytes]) -> int:
    return some[0]


def _response(batch: list[tuple[int, bytes]]) -> Encoded:
    return Encoded([b"".join(entries for _, entries in batch)] if batch else ())


def _entries(glob: Glob) -> Callable[[FileStat], wire.TreeEntry]:
    """Makes the entry of each match."""
    captured = glob.captures if glob.expression.groups else None

    def entry(stat: FileStat) -> wire.TreeEntry:
        path = stat.path
        captures = None
        if captured is not None:
            captures = captured(path if stat.row is not None else path[:-1])
        return wire.TreeEntry(path=path.decode(), size_bytes=stat.size, digest=stat.digest, captures=captures)

    return entry
