"""Kill -9 at random moments of a scene, again and again; every repo of before stays as it was, and all hangs together.

Elsewhere: what is done meanwhile, and what must hold (scenes.py, collecting.py).
"""

import random
import tempfile
import threading
import time
from collections import Counter, deque
from itertools import cycle, islice
from pathlib import Path

import grpc

from datamill.errors import DatamillError
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import upkeep_v1_pb2 as upkeep
from datamill.wire.pfs_v2_pb2_grpc import APIStub
from tests.support.killable import KillablePfs
from tests.support.upkeep import upkeep_of
from tests.system.soak.collecting import Collect
from tests.system.soak.repo import Reach
from tests.system.soak.scenes import Finish, Import, Scene, Squash

SCENES: tuple[type[Scene], ...] = (Import, Finish, Squash, Collect)
AIMS: tuple[tuple[type[Scene], str], ...] = (
    (Import, "putting"),
    (Collect, "rewriting"),
    (Finish, "finishing"),
    (Squash, "squashing"),
    (Collect, "looking"),
    (Finish, "closing"),
    (Collect, "deleting"),
    (Import, "closing"),
    (Squash, "dropping"),
    (Collect, "waiting"),
)
"""The phases of scenes that PFS is killed in, in turn: a short run has the first ones."""
OLD_SCENES = 4  # of before that are looked at after each kill; older ones become garbage
REACH_SECONDS = CHECK_SECONDS = 120.0


class Soak:
    """seed: of moments and contents."""

    def __init__(self, pfs: KillablePfs, folder: Path, seed: int) -> None:
        self._pfs, self._folder, self._draw = pfs, folder, random.Random(seed)
        self._seconds = dict[tuple[type[Scene], str], float]()
        self._done = deque[Scene]()
        self.killed = Counter[tuple[str, str]]()
        """By scene and phase."""
        self.rewritten = self.deleted = 0
        """Packs, by collections that came to their end."""

    def run(self, kills: int) -> None:
        """Raises AssertionError with the scene and the moment."""
        for kind in SCENES:
            self._in_peace(kind)
        for kind, phase in islice(cycle(AIMS), kills):
            moment = self._draw.uniform(0, 1.1 * self._seconds[kind, phase])
            try:
                self._kill(kind, phase, moment)
            except BaseException as error:
                error.add_note(f"killed {moment:.4f} s after {kind.__name__} was {phase}, after {self.killed}")
                error.add_note(self._pfs.log[-4000:])
                raise

    def missed(self) -> set[tuple[str, str]]:
        """Phases in which no kill has fallen."""
        return {(kind.__name__, phase) for kind, phase in AIMS} - set(self.killed)

    def _reach(self) -> Reach:
        return Reach(self._pfs.channels[0], self._pfs.address)

    def _scene(self, kind: type[Scene]) -> Scene:
        folder = tempfile.mkdtemp(prefix=kind.__name__, dir=self._folder)
        return kind(self._reach(), Path(folder), self._draw)

    def _in_peace(self, kind: type[Scene]) -> None:
        scene = self._scene(kind)
        scene.work()
        self._seconds |= {(kind, phase): seconds for phase, seconds in scene.seconds().items()}
        self._check(scene)

    def _kill(self, kind: type[Scene], phase: str, moment: float) -> None:
        scene = self._scene(kind)
        dead, errors = threading.Event(), list[Exception]()
        working = threading.Thread(target=_work, args=(scene, dead, errors))
        working.start()
        reached = scene.reached[phase].wait(REACH_SECONDS)
        time.sleep(moment)  # any moment is a good one
        dead.set()
        self._pfs.kill()
        self.killed[kind.__name__, scene.doing] += 1
        working.join()
        assert not errors, errors
        assert reached, f"{kind.__name__} did not come to {phase}, only to {scene.doing}"
        self._pfs.restart()
        self._check(scene)

    def _check(self, scene: Scene) -> None:
        for one in (scene, *self._done):
            one.check(self._reach())
        _sound(self._reach().channel)
        if isinstance(scene, Collect):
            self.rewritten, self.deleted = self.rewritten + scene.rewritten, self.deleted + scene.deleted
        self._done.append(scene)
        if len(self._done) > OLD_SCENES:
            self._done.popleft().delete()


def _sound(channel: grpc.Channel) -> None:
    """Nothing refers to what is not there, and everything there is what its hash says."""
    api = APIStub(channel)
    assert [answer.error for answer in api.Fsck(pfs.FsckRequest(), timeout=CHECK_SECONDS)] == []
    api.CheckStorage(pfs.CheckStorageRequest(read_chunk_data=True), timeout=CHECK_SECONDS)
    answers = list(upkeep_of(channel).Scrub(upkeep.ScrubRequest(), timeout=CHECK_SECONDS))
    assert answers[-1].report.damaged == 0, answers


def _work(scene: Scene, dead: threading.Event, errors: list[Exception]) -> None:
    """Whatever a caller gets when the other side dies is right; before that it is not."""
    try:
        scene.work()
    except (grpc.RpcError, DatamillError) as error:
        if not dead.is_set():
            errors.append(error)
    except Exception as error:  # noqa: BLE001 - told by the thread that kills
        errors.append(error)
