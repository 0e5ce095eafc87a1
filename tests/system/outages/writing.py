"""A client that goes on through an outage: every commit is repeated until it is acknowledged, every refusal is kept.

Elsewhere: what is away, and when (the tests beside).
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import grpc

from datamill.wire import pfs_v2_pb2 as pfs
from tests.support.patience import eventually
from tests.system.soak.repo import Repo, overwritten

T = TypeVar("T")
PATIENCE = 150.0  # seconds
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


class Writer:
    """Commits to one repo, one after another. refusals: what was said meanwhile."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.repo = Repo(channel)
        self.refusals: list[str] = []
        self._head: dict[str, bytes] = {}

    def step(self) -> None:
        """One commit, until it is acknowledged. Raises what is no outage."""
        number = len(self.repo.kept)
        files = {f"/{number % 20}": random.randbytes(2000)}
        id = self._lasting(self._opened)
        self._lasting(lambda: self._written(id, files))
        self._head = {**self._head, **files}
        self.repo.kept[id] = self._head

    def check(self) -> None:
        """Nothing of what was acknowledged is lost, and nothing else is there."""
        assert set(self.repo.ids()) == set(self.repo.kept)
        self.repo.check()

    def _opened(self) -> str:
        """A new commit, or the one whose answer was lost."""
        left = [id for id in self.repo.ids() if id not in self.repo.kept]
        return left[0] if left else str(self.repo.api.start().id)

    def _written(self, id: str, files: dict[str, bytes]) -> None:
        commit = self.repo.commit(id)
        if self.repo.api.api.InspectCommit(pfs.InspectCommitRequest(commit=commit)).HasField("finishing"):
            return  # it was closed, and the answer was lost
        self.repo.api.stream(overwritten(files), commit)
        self.repo.close(id)

    def _lasting(self, call: Callable[[], T]) -> T:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return call()
            except grpc.RpcError as error:
                if error.code() is not UNAVAILABLE or time.monotonic() > deadline:
                    raise
                self.refusals.append(error.details() or "")
            time.sleep(0.1)


class Writing:
    """Several writers at work."""

    def __init__(self, channel: grpc.Channel, count: int = 2) -> None:
        self.writers = [Writer(channel) for _ in range(count)]
        self.errors: list[Exception] = []
        self._enough = threading.Event()

    @property
    def refusals(self) -> list[str]:
        return [text for writer in self.writers for text in writer.refusals]

    def go_on(self, commits: int = 3) -> None:
        """Wait until each writer has made so many more."""
        wanted = [len(writer.repo.kept) + commits for writer in self.writers]

        def done() -> bool:
            assert not self.errors, self.errors
            return all(len(writer.repo.kept) >= many for writer, many in zip(self.writers, wanted, strict=True))

        eventually(done, within=PATIENCE)

    def run(self, writer: Writer) -> None:
        try:
            while not self._enough.is_set():
                writer.step()
        except Exception as error:  # noqa: BLE001 - raised by whoever waits
            self.errors.append(error)

    def stop(self) -> None:
        self._enough.set()


@contextmanager
def writing(channel: grpc.Channel, count: int = 2) -> Iterator[Writing]:
    """Write during the block; at its end every writer's repo is checked."""
    found = Writing(channel, count)
    threads = [threading.Thread(target=found.run, args=(writer,)) for writer in found.writers]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        found.stop()
        for thread in threads:
            thread.join()
    assert not found.errors, found.errors
    for writer in found.writers:
        writer.check()
