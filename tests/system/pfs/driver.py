"""What the tests say to a PFS, in few words."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import BytesValue

from datamill.wire import content_v1_pb2_grpc, pfs_v2_pb2_grpc, trees_v1_pb2_grpc
from datamill.wire import pfs_v2_pb2 as pfs
from tests.support.servers import unique

Change = pfs.ModifyFileRequest


def put(path: str, data: bytes, datum: str = "") -> Change:
    return Change(add_file=pfs.AddFile(path=path, datum=datum, raw=BytesValue(value=data)))


def delete(path: str, datum: str = "") -> Change:
    return Change(delete_file=pfs.DeleteFile(path=path, datum=datum))


def refused(code: grpc.StatusCode, text: str) -> "pytest.RaisesExc[grpc.RpcError]":
    """Expect a call to end with this status and a sentence that holds `text`."""

    def same(error: grpc.RpcError) -> bool:
        return error.code() is code and text in (error.details() or "")

    return pytest.raises(grpc.RpcError, check=same)


@dataclass
class Repo:
    """A repo of its own on the PFS under test."""

    channel: grpc.Channel
    name: str = ""

    def __post_init__(self) -> None:
        self.api = pfs_v2_pb2_grpc.APIStub(self.channel)
        self.content = content_v1_pb2_grpc.ContentServiceStub(self.channel)
        self.trees = trees_v1_pb2_grpc.TreeServiceStub(self.channel)
        if not self.name:
            self.name = unique("files")
            self.api.CreateRepo(pfs.CreateRepoRequest(repo=self.wire))

    @property
    def wire(self) -> pfs.Repo:
        return pfs.Repo(name=self.name, type="user", project=pfs.Project(name="default"))

    @property
    def branch(self) -> pfs.Branch:
        return pfs.Branch(repo=self.wire, name="master")

    @property
    def head(self) -> pfs.Commit:
        return pfs.Commit(branch=self.branch, repo=self.wire)

    def name_of(self, commit: pfs.Commit) -> str:
        """As sentences name it."""
        return f"default/{self.name}@{commit.id}"

    def start(self) -> pfs.Commit:
        commit: pfs.Commit = self.api.StartCommit(pfs.StartCommitRequest(branch=self.branch))
        return commit

    def finish(self, commit: pfs.Commit, error: str = "") -> pfs.CommitInfo:
        self.api.FinishCommit(pfs.FinishCommitRequest(commit=commit, error=error))
        return self.wait(commit)

    def wait(self, commit: pfs.Commit | None = None) -> pfs.CommitInfo:
        info: pfs.CommitInfo = self.api.InspectCommit(
            pfs.InspectCommitRequest(commit=commit or self.head, wait=pfs.CommitState.FINISHED), timeout=120
        )
        return info

    def modify(self, *changes: Change, commit: pfs.Commit | None = None) -> None:
        self.stream(changes, commit)

    def stream(self, changes: Iterable[Change], commit: pfs.Commit | None = None) -> None:
        def messages() -> Iterator[Change]:
            yield Change(set_commit=commit or self.head)
            yield from changes

        self.api.ModifyFile(messages())

    def file(self, path: str, commit: pfs.Commit | None = None, datum: str = "") -> pfs.File:
        return pfs.File(commit=commit or self.head, path=path, datum=datum)

    def read(self, path: str, commit: pfs.Commit | None = None, offset: int = 0) -> bytes:
        request = pfs.GetFileRequest(file=self.file(path, commit), offset=offset)
        return b"".join(message.value for message in self.api.GetFile(request))

    def inspect(self, path: str, commit: pfs.Commit | None = None, datum: str = "") -> pfs.FileInfo:
        info: pfs.FileInfo = self.api.InspectFile(pfs.InspectFileRequest(file=self.file(path, commit, datum)))
        return info

    def ls(self, path: str, commit: pfs.Commit | None = None, **page: object) -> list[str]:
        found = self.api.ListFile(pfs.ListFileRequest(file=self.file(path, commit), **page))  # type: ignore[arg-type]
        return [info.file.path for info in found]

    def walk(self, path: str = "/", commit: pfs.Commit | None = None) -> list[str]:
        return [info.file.path for info in self.api.WalkFile(pfs.WalkFileRequest(file=self.file(path, commit)))]

    def glob(self, pattern: str, commit: pfs.Commit | None = None, lower: str = "", upper: str = "") -> list[str]:
        request = pfs.GlobFileRequest(
            commit=commit or self.head, pattern=pattern, path_range=pfs.PathRange(lower=lower, upper=upper)
        )
        return [info.file.path for info in self.api.GlobFile(request)]

    def tar(self, path: str, commit: pfs.Commit | None = None) -> bytes:
        found = self.api.GetFileTAR(pfs.GetFileRequest(file=self.file(path, commit)))
        return b"".join(message.value for message in found)

    def diff(self, path: str = "/", commit: pfs.Commit | None = None) -> tuple[int, int]:
        """How many new and old files are named."""
        found = list(self.api.DiffFile(pfs.DiffFileRequest(new_file=self.file(path, commit))))
        return sum(one.HasField("new_file") for one in found), sum(one.HasField("old_file") for one in found)


def link(below: Repo, *above: Repo, **more: Any) -> None:
    """Give below@master the provenance above@master."""
    request = pfs.CreateBranchRequest(branch=below.branch, provenance=[repo.branch for repo in above], **more)
    below.api.CreateBranch(request)


def head(repo: Repo) -> pfs.CommitInfo:
    info: pfs.CommitInfo = repo.api.InspectCommit(pfs.InspectCommitRequest(commit=repo.head))
    return info


def at(repo: Repo, id: str) -> pfs.CommitInfo:
    commit = pfs.Commit(repo=repo.wire, id=id)
    info: pfs.CommitInfo = repo.api.InspectCommit(pfs.InspectCommitRequest(commit=commit))
    return info


def commits(repo: Repo, **more: Any) -> list[str]:
    return [info.commit.id for info in repo.api.ListCommit(pfs.ListCommitRequest(repo=repo.wire, **more))]


def finished(repo: Repo) -> str:
    commit = repo.start()
    repo.finish(commit)
    return str(commit.id)
