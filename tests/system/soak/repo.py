"""A repo of the soak, and what is known of it: what each acknowledged commit holds.

Elsewhere: what is done to it (scenes.py, collecting.py).
"""

import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO

import grpc

from datamill.wire import pfs_v2_pb2 as pfs
from tests.system.pfs import driver

Files = Mapping[str, bytes]
FINISH_SECONDS = 120.0
FINISHED_ALREADY = "has already finished"


def overwritten(files: Files) -> Iterator[driver.Change]:
    """The files as they are now, whatever was there."""
    for path, data in files.items():
        yield from (driver.delete(path), driver.put(path, data))


@dataclass(frozen=True)
class Reach:
    """A PFS that runs."""

    channel: grpc.Channel
    address: str


@dataclass
class Repo:
    """A repo on the PFS of now. kept: what each acknowledged commit holds, by id."""

    channel: grpc.Channel
    name: str = ""
    kept: dict[str, Files] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.api = driver.Repo(self.channel, self.name)
        self.name = self.api.name

    def move(self, channel: grpc.Channel) -> None:
        """It is reached this way from now on."""
        self.channel, self.api = channel, driver.Repo(channel, self.name)

    def commit(self, id: str) -> pfs.Commit:
        return pfs.Commit(repo=self.api.wire, id=id)

    def one(self, files: Files) -> str:
        """A commit with these files added, closed."""
        return self.changed(driver.put(path, data) for path, data in files.items())

    def changed(self, *streams: Iterable[driver.Change]) -> str:
        """A commit with these changes, each stream in a call of its own, closed."""
        commit = self.api.start()
        for changes in streams:
            self.api.stream(changes, commit)
        self.close(commit.id)
        return str(commit.id)

    def delete_commit(self, id: str, *, squash: bool) -> None:
        commit = self.commit(id)
        if squash:
            self.api.api.SquashCommit(pfs.SquashCommitRequest(commit=commit))
        else:
            self.api.api.DropCommit(pfs.DropCommitRequest(commit=commit))

    def close(self, id: str) -> None:
        """Finish a commit; it may be closed already."""
        try:
            self.api.api.FinishCommit(pfs.FinishCommitRequest(commit=self.commit(id)))
        except grpc.RpcError as error:
            if FINISHED_ALREADY not in (error.details() or ""):
                raise

    def ids(self) -> list[str]:
        """Of all commits, newest first."""
        return driver.commits(self.api)

    def contents(self, id: str) -> dict[str, bytes]:
        """Every file of a commit; each is held against its hash on the way."""
        if not self.api.ls("/", self.commit(id)):
            return {}
        with tarfile.open(fileobj=BytesIO(self.api.tar("/", self.commit(id)))) as archive:
            found = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
            return {"/" + name.lstrip("/"): file.read() for name, file in found.items() if file is not None}

    def check(self) -> None:
        """Every acknowledged commit is there, finished and whole; every other one is finished and can be read."""
        ids = self.ids()
        assert set(self.kept) <= set(ids), f"lost: {set(self.kept) - set(ids)}"
        for id in ids:
            request = pfs.InspectCommitRequest(commit=self.commit(id), wait=pfs.CommitState.FINISHED)
            info = self.api.api.InspectCommit(request, timeout=FINISH_SECONDS)
            assert not info.error, info.error
            found = self.contents(id)
            wanted = self.kept.get(id, found)
            other = sorted(path for path in {*found, *wanted} if found.get(path) != wanted.get(path))
            assert not other, f"{id} of {self.name} does not hold what was written: {other[:9]}"
            assert info.details.size_bytes == sum(map(len, found.values()))
