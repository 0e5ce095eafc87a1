"""What PFS is doing when it is killed: a scene is work that is cut off, and what must hold afterwards.

A scene writes down what was acknowledged (`Repo.kept`, and what it knows itself); `check` holds PFS against that,
brings the work to its end, and leaves a repo of which every commit is known.
Add a scene to SCENES and `make soak` runs it as well. Elsewhere: who kills, and when (killing.py).
"""

import random
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import grpc

from datamill import Client
from datamill.wire import pfs_v2_pb2 as pfs
from tests.system.pfs import driver

Files = Mapping[str, bytes]
FINISH_SECONDS = 60.0
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

    def commit(self, id: str) -> pfs.Commit:
        return pfs.Commit(repo=self.api.wire, id=id)

    def one(self, files: Files) -> str:
        """A commit with these files added, closed."""
        commit = self.api.start()
        self.api.stream((driver.put(path, data) for path, data in files.items()), commit)
        self.close(commit.id)
        return str(commit.id)

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
            assert found == self.kept.get(id, found), f"{id} of {self.name} does not hold what was written"
            assert info.details.size_bytes == sum(map(len, found.values()))


class Scene:
    """reach: the PFS of now; folder: for files of this scene; draw: gives other contents every time."""

    def __init__(self, reach: Reach, folder: Path, draw: random.Random) -> None:
        self.reach, self.folder, self.draw = reach, folder, draw
        self.repo = Repo(reach.channel)
        self.prepare()

    def prepare(self) -> None:
        """What comes before the work, in peace."""

    def work(self) -> None:
        """What is cut off."""
        raise NotImplementedError

    def check(self, reach: Reach) -> None:
        """After the restart."""
        self.reach, self.repo = reach, Repo(reach.channel, self.repo.name, self.repo.kept)
        self.end()
        self.repo.check()

    def end(self) -> None:
        """Hold what was acknowledged against what is there, and bring the work to its end."""
        raise NotImplementedError

    def files(self, count: int, most_bytes: int) -> dict[str, bytes]:
        """Contents that nobody had before."""
        return {f"/{n % 7}/{n:05d}": self.draw.randbytes(self.draw.randrange(most_bytes)) for n in range(count)}


class Import(Scene):
    """The library puts a folder: packs straight into the store, then entries; and its commit is finished."""

    def prepare(self) -> None:
        self.wanted = {**self.files(300, 4000), "/big": self.draw.randbytes(6 << 20)}
        for path, data in self.wanted.items():
            (place := self.folder / path[1:]).parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        self.repo.kept[self.repo.one({"/before": b"1"})] = {"/before": b"1"}
        self.id = ""
        self.put = False

    def work(self) -> None:
        with Client(f"grpc://{self.reach.address}", timeout=60) as client:
            self.id = self.id or client.start_commit(f"{self.repo.name}@master").id
            client.put_folder(self.folder, f"{self.repo.name}@{self.id}:/")
            self.put = True
        self._close()

    def _close(self) -> None:
        self.repo.close(self.id)
        self.repo.kept[self.id] = {"/before": b"1", **self.wanted}

    def end(self) -> None:
        open_ones = [id for id in self.repo.ids() if id not in self.repo.kept]
        assert not self.id or self.id in self.repo.ids(), "an open commit is lost"
        self.id = self.id or "".join(open_ones)  # its answer may have been lost
        if self.id not in self.repo.kept:
            if self.put:
                assert self.repo.contents(self.id) == {"/before": b"1", **self.wanted}
                self._close()
            else:
                self.work()  # goes on from where it was cut off; what was put before is replaced by the same


class Finish(Scene):
    """A big commit is closed, and built."""

    def prepare(self) -> None:
        before = self.files(1500, 40)
        self.repo.kept[self.repo.one(before)] = before
        more = {path.replace("/0/", "/new/"): self.draw.randbytes(20) for path in self.files(4000, 2)}
        commit = self.repo.api.start()
        for at in range(3):  # in several layers
            self.repo.api.stream(overwritten(dict(list(more.items())[at::3])), commit)
        self.id, self.wanted = commit.id, {**before, **more}

    def work(self) -> None:
        self.repo.close(self.id)
        self.repo.kept[self.id] = self.wanted
        self.repo.api.wait(self.repo.commit(self.id))

    def end(self) -> None:
        self.repo.close(self.id)
        self.repo.kept[self.id] = self.wanted


class Squash(Scene):
    """Commits in the middle of a chain are squashed, and the newest ones dropped, one after another."""

    CHAIN = 8

    def prepare(self) -> None:
        seen: dict[str, bytes] = {}
        self.chain: list[str] = []
        for _ in range(self.CHAIN):
            more = self.files(40, 30)
            changes = [
                change for path, data in more.items() for change in (driver.delete(path), driver.put(path, data))
            ]
            commit = self.repo.api.start()
            self.repo.api.stream(changes, commit)
            self.repo.close(commit.id)
            seen = {**seen, **more}
            self.repo.kept[commit.id] = seen
            self.chain.append(commit.id)
        self.repo.api.wait()
        self.gone: list[str] = []
        self.maybe: dict[str, Files] = {}

    def work(self) -> None:
        for id in self.chain[1:-3:2]:
            self._delete(id, squash=True)
        for id in self.chain[:-3:-1]:
            self._delete(id, squash=False)

    def _delete(self, id: str, *, squash: bool) -> None:
        files = self.repo.kept.pop(id)  # from now on either way is right
        self.maybe = {id: files}
        commit = self.repo.commit(id)
        if squash:
            self.repo.api.api.SquashCommit(pfs.SquashCommitRequest(commit=commit))
        else:
            self.repo.api.api.DropCommit(pfs.DropCommitRequest(commit=commit))
        self.gone.append(id)

    def end(self) -> None:
        there = self.repo.ids()
        assert not set(self.gone) & set(there), "a deleted commit is back"
        self.repo.kept |= {id: files for id, files in self.maybe.items() if id in there}
        assert set(there) == set(self.repo.kept)


SCENES: tuple[type[Scene], ...] = (Import, Finish, Squash)
"""All that PFS is killed at."""
