"""Kill -9 at random moments of a scene, again and again; every repo of before stays as it was.

Elsewhere: what is done meanwhile, and what must hold (scenes.py).
"""

import random
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import grpc

from datamill.errors import DatamillError
from tests.support.killable import KillablePfs
from tests.system.soak.scenes import SCENES, Reach, Scene

OLD_REPOS = 2  # of before that are looked at after each kill


class Soak:
    """seed: of moments and contents."""

    def __init__(self, pfs: KillablePfs, folder: Path, seed: int) -> None:
        self._pfs, self._folder, self._draw = pfs, folder, random.Random(seed)
        self._seconds: dict[type[Scene], float] = {}
        self._done: list[Scene] = []
        self.killed = Counter[str]()

    def run(self, kills: int) -> None:
        """Raises AssertionError with the scene and the moment."""
        for kind in SCENES:
            self._seconds[kind] = self._in_peace(kind)
        while self.killed.total() < kills:
            kind = min(SCENES, key=lambda kind: self.killed[kind.__name__])
            moment = self._draw.uniform(0, 1.1 * self._seconds[kind])
            try:
                self._kill(kind, moment)
            except BaseException as error:
                error.add_note(f"killed {moment:.4f} s after the start of {kind.__name__}, after {self.killed}")
                error.add_note(self._pfs.log[-4000:])
                raise
        for scene in self._done:
            scene.check(self._reach())

    def _reach(self) -> Reach:
        return Reach(self._pfs.channels[0], self._pfs.address)

    def _scene(self, kind: type[Scene]) -> Scene:
        folder = tempfile.mkdtemp(prefix=kind.__name__, dir=self._folder)
        return kind(self._reach(), Path(folder), self._draw)

    def _in_peace(self, kind: type[Scene]) -> float:
        scene = self._scene(kind)
        began = time.monotonic()
        scene.work()
        seconds = time.monotonic() - began
        scene.check(self._reach())
        return seconds

    def _kill(self, kind: type[Scene], moment: float) -> None:
        scene = self._scene(kind)
        dead, errors = threading.Event(), list[Exception]()
        working = threading.Thread(target=_work, args=(scene, dead, errors))
        working.start()
        time.sleep(moment)  # any moment is a good one
        dead.set()
        self._pfs.kill()
        working.join()
        assert not errors, errors
        self._pfs.restart()
        self.killed[kind.__name__] += 1
        for one in (*self._done[-OLD_REPOS:], scene):
            one.check(self._reach())
        self._done.append(scene)


def _work(scene: Scene, dead: threading.Event, errors: list[Exception]) -> None:
    """Whatever a caller gets when the other side dies is right; before that it is not."""
    try:
        scene.work()
    except (grpc.RpcError, DatamillError) as error:
        if not dead.is_set():
            errors.append(error)
