"""The client: every method of the system on one object, and commits as `with` blocks.

Decided here: how a commit that is written in a `with` block ends. Elsewhere: what each method does (methods/) and how
it travels (transport.py).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from google.protobuf.empty_pb2 import Empty

from datamill.methods.files import Data
from datamill.methods.folders import Folders, Progress, unseen
from datamill.methods.jobs import Jobs
from datamill.methods.pipelines import Pipelines
from datamill.methods.transactions import Transactions
from datamill.methods.whole import Whole
from datamill.names import absolute, shown_commit
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import versionpb_v2_pb2 as version


class Client(Folders, Pipelines, Jobs, Transactions, Whole):
    """A thin, synchronous client: `Client("grpc://localhost:30650")`.

    Methods take the written forms (`"images@master:/cat.png"`) or messages of `datamill.wire`, and return messages.
    Lists are iterators that read as they go. Every failure is a `datamill.errors.DatamillError`.
    """

    def version(self, timeout: float = 5.0) -> version.Version:
        """The server's version."""
        return self.call(self.versions.GetVersion, Empty(), timeout)

    @contextmanager
    def commit(self, branch: str | pfs.Branch, *, description: str = "") -> Iterator["OpenCommit"]:
        """Open a commit for the length of the block. When the block raises, the commit is finished with the error,
        so that nothing after it sees its data."""
        opened = OpenCommit(self, self.start_commit(branch, description=description))
        try:
            yield opened
        except BaseException as error:
            self.finish_commit(opened.ref, error=f"{type(error).__name__}: {error}")
            raise
        self.finish_commit(opened.ref)


class OpenCommit:
    """A commit being written."""

    def __init__(self, client: Client, ref: pfs.Commit) -> None:
        self.client = client
        self.ref = ref

    def __str__(self) -> str:
        return shown_commit(self.ref)

    @property
    def id(self) -> str:
        """32 hex digits; jobs that this commit starts have the same."""
        return self.ref.id

    def put(self, path: str, data: Data, *, append: bool = False) -> None:
        self.client.put_files(self.ref, [(path, data)], append=append)

    def put_files(self, files: Iterable[tuple[str, Data]], *, append: bool = False) -> None:
        """Many files in one stream, which is much faster than one by one."""
        self.client.put_files(self.ref, files, append=append)

    def put_folder(self, folder: str | Path, to: str = "/", *, progress: Progress = unseen) -> int:
        return self.client.put_folder(folder, self._file(to), progress=progress)

    def delete(self, path: str, *, recursive: bool = False) -> None:
        self.client.delete_file(self._file(path), recursive=recursive)

    def copy(self, src: str | pfs.File, path: str, *, append: bool = False) -> None:
        self.client.copy_file(src, self._file(path), append=append)

    def wait(self) -> pfs.CommitInfo:
        """After the block: wait until the commit is merged and validated."""
        return self.client.wait_commit(self.ref)

    def _file(self, path: str) -> pfs.File:
        return pfs.File(commit=self.ref, path=absolute(path))
