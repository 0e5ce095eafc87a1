"""The file methods of pfs_v2.API: writing, reading, listing and comparing.

Elsewhere: file sets (filesets.py); taking a stream of writes in (intake.py).
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from itertools import chain

from google.protobuf.empty_pb2 import Empty
from google.protobuf.wrappers_pb2 import BytesValue

from datamill.wire import pfs_v2_pb2 as pfs
from services.kit.rpc.server import Answers, Context, Encoded
from services.kit.sortedmap.packs import NotAtHand
from services.kit.time.clock import fresh_id
from services.pfs.domain.errors import Malformed, prefixed
from services.pfs.domain.files.file_errors import BadStream, FileNotFound
from services.pfs.domain.files.globs import compile_glob
from services.pfs.domain.files.paths import canonical
from services.pfs.domain.keys import BranchKey, CommitRef
from services.pfs.operations.batches import batches, gathered
from services.pfs.operations.dag.change import changed
from services.pfs.operations.egress.export import export
from services.pfs.operations.files.contents import file_bytes, only_file, tar
from services.pfs.operations.files.diff import Pair, changes
from services.pfs.operations.files.landing import Landing, Target, clear_commit, find_target, land
from services.pfs.operations.files.read import Found, Page, Reading
from services.pfs.operations.files.tree_views import TreeView
from services.pfs.operations.files.visits import Visit
from services.pfs.servicers.base import Rpcs
from services.pfs.servicers.files.intake import Intake
from services.pfs.servicers.wire import from_wire
from services.pfs.servicers.wire.file_bytes import FileInfoBytes
from services.pfs.servicers.wire.file_wire import FileInfos


class FileRpcs(Rpcs):
    """Files."""

    async def ModifyFile(self, requests: AsyncIterator[pfs.ModifyFileRequest], context: Context) -> Empty:
        first = await anext(aiter(requests), None)
        if first is None or not first.HasField("set_commit"):
            raise BadStream("first message must be a commit")
        target, landing = await self._taken(from_wire.commit_ref(first.set_commit), requests)
        with self._one_shot(target.branch) as alone:
            ahead = await self.built(target.foreseen(landing.parts)) if alone else None
            work = await self.db.run(land, target, landing, id=fresh_id(), now=self.clock.now, ahead=ahead)
        if work is not None:
            self.closed(work)
        return Empty()

    async def _taken(self, ref: CommitRef, requests: AsyncIterator[pfs.ModifyFileRequest]) -> tuple[Target, Landing]:
        """Look for the target while the stream comes in, which ends at once when there is none."""
        try:
            async with asyncio.TaskGroup() as group:
                finding = group.create_task(self.db.read(find_target, ref))

                async def seen() -> CommitRef | None:
                    return (await asyncio.shield(finding)).seen

                try:
                    landing = await Intake(self.stores, self.views, self.urls, seen).take(requests)
                except Exception:
                    await finding  # what is wrong with the target is told before what is wrong with the stream
                    raise
        except ExceptionGroup as wrong:
            raise wrong.exceptions[0] from None
        return finding.result(), landing

    @contextmanager
    def _one_shot(self, branch: BranchKey | None) -> Iterator[bool]:
        """Whether this is the only stream that is just ending on the branch."""
        if branch is None:
            yield False
            return
        self.one_shots[branch] += 1
        try:
            yield self.one_shots[branch] == 1
        finally:
            self.one_shots[branch] -= 1
            if not self.one_shots[branch]:
                del self.one_shots[branch]

    async def ClearCommit(self, request: pfs.ClearCommitRequest, context: Context) -> Empty:
        ref = from_wire.commit_ref(request.commit if request.HasField("commit") else None)
        await self.db.run(changed, clear_commit, fresh_id(), self.clock.now, ref)
        return Empty()

    async def GetFile(self, request: pfs.GetFileRequest, context: Context) -> AsyncIterator[BytesValue]:
        with prefixed("get file: "):
            reading = await self._reading(_file(request))
        if request.URL:
            await self._export(request, reading)
            return
        asked, limits = from_wire.commit_ref(request.file.commit), request.path_range
        stat = await asyncio.to_thread(only_file, reading, request.file.path, asked, limits.lower, limits.upper)
        assert stat.row is not None
        content = await asyncio.to_thread(reading.view.content, stat.row)
        async for batch in batches(lambda: file_bytes(self.stores, content, request.offset), most=4):
            for piece in batch:
                yield BytesValue(value=piece)

    async def GetFileTAR(self, request: pfs.GetFileRequest, context: Context) -> AsyncIterator[BytesValue]:
        with prefixed("get file: "):
            reading = await self._reading(_file(request))
        if request.URL:
            await self._export(request, reading)
            return
        visits = await self._matched(request, reading)
        async for batch in batches(lambda: tar(self.stores, reading, visits()), most=4):
            for piece in batch:
                yield BytesValue(value=piece)

    async def InspectFile(self, request: pfs.InspectFileRequest, context: Context) -> pfs.FileInfo:
        reading = await self._reading(_file(request))

        reading.check()
        try:
            if request.file.datum:  # all that lies in a directory may have to be gone through
                raise NotAtHand
            stat = reading.at_hand.inspect(request.file.path)
        except NotAtHand:
            stat = await asyncio.to_thread(reading.inspect, request.file.path)
        if stat is None:
            raise FileNotFound(request.file.path, from_wire.commit_ref(request.file.commit))
        return _infos(reading.view)(stat)

    async def ListFile(self, request: pfs.ListFileRequest, context: Context) -> Answers:
        reading, page = await self._reading(_file(request)), _page(request)
        async with aclosing(_listed(reading, lambda: reading.children_found(request.file.path, page))) as listed:
            async for some in listed:
                yield some

    async def WalkFile(self, request: pfs.WalkFileRequest, context: Context) -> Answers:
        reading, page = await self._reading(_file(request)), _page(request)
        async with aclosing(_listed(reading, lambda: reading.walk_found(request.file.path, page))) as listed:
            async for some in listed:
                yield some

    async def GlobFile(self, request: pfs.GlobFileRequest, context: Context) -> Answers:
        ref = from_wire.commit_ref(request.commit if request.HasField("commit") else None)
        glob = compile_glob(request.pattern)
        reading = Reading(await self.views.open(ref))
        low, high = request.path_range.lower.encode(), request.path_range.upper.encode()
        async with aclosing(_listed(reading, lambda: reading.glob_found(glob, low, high))) as listed:
            async for some in listed:
                yield some

    async def DiffFile(self, request: pfs.DiffFileRequest, context: Context) -> AsyncIterator[pfs.DiffFileResponse]:
        if not request.HasField("new_file"):
            raise Malformed("file cannot be nil")
        with prefixed("check new file commit: "):
            new = await self._reading(request.new_file)
        old_path = request.new_file.path
        with prefixed("check old file commit: "):
            if request.HasField("old_file"):
                old, old_path = await self._reading(request.old_file), request.old_file.path
            else:
                old = Reading(await self.views.before(new.view), new.datum)
        new_info, old_info = _infos(new.view), _infos(old.view)

        def message(pair: Pair) -> pfs.DiffFileResponse:
            now, was = pair
            return pfs.DiffFileResponse(
                new_file=None if now is None else new_info(now), old_file=None if was is None else old_info(was)
            )

        async for batch in batches(lambda: map(message, changes(new, old, request.new_file.path, old_path))):
            for response in batch:
                yield response

    async def _matched(self, request: pfs.GetFileRequest, reading: Reading) -> Callable[[], Iterator[Visit]]:
        """What the request's pattern matches, and all below; to be gone through any number of times."""
        limits = request.path_range
        low, high = limits.lower.encode(), limits.upper.encode()
        glob = compile_glob(request.file.path)
        if await asyncio.to_thread(lambda: next(reading.glob(glob), None)) is None:
            raise FileNotFound(request.file.path, from_wire.commit_ref(request.file.commit))
        return lambda: reading.glob_below(glob, low, high)

    async def _export(self, request: pfs.GetFileRequest, reading: Reading) -> None:
        target = self.urls.target(request.URL)
        visits = await self._matched(request, reading)
        await self.urls.waited_for(lambda stopped: export(self.stores, reading, visits(), target, stopped))

    async def _reading(self, file: pfs.File) -> Reading:
        ref = from_wire.commit_ref(file.commit if file.HasField("commit") else None)
        return Reading(await self.views.open(ref), file.datum)


def _file(request: pfs.GetFileRequest | pfs.InspectFileRequest | pfs.ListFileRequest | pfs.WalkFileRequest) -> pfs.File:
    if not request.HasField("file"):
        raise Malformed("file cannot be nil")
    return request.file


def _page(request: pfs.ListFileRequest | pfs.WalkFileRequest) -> Page:
    marker = request.paginationMarker.path
    if marker and marker != "/":
        marker = canonical(marker) + ("/" if marker.endswith("/") else "")
    return Page(marker.encode(), request.number, request.reverse)


def _listed(reading: Reading, start: Callable[[], Iterator[Found]]) -> AsyncGenerator[Encoded, None]:
    info = FileInfoBytes(reading.view.ref, reading.view.committed)
    return gathered(lambda: map(info, start()), len, lambda batch: Encoded(chain.from_iterable(batch)))


def _infos(view: TreeView) -> FileInfos:
    return FileInfos(view.ref, view.committed)
