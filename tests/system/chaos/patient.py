"""A client for an instance that is being killed: each step is safe to repeat, and is repeated until it is answered.

Elsewhere: who is killed, and when (kills.py); what is asked for (dag.py, story.py).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import grpc

from datamill import Client
from datamill.errors import AlreadyExists, Cancelled, DatamillError, Failed, NotFound, Timeout, Unavailable
from datamill.methods.pipelines import Spec
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps

T = TypeVar("T")
Content = bytes | Path
PATIENCE = 150.0  # seconds
CALL_SECONDS = 60.0
FINISHED_ALREADY = "has already finished"


class Patient(Client):
    """The client of everybody, and steps that get there whatever is killed meanwhile."""

    def __init__(self, address: str) -> None:
        super().__init__(address, timeout=CALL_SECONDS)

    def have_repo(self, name: str) -> None:
        patiently(lambda: self.create_repo(name, update=True))

    def have_pipeline(self, name: str, spec: Spec) -> None:
        """Make a pipeline, or find that a call whose answer was lost has made it."""

        def make() -> None:
            try:
                self.create_pipeline(spec)
            except AlreadyExists:
                self.inspect_pipeline(name)  # NotFound: it was given up after all, and is made again

        patiently(make)

    def have_commit(self, branch: str, files: Mapping[str, Content], removed: Sequence[str] = ()) -> str:
        """Write one finished commit. Returns its id."""
        ref = patiently(lambda: self._opened(branch))
        patiently(lambda: self.put_files(ref, files.items()))
        for path in removed:
            patiently(lambda path=path: self.delete_file(pfs.File(commit=ref, path=path)))  # type: ignore[misc]
        patiently(lambda: self._finished(ref))
        return ref.id

    def _opened(self, branch: str) -> pfs.Commit:
        """A new commit, or the open one that a lost answer was about."""
        try:
            head = self.inspect_commit(branch)
        except NotFound:
            return self.start_commit(branch)
        return self.start_commit(branch) if head.HasField("finishing") else head.commit

    def _finished(self, ref: pfs.Commit) -> None:
        try:
            self.finish_commit(ref)
        except Failed as error:
            if FINISHED_ALREADY not in error.message:
                raise

    def head(self, branch: str) -> str:
        """The id of a branch's newest commit."""
        return patiently(lambda: self.inspect_commit(branch).commit.id)

    def ended(self, name: str, id: str) -> pps.JobInfo:
        """The job of a pipeline for a commit, once it has ended."""
        return patiently(lambda: self.wait_job(f"{name}@{id}"))

    def job(self, name: str, id: str) -> pps.JobInfo:
        return patiently(lambda: self.inspect_job(f"{name}@{id}"))

    def jobs(self, name: str) -> list[pps.JobInfo]:
        """Every job of a pipeline, newest first."""
        return patiently(lambda: list(self.list_jobs(pipeline=name)))

    def datums(self, name: str, id: str) -> list[pps.DatumInfo]:
        return patiently(lambda: list(self.list_datums(f"{name}@{id}")))

    def hashes(self, repo: str, id: str) -> dict[str, str]:
        """Path → hash of everything in a commit."""
        found = patiently(lambda: list(self.walk_files(f"{repo}@{id}:/")))
        return {info.file.path: info.hash.hex() for info in found}

    def contents(self, repo: str, id: str) -> dict[str, bytes]:
        """Path → content of every file in a commit."""
        found = patiently(lambda: list(self.walk_files(f"{repo}@{id}:/")))
        paths = [info.file.path for info in found if info.file_type == pfs.FILE]
        return {path: patiently(lambda path=path: self.get(f"{repo}@{id}:{path}")) for path in paths}  # type: ignore[misc]


def patiently(call: Callable[[], T]) -> T:
    """Again while the instance is away or being killed; other refusals are the answer."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return call()
        except DatamillError as error:
            if not _may_pass(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.2)


def _may_pass(error: DatamillError) -> bool:
    away = isinstance(error, Unavailable | Timeout | NotFound | Cancelled)
    return away or error.code is grpc.StatusCode.INTERNAL
