"""Walks from one output file back to what it was made from, by the records of the datums that ran."""

from dataclasses import dataclass, field
from pathlib import PurePosixPath

from datamill import Client
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps


@dataclass
class Origin:
    """A file, and what the datum read that wrote it: nothing when a person put it there."""

    repo: str
    commit: str
    path: str
    hash: str
    datum: str = ""
    job: str = ""  # the one that ran the datum; later ones may have skipped it
    read: list["Origin"] = field(default_factory=list)


class Untraceable(Exception):
    """A file of a pipeline that no datum of its job accounts for."""


def trace(client: Client, file: str, *, stem: str, into: frozenset[str]) -> Origin:
    """The origin of `repo@ref:/path`, following files called `stem` through the pipelines named in `into`."""
    info = client.inspect_file(file)
    commit = client.inspect_commit(info.file.commit)
    return _traced(client, info, commit.commit.id, stem, into)


def _traced(client: Client, info: pfs.FileInfo, commit: str, stem: str, into: frozenset[str]) -> Origin:
    repo = _repo(info.file.commit)
    origin = Origin(repo, commit, info.file.path, info.hash.hex())
    if repo not in into or PurePosixPath(info.file.path).stem != stem:
        return origin
    datum = _reading(client, f"{repo}@{commit}", stem)
    origin.datum, origin.job = datum.datum.id, f"{repo}@{datum.datum.job.id or commit}"
    origin.read = [_traced(client, read, read.file.commit.id, stem, into) for read in datum.data]
    return origin


def _reading(client: Client, job: str, stem: str) -> pps.DatumInfo:
    """The datum of a job that reads a file of this name. Raises Untraceable."""
    for datum in client.list_datums(job):
        if any(PurePosixPath(read.file.path).stem == stem for read in datum.data):
            return datum
    raise Untraceable(f"no datum of job {job} reads a file called {stem}")


def _repo(commit: pfs.Commit) -> str:
    return commit.repo.name or commit.branch.repo.name
