"""A whole instance in a temporary folder, spoken to through its gateway as any client would."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import BytesValue

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pfs_v2_pb2_grpc as pfs_grpc
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import pps_v2_pb2_grpc as pps_grpc
from tests.support.servers import free_port

MESSAGE_BYTES = 20 << 20
FINISHED = pfs.CommitState.FINISHED


@dataclass(frozen=True)
class Instance:
    """Its address, and stubs on one channel."""

    address: str
    folder: Path
    pfs: Any
    pps: Any

    def command(self, *words: str) -> list[str]:
        """The command line, aimed at this instance."""
        return [sys.executable, "-m", "datamill.cli.main", "--address", f"grpc://{self.address}", *words]

    def repo(self, name: str) -> None:
        self.pfs.CreateRepo(pfs.CreateRepoRequest(repo=repo(name)))

    def commit(self, name: str, files: dict[str, bytes]) -> str:
        """Start, write, finish and wait until FINISHED. Returns the commit's id."""
        started = self.pfs.StartCommit(pfs.StartCommitRequest(branch=pfs.Branch(repo=repo(name), name="master")))
        self.pfs.ModifyFile(iter(changes(started, files)))
        self.pfs.FinishCommit(pfs.FinishCommitRequest(commit=started))
        self.pfs.InspectCommit(pfs.InspectCommitRequest(commit=started, wait=FINISHED))
        return str(started.id)

    def pipeline(self, request: pps.CreatePipelineRequest) -> None:
        self.pps.CreatePipeline(request)

    def job(self, pipeline: str, id: str) -> pps.JobInfo:
        """Wait for a job to end, and return it. Raises AssertionError when it did not succeed."""
        asked = pps.InspectJobRequest(job=pps.Job(pipeline=named(pipeline), id=id), wait=True, details=True)
        info: pps.JobInfo = self.pps.InspectJob(asked, wait_for_ready=True)
        assert info.state == pps.JOB_SUCCESS, info
        return info

    def idle(self, pipeline: str) -> None:
        """Wait until the pipeline has workers and no open job, so that a measurement starts warm."""
        asked = pps.InspectPipelineRequest(pipeline=named(pipeline), details=True)
        for _ in range(600):
            info = self.pps.InspectPipeline(asked)
            jobs = list(self.pps.ListJob(pps.ListJobRequest(pipeline=named(pipeline))))
            ended = all(job.state in (pps.JOB_SUCCESS, pps.JOB_FAILURE, pps.JOB_KILLED) for job in jobs)
            if ended and info.details.workers_available >= info.details.workers_requested:
                return
            time.sleep(0.1)
        raise AssertionError(f"{pipeline} did not become idle: {info}")


def repo(name: str) -> pfs.Repo:
    return pfs.Repo(name=name, type="user", project=pfs.Project(name="default"))


def named(pipeline: str) -> pps.Pipeline:
    return pps.Pipeline(name=pipeline, project=pfs.Project(name="default"))


def changes(commit: pfs.Commit, files: dict[str, bytes]) -> Iterator[pfs.ModifyFileRequest]:
    """Overwrite each file."""
    yield pfs.ModifyFileRequest(set_commit=commit)
    for path, content in files.items():
        yield pfs.ModifyFileRequest(delete_file=pfs.DeleteFile(path=path))
        yield pfs.ModifyFileRequest(add_file=pfs.AddFile(path=path, raw=BytesValue(value=content)))


@contextmanager
def instance() -> Iterator[Instance]:
    """Start one; stop it and remove its folder at the end."""
    with tempfile.TemporaryDirectory(prefix="datamill-bench-") as name:
        folder, port = Path(name), free_port()
        control = [sys.executable, "-m", "datamill.cli.main"]
        subprocess.run([*control, "up", "--data-dir", name, "--port", str(port), "--detach"], check=True)
        address = f"127.0.0.1:{port}"
        limits = [("grpc.max_receive_message_length", MESSAGE_BYTES), ("grpc.max_send_message_length", MESSAGE_BYTES)]
        try:
            with grpc.insecure_channel(address, options=limits) as channel:
                yield Instance(address, folder, pfs_grpc.APIStub(channel), pps_grpc.APIStub(channel))
        finally:
            subprocess.run([*control, "down", "--data-dir", name], check=False)
