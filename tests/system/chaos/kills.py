"""An instance, and somebody who kills its processes one after another, each kind of them about as often.

CHAOS_SEED and CHAOS_KILLS choose other moments and more of them, for long runs:
`CHAOS_SEED=7 CHAOS_KILLS=100 pytest tests/system/chaos`.
"""

import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from deploy.local.running.parts import MARK

SEED = int(os.environ.get("CHAOS_SEED", "20260101"))
KILLS = int(os.environ.get("CHAOS_KILLS", "16"))
PAUSE = (0.2, 1.0)  # seconds between kills
LOOK_SECONDS = 2.0
USER_CODE = "user code"
KINDS = frozenset(
    {"nats-server", "envoy", "services.pfs", "services.pps", "services.jobs", "services.worker", "bwrap", USER_CODE}
)


@contextmanager
def up(folder: Path, port: int) -> Iterator[None]:
    """A whole instance on `folder`, whose user code finds this interpreter first: the example's needs its packages."""
    control = [sys.executable, "-m", "datamill.cli.main"]
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    line = [*control, "up", "--data-dir", str(folder), "--port", str(port), "--detach"]
    subprocess.run(line, env=environ, check=True, timeout=120)
    try:
        yield
    finally:
        subprocess.run([*control, "down", "--data-dir", str(folder)], check=True, timeout=120)


def processes(folder: Path, *, supervisor: bool = False) -> dict[int, psutil.Process]:
    """Everything of the instance that runs now: services, NATS, gateway, workers, user code."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            words, mine = process.cmdline(), process.environ().get(MARK) == str(folder)
        except psutil.Error:
            continue
        leads = "deploy.local.running.supervisor" in words
        if (mine and not leads) or (leads and supervisor and str(folder) in words):
            found[process.pid] = process
    for process in list(found.values()):
        with suppress(psutil.Error):  # user code does not see the mark of its instance
            found |= {child.pid: child for child in process.children(recursive=True) if _kind(child) == USER_CODE}
    return found


def kill(process: psutil.Process) -> None:
    """As `kill -9`. No error when it has just ended."""
    with suppress(psutil.NoSuchProcess):
        process.kill()


@contextmanager
def killing(folder: Path) -> Iterator[Counter[str]]:
    """Kill during the block, and after it until it was KILLS times. Yields how often each kind was killed."""
    draw, enough, killed = random.Random(SEED), threading.Event(), Counter[str]()

    def keep_killing() -> None:
        while killed.total() < KILLS and not enough.wait(draw.uniform(*PAUSE)):
            _kill_one(folder, draw, killed)

    killer = threading.Thread(target=keep_killing)
    killer.start()
    try:
        yield killed
    except BaseException:
        enough.set()
        raise
    finally:
        killer.join()
        print("killed:", *(f"{kind} {count}" for kind, count in killed.most_common()), sep="\n  ")


@contextmanager
def killing_at_a_pace(folder: Path, seconds: float) -> Iterator[Counter[str]]:
    """Kill a process every so many seconds until the block ends, each kind in turn, at whatever it is: even coming up.

    A kind of which there is none now is passed over. On a machine on which services need more than three times as long
    to come up, the time between kills grows with that. Yields how often each was killed.
    """
    draw, enough, killed = random.Random(SEED), threading.Event(), Counter[str]()

    def keep_killing() -> None:
        turns, pauses = deque(sorted(KINDS)), _Pauses(seconds)
        while not enough.wait(pauses.next()):
            running = _running(folder)
            kind = next((kind for kind in turns if kind in running), None)
            if kind is not None:
                chosen = draw.choice(running[kind])
                pauses.killed(chosen)
                kill(chosen)
                killed[kind] += 1
                turns.remove(kind)
                turns.append(kind)

    killer = threading.Thread(target=keep_killing)
    killer.start()
    try:
        yield killed
    finally:
        enough.set()
        killer.join()
        print("killed:", *(f"{kind} {count}" for kind, count in killed.most_common()), sep="\n  ")


@contextmanager
def hanging_workers(folder: Path, seconds: float) -> Iterator[Counter[str]]:
    """Let one worker after another hang for so long, but not the user code it runs. Yields how often."""
    draw, enough, hung = random.Random(SEED), threading.Event(), Counter[str]()

    def keep_hanging() -> None:
        while not enough.wait(1.0):
            workers = _running(folder).get("services.worker", [])
            if workers:
                chosen = draw.choice(workers)
                with suppress(psutil.Error):
                    chosen.suspend()
                    enough.wait(seconds)
                    chosen.resume()
                    hung["hung"] += 1

    hanging = threading.Thread(target=keep_hanging)
    hanging.start()
    try:
        yield hung
    finally:
        enough.set()
        hanging.join()
        print(f"hung until resumed: {hung['hung']}")


class _Pauses:
    """Between kills: so many seconds, or a third of what services have needed of late to come up."""

    def __init__(self, seconds: float) -> None:
        self._least = self._pause = seconds
        self._down: dict[str, float] = {}
        """Address → since when."""

    def killed(self, process: psutil.Process) -> None:
        with suppress(psutil.Error):
            for name, value in process.environ().items():
                if name in ("PFS_LISTEN", "PPS_LISTEN", "JOBS_LISTEN") and _kind(process).startswith("services."):
                    self._down.setdefault(value, time.monotonic())

    def next(self) -> float:
        ages = {address: time.monotonic() - since for address, since in self._down.items()}
        back = [address for address in ages if _answers(address)]
        if back:
            self._pause = max(self._least, *(ages[address] / 3 for address in back))
        for address in back:
            del self._down[address]
        return max(self._pause, *(age / 3 for age in ages.values()), self._least)


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 1.0).close()
    except OSError:
        return False
    return True


def _kill_one(folder: Path, draw: random.Random, killed: Counter[str]) -> None:
    """Kill one of the kinds that were killed least. Such as user code run only now and then: it is waited for."""
    until = time.monotonic() + LOOK_SECONDS
    while True:
        running = _running(folder)
        late = time.monotonic() > until
        least = min(killed[kind] for kind in (running if late else KINDS) or KINDS)
        if chosen := sorted(kind for kind in running if killed[kind] == least):
            kind = draw.choice(chosen)
            kill(draw.choice(running[kind]))
            killed[kind] += 1
            return
        if late:
            return


def _running(folder: Path) -> dict[str, list[psutil.Process]]:
    """What runs now, by its kind."""
    found: dict[str, list[psutil.Process]] = {}
    for process in processes(folder).values():
        with suppress(psutil.Error):
            found.setdefault(_kind(process), []).append(process)
    return found


def _kind(process: psutil.Process) -> str:
    """A service, a server, a sandbox; all else is user code. Raises psutil.Error."""
    words = process.cmdline()
    name = words[2] if words[1:2] == ["-m"] and len(words) > 2 else process.name()
    return name if name in KINDS else USER_CODE
