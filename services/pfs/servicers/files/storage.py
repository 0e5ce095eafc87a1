"""storage.Fileset: file sets without commits, repos and datums.

They are the file sets of pfs_v2.API under plainer messages: a request is handed on as the one that means the same.
Elsewhere: file sets (filesets.py, operations/files/filesets.py).
"""

from collections.abc import AsyncIterator, Iterable, Iterator

import re2
from google.protobuf.empty_pb2 import Empty
from google.protobuf.wrappers_pb2 import BytesValue

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import storage_pb2 as wire
from datamill.wire.storage_pb2_grpc import FilesetServicer
from services.kit.rpc.server import Context
from services.kit.sortedmap.rows import Row
from services.pfs.domain.errors import Malformed
from services.pfs.domain.keys import CommitRef, RepoKey
from services.pfs.operations.batches import batches
from services.pfs.operations.files.contents import pieces
from services.pfs.operations.files.filesets import checked_id
from services.pfs.operations.files.read import Reading, file_stat
from services.pfs.servicers.files.filesets import FileSetRpcs
from services.pfs.storage.content.filesets import FILE_SETS

PIECES = 16  # of at most 2 MiB, that may wait to be sent


class FilesetApi(FilesetServicer):
    """Over the servicer that keeps them. ReadFilesetCDR needs addresses of stored bytes, and is not built."""

    def __init__(self, api: FileSetRpcs) -> None:
        self._api = api

    async def CreateFileset(
        self, requests: AsyncIterator[wire.CreateFilesetRequest], context: Context
    ) -> wire.CreateFilesetResponse:
        made = await self._api.CreateFileSet((_change(request) async for request in requests), context)
        return wire.CreateFilesetResponse(fileset_id=made.file_set_id)

    async def ReadFileset(
        self, request: wire.ReadFilesetRequest, context: Context
    ) -> AsyncIterator[wire.ReadFilesetResponse]:
        wanted = _Wanted(request.filters)
        ref = CommitRef(RepoKey("default", FILE_SETS, "user"), checked_id(request.fileset_id))
        reading = Reading(await self._api.views.open(ref))

        def answers() -> Iterator[wire.ReadFilesetResponse]:
            rows = wanted.among(reading)
            if request.empty_files:
                for row in rows:
                    yield wire.ReadFilesetResponse(path=file_stat(row).path.decode())
                return
            for path, data in pieces(self._api.stores, reading, rows):
                yield wire.ReadFilesetResponse(path=path, data=BytesValue(value=data))

        async for batch in batches(answers, most=PIECES):
            for answer in batch:
                yield answer

    async def RenewFileset(self, request: wire.RenewFilesetRequest, context: Context) -> Empty:
        same = pfs.RenewFileSetRequest(file_set_id=request.fileset_id, ttl_seconds=request.ttl_seconds)
        return await self._api.RenewFileSet(same, context)

    async def ComposeFileset(
        self, request: wire.ComposeFilesetRequest, context: Context
    ) -> wire.ComposeFilesetResponse:
        same = pfs.ComposeFileSetRequest(file_set_ids=request.fileset_ids, ttl_seconds=request.ttl_seconds)
        return wire.ComposeFilesetResponse(fileset_id=(await self._api.ComposeFileSet(same, context)).file_set_id)

    async def ShardFileset(self, request: wire.ShardFilesetRequest, context: Context) -> wire.ShardFilesetResponse:
        same = pfs.ShardFileSetRequest(
            file_set_id=request.fileset_id, num_files=request.num_files, size_bytes=request.size_bytes
        )
        found = await self._api.ShardFileSet(same, context)
        return wire.ShardFilesetResponse(
            shards=[wire.PathRange(lower=one.lower, upper=one.upper) for one in found.shards]
        )


class _Wanted:
    """The files that pass all filters. Raises Malformed when one cannot be read."""

    def __init__(self, filters: Iterable[wire.FileFilter]) -> None:
        self._low, self._high = b"", b""
        self._found_by = list[re2._Regexp]()
        for each in filters:
            match each.WhichOneof("filter"):
                case "path_range":
                    self._low = max(self._low, each.path_range.lower.encode())
                    ends = [end for end in (self._high, each.path_range.upper.encode()) if end]
                    self._high = min(ends, default=b"")
                case "path_regex":
                    self._found_by.append(_compiled(each.path_regex))

    def among(self, reading: Reading) -> Iterator[Row]:
        """Those of a view, in order. An expression takes time in proportion to a path, whatever it says."""
        for row in reading.rows(self._low, self._high or None):
            path = file_stat(row).path.decode()
            if all(expression.search(path) for expression in self._found_by):
                yield row


def _compiled(text: str) -> re2._Regexp:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except (re2.error, UnicodeError) as mistake:
        why = mistake.args[0] if mistake.args else ""
        raise Malformed(
            f"path_regex {text!r} cannot be read: {why.decode() if isinstance(why, bytes) else why}"
        ) from None


def _change(request: wire.CreateFilesetRequest) -> pfs.ModifyFileRequest:
    """The same modification; one that says nothing stays one that says nothing."""
    match request.WhichOneof("modification"):
        case "append_file":
            data = request.append_file.data if request.append_file.HasField("data") else None
            return pfs.ModifyFileRequest(add_file=pfs.AddFile(path=request.append_file.path, raw=data))
        case "delete_file":
            return pfs.ModifyFileRequest(delete_file=pfs.DeleteFile(path=request.delete_file.path))
        case "copy_file":
            copy = request.copy_file
            source = pfs.Commit(repo=pfs.Repo(name=FILE_SETS, type="user"), id=copy.fileset_id)
            src = pfs.File(commit=source, path=copy.src)
            return pfs.ModifyFileRequest(copy_file=pfs.CopyFile(src=src, dst=copy.dst or copy.src))
    return pfs.ModifyFileRequest()
