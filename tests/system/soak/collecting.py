"""Garbage is collected while somebody writes, and PFS is killed in the middle: in any of its stages, or in one.

Elsewhere: that a collection frees what it should (tests/system/upkeep); every order of its steps (tests/unit/pfs).
"""

import random
import threading

import grpc
from grpc import StatusCode

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import upkeep_v1_pb2 as upkeep
from tests.support.upkeep import upkeep_of
from tests.system.pfs import driver
from tests.system.soak.repo import Files, Repo, overwritten
from tests.system.soak.scenes import OVER, Scene

COLLECT_SECONDS = 120.0
PACKS, FILES_OF_A_PACK, LEFT_OF_A_PACK = 24, 20, 4


def _cut_off(error: Exception) -> bool:
    return isinstance(error, grpc.RpcError) and error.code() in (StatusCode.UNAVAILABLE, StatusCode.CANCELLED)


class Writer:
    """Makes commits one after another, of new content and of what older ones hold, and deletes older ones."""

    MOST = 6

    def __init__(self, repo: Repo, draw: random.Random) -> None:
        self.repo, self._draw = repo, draw
        self._head: Files = {}
        self._maybe: dict[str, Files] = {}  # asked to be deleted, and not answered yet

    def step(self) -> None:
        files = {f"/{self._draw.randrange(60)}": self._data() for _ in range(8)}
        after, copies = {**self._head, **files}, []
        if self.repo.kept:
            id, source = self._draw.choice(list(self.repo.kept.items()))
            path = self._draw.choice([path for path in source if not path.startswith("/copies/")])
            after[f"/copies{path}"] = source[path]
            file = self.repo.api.file(path, self.repo.commit(id))
            copies = [driver.Change(copy_file=pfs.CopyFile(dst=f"/copies{path}", src=file))]
        newest = self.repo.changed((*overwritten(files), *copies))
        self.repo.kept[newest] = self._head = after
        if len(self.repo.kept) > self.MOST:
            self._squash(self._draw.choice([id for id in self.repo.kept if id != newest]))

    def settle(self) -> None:
        """After a kill: what was not answered is done or not; a commit that was left open is closed."""
        there = self.repo.ids()
        self.repo.kept |= {id: files for id, files in self._maybe.items() if id in there}
        self._maybe = {}
        unknown = [id for id in there if id not in self.repo.kept]
        for id in unknown:
            self.repo.close(id)
        if unknown and unknown[0] == there[0]:
            self.repo.api.wait(self.repo.commit(unknown[0]))
            self._head = self.repo.contents(unknown[0])
        self.step()

    def _data(self) -> bytes:
        return self._draw.randbytes(self._draw.choice((0, 100, 5_000, 60_000)))

    def _squash(self, id: str) -> None:
        self.repo.api.wait()  # its children must be finished
        self._maybe = {id: self.repo.kept.pop(id)}
        self.repo.delete_commit(id, squash=True)
        self._maybe = {}


class Collect(Scene):
    """A collection from its beginning to its end; there are always packs for it to rewrite."""

    phases = ("waiting", "looking", "rewriting", "deleting")  # as a collection tells its stages

    def prepare(self) -> None:
        self.rewritten = self.deleted = 0
        self.writer = Writer(Repo(self.reach.channel), random.Random(self.draw.random()))
        self.writer.step()
        self._make_sparse_packs()

    @property
    def repos(self) -> list[Repo]:
        return [self.repo, self.writer.repo]

    def _make_sparse_packs(self) -> None:
        """Each call has its pack; then most of what is in it belongs to no commit any more."""
        packs = [
            {f"/{pack}/{n}": self.draw.randbytes(6000) for n in range(FILES_OF_A_PACK)}  #
            for pack in range(PACKS)
        ]
        first = self.repo.changed(*([driver.put(*file) for file in files.items()] for files in packs))
        every = {path: data for files in packs for path, data in files.items()}
        left = {path: every[path] for files in packs for path in list(files)[:LEFT_OF_A_PACK]}
        second = self.repo.changed(driver.delete(path) for path in every if path not in left)
        dropped = self.repo.one({"/dropped": self.draw.randbytes(100_000)})
        self.repo.api.wait()
        self.repo.delete_commit(first, squash=True)
        self.repo.delete_commit(dropped, squash=False)
        self.repo.kept[second] = left

    def work(self) -> None:
        enough, errors = threading.Event(), list[Exception]()

        def write() -> None:
            try:
                while not enough.is_set():
                    self.writer.step()
            except Exception as error:  # noqa: BLE001 - raised below, by the thread that is looked after
                errors.append(error)

        writing = threading.Thread(target=write)
        writing.start()
        try:
            self._collect()
        finally:
            enough.set()
            writing.join()
            for error in errors:
                if not _cut_off(error):
                    raise error
        assert not errors, errors

    def _collect(self) -> None:
        request = upkeep.CollectGarbageRequest()
        request.hold.SetInParent()  # nobody reads packs by himself here
        for answer in upkeep_of(self.reach.channel).CollectGarbage(request, timeout=COLLECT_SECONDS):
            if answer.HasField("report"):
                self.rewritten += answer.report.rewritten.packs
                self.deleted += answer.report.deleted.packs
            else:
                self.at(answer.stage.split()[0])
        self.at(OVER)

    def end(self) -> None:
        self.writer.settle()
        self._collect()
        self.writer.step()
