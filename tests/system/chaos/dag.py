"""A DAG whose outputs can be computed beside it: what the kill tests run, and what must come out."""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from google.protobuf.wrappers_pb2 import BytesValue

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pfs_v2_pb2_grpc as pfs_grpc
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import pps_v2_pb2_grpc as pps_grpc

T = TypeVar("T")
SUM = 'sleep 0.05; sha256sum < "$IN" | cut -d" " -f1 > /pfs/out/$(basename "$IN")'
WORDS = 'sleep 0.05; wc -w < "$IN" | tr -d " " > /pfs/out/$(basename "$IN")'
BOTH = 'cat /pfs/lines/* /pfs/words/* > /pfs/out/$(basename "$lines")'
BY_TENS = 'cat /pfs/both/* | sha256sum | cut -d" " -f1 > /pfs/out/$(basename "$both" | cut -c1-2)'
ALL = "cat /pfs/tens/* /pfs/both/* | sha256sum | cut -d' ' -f1 > /pfs/out/all"
AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL)  # fmt: skip
PATIENCE = 150.0  # seconds


def leaf(repo: str, glob: str, **more: str) -> pps.Input:
    return pps.Input(pfs=pps.PFSInput(repo=repo, glob=glob, **more))  # type: ignore[arg-type]  # fields of text


def pipeline(name: str, script: str, tree: pps.Input, workers: int = 1) -> pps.CreatePipelineRequest:
    transform = pps.Transform(cmd=["sh", "-c", script])
    spec = pps.ParallelismSpec(constant=workers)
    return pps.CreatePipelineRequest(pipeline=named(name), transform=transform, input=tree, parallelism_spec=spec)


def named(name: str) -> pps.Pipeline:
    return pps.Pipeline(name=name, project=pfs.Project(name="default"))


PIPELINES = [
    pipeline("lines", SUM.replace("$IN", "$source"), leaf("source", "/*"), workers=2),
    pipeline("words", WORDS.replace("$IN", "$source"), leaf("source", "/*")),
    pipeline("both", BOTH, pps.Input(join=[
        leaf("lines", "/(*)", join_on="$1"), leaf("words", "/(*)", join_on="$1")])),
    pipeline("tens", BY_TENS, pps.Input(group=[leaf("both", "/(??)*", group_by="$1")])),
    pipeline("summary", ALL, pps.Input(cross=[leaf("tens", "/"), leaf("both", "/")])),
]  # fmt: skip


def names_of(pipelines: Iterable[pps.CreatePipelineRequest]) -> list[str]:
    return [request.pipeline.name for request in pipelines]


def wanted_outputs(contents: Mapping[str, bytes]) -> dict[str, dict[str, bytes]]:
    """What the pipelines write for these files: pipeline → path → content."""
    lines = {path: _sum(content) for path, content in contents.items()}
    words = {path: b"%d\n" % len(content.split()) for path, content in contents.items()}
    both = {path: lines[path] + words[path] for path in contents}
    groups: dict[str, list[str]] = {}
    for path in sorted(both):
        groups.setdefault(path[:3], []).append(path)
    tens = {group: _sum(b"".join(both[path] for path in paths)) for group, paths in groups.items()}
    everything = b"".join(tens[path] for path in sorted(tens)) + b"".join(both[path] for path in sorted(both))
    return {"lines": lines, "words": words, "both": both, "tens": tens, "summary": {"/all": _sum(everything)}}


def _sum(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode() + b"\n"


@dataclass(frozen=True)
class Dag:
    """The DAG on an instance; every call is tried again while the instance is being killed."""

    pfs: Any
    pps: Any

    @classmethod
    @contextmanager
    def connected(cls, address: str) -> Iterator["Dag"]:
        with grpc.insecure_channel(address) as channel:
            yield cls(pfs_grpc.APIStub(channel), pps_grpc.APIStub(channel))

    def make(self) -> None:
        """The repo and the pipelines."""
        self.pfs.CreateRepo(pfs.CreateRepoRequest(repo=_repo("source")))
        for request in PIPELINES:
            self.pps.CreatePipeline(request)

    def commit(self, files: Mapping[str, bytes], removed: Sequence[str] = ()) -> str:
        """Write one finished commit, whatever is killed meanwhile. Each step is safe to repeat. Returns the id."""
        branch = pfs.Branch(repo=_repo("source"), name="master")
        id = _patiently(lambda: self._open(branch))
        commit = pfs.Commit(repo=branch.repo, id=id)
        _patiently(lambda: self.pfs.ModifyFile(iter(_changes(commit, files, removed)), timeout=20))
        _patiently(lambda: self._finish(commit))
        return id

    def _open(self, branch: pfs.Branch) -> str:
        """A new commit, or the open one that a lost answer was about."""
        head = pfs.Commit(repo=branch.repo, branch=branch)
        try:
            info = self.pfs.InspectCommit(pfs.InspectCommitRequest(commit=head), timeout=10)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
        else:
            if not info.HasField("finishing"):
                return str(info.commit.id)
        return str(self.pfs.StartCommit(pfs.StartCommitRequest(branch=branch), timeout=10).id)

    def _finish(self, commit: pfs.Commit) -> bool:
        try:
            self.pfs.FinishCommit(pfs.FinishCommitRequest(commit=commit), timeout=10)
        except grpc.RpcError as error:
            if "has already finished" not in (error.details() or ""):
                raise
        return True

    def wait(self, id: str) -> None:
        """Until every pipeline's job of that commit set has ended."""
        for name in names_of(PIPELINES):
            asked = pps.InspectJobRequest(job=pps.Job(pipeline=named(name), id=id), wait=True)
            _patiently(lambda asked=asked: self.pps.InspectJob(asked, timeout=60))  # type: ignore[misc]

    def job(self, name: str, id: str) -> pps.JobInfo:
        asked = pps.InspectJobRequest(job=pps.Job(pipeline=named(name), id=id))
        return _patiently(lambda: self.pps.InspectJob(asked, timeout=10))

    def datums(self, name: str, id: str) -> list[pps.DatumInfo]:
        asked = pps.ListDatumRequest(job=pps.Job(pipeline=named(name), id=id))
        return _patiently(lambda: list(self.pps.ListDatum(asked, timeout=20)))

    def outputs(self, id: str) -> dict[str, dict[str, bytes]]:
        """Every file of every pipeline's output commit."""
        return {name: _patiently(lambda name=name: self._files(name, id)) for name in names_of(PIPELINES)}  # type: ignore[misc]

    def _files(self, name: str, id: str) -> dict[str, bytes]:
        commit = pfs.Commit(repo=_repo(name), id=id)
        walk = pfs.WalkFileRequest(file=pfs.File(commit=commit, path="/"))
        found = [info.file.path for info in self.pfs.WalkFile(walk, timeout=20) if info.file_type == pfs.FILE]
        return {path: self._content(commit, path) for path in found}

    def _content(self, commit: pfs.Commit, path: str) -> bytes:
        request = pfs.GetFileRequest(file=pfs.File(commit=commit, path=path))
        return b"".join(part.value for part in self.pfs.GetFile(request, timeout=20))


def _repo(name: str) -> pfs.Repo:
    return pfs.Repo(name=name, type="user", project=pfs.Project(name="default"))


def _changes(commit: pfs.Commit, files: Mapping[str, bytes], removed: Sequence[str]) -> Iterator[pfs.ModifyFileRequest]:
    yield pfs.ModifyFileRequest(set_commit=commit)
    for path in (*files, *removed):
        yield pfs.ModifyFileRequest(delete_file=pfs.DeleteFile(path=path))
    for path, content in files.items():
        yield pfs.ModifyFileRequest(add_file=pfs.AddFile(path=path, raw=BytesValue(value=content)))


def _patiently(call: Callable[[], T]) -> T:
    """Again while the instance is away or being killed; other refusals are the answer."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return call()
        except grpc.RpcError as error:
            if error.code() not in AWAY or time.monotonic() > deadline:
                raise
        time.sleep(0.2)
