"""Files and their content between the domain and the wire.

Elsewhere: entries that come in (entry_wire.py); repos, branches and commits on the wire (from_wire.py, to_wire.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from datamill.wire import content_v1_pb2 as content_wire
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import trees_v1_pb2 as trees
from services.pfs.domain.files.entries import Content
from services.pfs.domain.keys import CommitRef, RepoKey
from services.pfs.operations.files.read import FileStat

Captures = Callable[[bytes], list[str] | None]


def bare_commit(ref: CommitRef) -> pfs.Commit:
    """A commit as answers name it: without its branch."""
    return pfs.Commit(id=ref.id, repo=_repo(ref.repo))


def _repo(key: RepoKey) -> pfs.Repo:
    return pfs.Repo(name=key.name, type=key.type, project=pfs.Project(name=key.project))


class FileInfos:
    """Makes the FileInfo of each file of one commit. What all of them share is made once."""

    def __init__(self, ref: CommitRef, committed: datetime | None) -> None:
        self.of_file = pfs.FileInfo(file=pfs.File(commit=bare_commit(ref)), file_type=pfs.FileType.FILE)
        if committed is not None:
            self.of_file.committed.FromDatetime(committed)
        self._folder = pfs.FileInfo()
        self._folder.CopyFrom(self.of_file)
        self._folder.file_type = pfs.FileType.DIR

    def __call__(self, stat: FileStat) -> pfs.FileInfo:
        info = pfs.FileInfo()
        info.CopyFrom(self._folder if stat.row is None else self.of_file)
        file = info.file
        file.path, file.datum = stat.path.decode(), stat.datum
        info.size_bytes, info.hash = stat.size, stat.digest
        return info


@dataclass(frozen=True)
class TreeEntries:
    """Makes the TreeEntry of each file or directory. captures: what groups of a pattern matched, if that is asked."""

    captures: Captures | None = None

    def __call__(self, stat: FileStat) -> trees.TreeEntry:
        return self.of(stat.path, stat.size, stat.digest, stat.path if stat.row is not None else stat.path[:-1])

    def of(self, path: bytes, size: int, digest: bytes, matched: bytes) -> trees.TreeEntry:
        captures = None if self.captures is None else self.captures(matched)
        return trees.TreeEntry(path=path.decode(), size_bytes=size, digest=digest, captures=captures)


def content_message(found: Content) -> content_wire.Content:
    return content_wire.Content(
        size_bytes=found.size,
        digest=found.digest,
        extents=[
            content_wire.Extent(
                pack_id=extent.pack,
                offset_bytes=extent.offset,
                stored_bytes=extent.stored,
                codec=extent.codec,
                size_bytes=extent.size,
                digest=extent.digest,
            )
            for extent in found.extents
        ],
    )
