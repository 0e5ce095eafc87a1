"""Files: putting, getting, listing, comparing, through `pfs_v2.API`.

Elsewhere: whole folders, by the short way past the service (folders.py).
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from google.protobuf.wrappers_pb2 import BytesValue

from datamill import names
from datamill.errors import NotFound
from datamill.transport import Calls
from datamill.wire import pfs_v2_pb2 as pfs

Data = bytes | str | os.PathLike[str] | BinaryIO
"""What a file is made from: bytes, text (UTF-8), the path of a local file, or an open binary file."""
PIECE_BYTES = 1 << 20


class Files(Calls):
    """Methods about files. A file is `repo@branch:/path`."""

    def put(self, file: str | pfs.File, data: Data, *, append: bool = False) -> None:
        """Write one file. On a branch without an open commit this makes a commit of its own."""
        where = names.file(file)
        self.put_files(where.commit, [(where.path, data)], append=append)

    def put_files(self, commit: str | pfs.Commit, files: Iterable[tuple[str, Data]], *, append: bool = False) -> None:
        """Write many files as one unit: all of them or, after an error, none."""
        home = names.commit(commit)
        self.modify(
            home, (change for path, data in files for change in put_requests(names.absolute(path), data, append))
        )

    def delete_file(self, file: str | pfs.File, *, recursive: bool = False) -> None:
        """Delete a file, or with recursive everything below a path. A missing one is no error."""
        where = names.file(file)
        path = where.path.rstrip("/") + "/" if recursive else where.path
        self.modify(where.commit, [pfs.ModifyFileRequest(delete_file=pfs.DeleteFile(path=path))])

    def copy_file(self, src: str | pfs.File, dst: str | pfs.File, *, append: bool = False) -> None:
        """Copy a file or a directory within the server; no bytes move."""
        here, there = names.file(src), names.file(dst)
        copy = pfs.CopyFile(src=here, dst=there.path, append=append)
        self.modify(there.commit, [pfs.ModifyFileRequest(copy_file=copy)])

    def put_url(
        self, file: str | pfs.File, url: str, *, recursive: bool = False, append: bool = False, concurrency: int = 0
    ) -> None:
        """Have the server fetch a file: http(s)://…, s3://bucket/key, minio://…, file:///… where it allows that.

        recursive: every object whose key begins with the address, below the path. concurrency: 0 for the server's own.
        """
        where = names.file(file, path="/")
        self.modify(where.commit, url_requests(where.path, url, append, recursive=recursive, concurrency=concurrency))

    def get_to_url(self, file: str | pfs.File, url: str) -> None:
        """Have the server write a file, a directory or what a glob matches to s3://bucket/prefix, minio://… or file:///…

        Each file becomes an object named by its path, below the address.
        """
        self.refuse_files()
        request = pfs.GetFileRequest(file=names.file(file, path="/"), URL=url)
        deque(self.stream(self.pfs.GetFileTAR, request), maxlen=0)  # nothing comes: the bytes go there

    def modify(self, commit: pfs.Commit, changes: Iterable[pfs.ModifyFileRequest]) -> None:
        """Send raw changes as one unit."""

        self.refuse_files()

        def requests() -> Iterator[pfs.ModifyFileRequest]:
            yield pfs.ModifyFileRequest(set_commit=commit)
            yield from changes

        self.send(self.pfs.ModifyFile, requests)

    def create_file_set(self, changes: Iterable[pfs.ModifyFileRequest]) -> str:
        """The id of a file set of its own, for add_file_set. It is kept for some minutes."""
        self.refuse_files()
        return self.send(self.pfs.CreateFileSet, lambda: iter(changes)).file_set_id

    def add_file_set(self, commit: str | pfs.Commit, id: str) -> None:
        """Apply a file set to an open commit."""
        self.refuse_files()
        self.call(self.pfs.AddFileSet, pfs.AddFileSetRequest(commit=names.commit(commit), file_set_id=id))

    def get(self, file: str | pfs.File) -> bytes:
        """All of a file. Raises FileMissing."""
        return b"".join(self.chunks(file))

    def chunks(self, file: str | pfs.File, *, offset: int = 0) -> Iterator[bytes]:
        """A file piece by piece, from byte `offset` on. Raises FileMissing."""
        self.refuse_files()
        request = pfs.GetFileRequest(file=names.file(file), offset=offset)
        return (piece.value for piece in self.stream(self.pfs.GetFile, request))

    def get_tar(self, file: str | pfs.File) -> Iterator[bytes]:
        """Everything below a path, or that a glob matches, as pieces of one tar stream."""
        self.refuse_files()
        request = pfs.GetFileRequest(file=names.file(file, path="/"))
        return (piece.value for piece in self.stream(self.pfs.GetFileTAR, request))

    def inspect_file(self, file: str | pfs.File) -> pfs.FileInfo:
        """Raises FileMissing."""
        self.refuse_files()
        return self.call(self.pfs.InspectFile, pfs.InspectFileRequest(file=names.file(file, path="/")))

    def file_exists(self, file: str | pfs.File) -> bool:
        try:
            self.inspect_file(file)
        except NotFound:
            return False
        return True

    def list_files(self, directory: str | pfs.File, *, number: int = 0) -> Iterator[pfs.FileInfo]:
        """What lies directly in a directory. number: at most so many, 0 for all."""
        self.refuse_files()
        request = pfs.ListFileRequest(file=names.file(directory, path="/"), number=number)
        return self.stream(self.pfs.ListFile, request)

    def walk_files(self, directory: str | pfs.File) -> Iterator[pfs.FileInfo]:
        """A directory and everything below it, in order of path."""
        self.refuse_files()
        return self.stream(self.pfs.WalkFile, pfs.WalkFileRequest(file=names.file(directory, path="/")))

    def glob_files(self, pattern: str | pfs.File) -> Iterator[pfs.FileInfo]:
        """What matches `repo@branch:/pattern`, for example `images@master:/**.png`."""
        self.refuse_files()
        wanted = names.file(pattern)
        return self.stream(self.pfs.GlobFile, pfs.GlobFileRequest(commit=wanted.commit, pattern=wanted.path))

    def diff_files(self, new: str | pfs.File, old: str | pfs.File | None = None) -> Iterator[pfs.DiffFileResponse]:
        """What differs between two files or directories. old: None for the same path in the parent commit."""
        self.refuse_files()
        earlier = None if old is None else names.file(old, path="/")
        request = pfs.DiffFileRequest(new_file=names.file(new, path="/"), old_file=earlier)
        return self.stream(self.pfs.DiffFile, request)


def url_requests(
    path: str, url: str, append: bool, *, recursive: bool = False, concurrency: int = 0
) -> Iterator[pfs.ModifyFileRequest]:
    """The changes that have the server fetch one address; a file that is there is replaced unless there are many."""
    if not append and not recursive:
        yield pfs.ModifyFileRequest(delete_file=pfs.DeleteFile(path=path))
    source = pfs.AddFile.URLSource(URL=url, recursive=recursive, concurrency=concurrency)
    yield pfs.ModifyFileRequest(add_file=pfs.AddFile(path=path, url=source))


def put_requests(path: str, data: Data, append: bool) -> Iterator[pfs.ModifyFileRequest]:
    """The changes that write one file."""
    if not append:  # a file is replaced by deleting it first, in the same stream
        yield pfs.ModifyFileRequest(delete_file=pfs.DeleteFile(path=path))
    for piece in pieces(data):
        yield pfs.ModifyFileRequest(add_file=pfs.AddFile(path=path, raw=BytesValue(value=piece)))


def pieces(data: Data) -> Iterator[bytes]:
    """The bytes in messages of at most 1 MiB; one empty piece when there are none."""
    if isinstance(data, str):
        data = data.encode()
    if isinstance(data, bytes):
        for start in range(0, max(len(data), 1), PIECE_BYTES):
            yield data[start : start + PIECE_BYTES]
        return
    if isinstance(data, os.PathLike):
        with open(data, "rb") as file:
            yield from pieces(file)
        return
    piece = data.read(PIECE_BYTES)
    yield piece
    while piece := data.read(PIECE_BYTES) if piece else b"":
        yield piece
