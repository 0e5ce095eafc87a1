"""What PFS is doing when it is killed: a scene is work that is cut off, and what must hold afterwards.

A scene writes down what was acknowledged (`Repo.kept`, and what it knows itself); `check` holds PFS against that,
brings the work to its end, and leaves a repo of which every commit is known.
Elsewhere: collections of garbage (collecting.py); who kills, and when (killing.py).
"""

import random
import threading
import time
from pathlib import Path
from typing import ClassVar

from datamill import Client
from datamill.wire import pfs_v2_pb2 as pfs
from tests.system.soak.repo import Files, Reach, Repo, overwritten

OVER = "over"


class Scene:
    """reach: the PFS of now; folder: for files of this scene; draw: gives other contents every time."""

    phases: ClassVar[tuple[str, ...]]
    """What the work is made of, in order."""

    def __init__(self, reach: Reach, folder: Path, draw: random.Random) -> None:
        self.reach, self.folder, self.draw = reach, folder, draw
        self.repo = Repo(reach.channel)
        self.doing = ""
        self.reached = {phase: threading.Event() for phase in self.phases}
        self.times = dict[str, float]()
        """When each phase began, by the monotonic clock, and OVER."""
        self._ended = False
        self.prepare()

    @property
    def repos(self) -> list[Repo]:
        """All that the scene has made."""
        return [self.repo]

    def at(self, phase: str) -> None:
        """The work has come to this phase, or is OVER."""
        self.doing = phase
        self.times[phase] = time.monotonic()
        if phase in self.reached:
            self.reached[phase].set()

    def seconds(self) -> dict[str, float]:
        """How long each phase took, of work that has come to its end."""
        ends = [*list(self.times.values())[1:], 0.0]
        return {phase: end - began for (phase, began), end in zip(self.times.items(), ends, strict=True) if end}

    def prepare(self) -> None:
        """What comes before the work, in peace."""

    def work(self) -> None:
        """What is cut off."""
        raise NotImplementedError

    def check(self, reach: Reach) -> None:
        """After the restart."""
        self.reach = reach
        for repo in self.repos:
            repo.move(reach.channel)
        if not self._ended:
            self.end()
            self._ended = True
        for repo in self.repos:
            repo.check()

    def end(self) -> None:
        """Hold what was acknowledged against what is there, and bring the work to its end."""
        raise NotImplementedError

    def delete(self) -> None:
        """All that there is of it becomes garbage."""
        for repo in self.repos:
            repo.api.api.DeleteRepo(pfs.DeleteRepoRequest(repo=repo.api.wire, force=True))

    def files(self, count: int, most_bytes: int) -> dict[str, bytes]:
        """Contents that nobody had before."""
        return {f"/{n % 7}/{n:05d}": self.draw.randbytes(self.draw.randrange(most_bytes)) for n in range(count)}


class Import(Scene):
    """The library puts a folder: packs straight into the store, then entries; and its commit is finished."""

    phases = ("putting", "closing")

    def prepare(self) -> None:
        self.wanted = {**self.files(300, 4000), "/big": self.draw.randbytes(6 << 20)}
        for path, data in self.wanted.items():
            (place := self.folder / path[1:]).parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        self.repo.kept[self.repo.one({"/before": b"1"})] = {"/before": b"1"}
        self.id = ""
        self.put = False

    def work(self) -> None:
        self.at("putting")
        with Client(f"grpc://{self.reach.address}", timeout=60) as client:
            self.id = self.id or client.start_commit(f"{self.repo.name}@master").id
            client.put_folder(self.folder, f"{self.repo.name}@{self.id}:/")
            self.put = True
        self._close()

    def _close(self) -> None:
        self.at("closing")
        self.repo.close(self.id)
        self.repo.kept[self.id] = {"/before": b"1", **self.wanted}
        self.at(OVER)

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

    phases = ("closing", "finishing")

    def prepare(self) -> None:
        before = self.files(1500, 40)
        self.repo.kept[self.repo.one(before)] = before
        more = {path.replace("/0/", "/new/"): self.draw.randbytes(20) for path in self.files(4000, 2)}
        commit = self.repo.api.start()
        for at in range(3):  # in several layers
            self.repo.api.stream(overwritten(dict(list(more.items())[at::3])), commit)
        self.id, self.wanted = commit.id, {**before, **more}

    def work(self) -> None:
        self.at("closing")
        self.repo.close(self.id)
        self.repo.kept[self.id] = self.wanted
        self.at("finishing")
        self.repo.api.wait(self.repo.commit(self.id))
        self.at(OVER)

    def end(self) -> None:
        self.repo.close(self.id)
        self.repo.kept[self.id] = self.wanted


class Squash(Scene):
    """Commits in the middle of a chain are squashed, and the newest ones dropped, one after another."""

    phases = ("squashing", "dropping")
    CHAIN = 8

    def prepare(self) -> None:
        seen: dict[str, bytes] = {}
        self.chain: list[str] = []
        for _ in range(self.CHAIN):
            more = self.files(40, 30)
            commit = self.repo.api.start()
            self.repo.api.stream(overwritten(more), commit)
            self.repo.close(commit.id)
            seen = {**seen, **more}
            self.repo.kept[commit.id] = seen
            self.chain.append(commit.id)
        self.repo.api.wait()
        self.gone: list[str] = []
        self.maybe: dict[str, Files] = {}  # asked to be deleted, and not answered yet

    def work(self) -> None:
        self.at("squashing")
        for id in self.chain[1:-3:2]:
            self._delete(id, squash=True)
        self.at("dropping")
        for id in self.chain[:-3:-1]:
            self._delete(id, squash=False)
        self.at(OVER)

    def _delete(self, id: str, *, squash: bool) -> None:
        files = self.repo.kept.pop(id)  # from now on either way is right
        self.maybe = {id: files}
        self.repo.delete_commit(id, squash=squash)
        self.gone.append(id)

    def end(self) -> None:
        there = self.repo.ids()
        assert not set(self.gone) & set(there), "a deleted commit is back"
        self.repo.kept |= {id: files for id, files in self.maybe.items() if id in there}
        assert set(there) == set(self.repo.kept)
