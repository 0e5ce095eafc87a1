"""One part kept running: started anew at once when it dies, then after pauses that grow to five seconds.

A part that is alive but has not answered for a minute is killed, and so started anew. Holds for ever: a part does
not outlive its supervisor. Elsewhere: who hears of dead processes and hands them in (supervisor.py).
"""

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from deploy.local.layout import Layout
from deploy.local.logs import open_log
from deploy.local.running.parts import Part, environment
from deploy.local.running.probe import Answer

log = logging.getLogger(__name__)
PAUSES = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 5.0)
STEADY_SECONDS = 10.0  # a part that lived this long has started well
CRASHING = 3  # deaths in a row, each before that
LOOK_FIRST_SECONDS, LOOK_AGAIN_SECONDS = 0.05, 5.0
SILENCE_SECONDS = 60.0
STOP_SECONDS = 8.0
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class State(StrEnum):
    """How a part is."""

    STOPPED = "stopped"
    STARTING = "starting"
    UP = "up"
    SILENT = "silent"
    RESTARTING = "restarting"
    CRASHING = "crashing"


@dataclass
class Report:
    """What `status` shows of a part."""

    name: str
    title: str
    port: int
    state: State = State.STOPPED
    pid: int = 0
    since: float = 0.0  # seconds of the epoch
    restarts: int = 0
    last_end: str = ""


class Child:
    """A part and its process. `changed` is called after every change of its report."""

    def __init__(self, part: Part, layout: Layout, changed: Callable[[], None]) -> None:
        self.part, self._layout, self._changed = part, layout, changed
        self.report = Report(part.name, part.title, part.port)
        self.quick_deaths = 0
        self.up = asyncio.Event()
        self._ended: asyncio.Future[int] | None = None

    async def keep(self) -> None:
        """Run the part until cancelled; then its process still runs, see `stop`."""
        while True:
            began = time.monotonic()
            try:
                how = await self._one_life()
            except OSError as error:  # no memory, no descriptors, a full disk: all of them may pass
                how = f"cannot be started: {error}"
            self._note_end(how, lived=time.monotonic() - began)
            await asyncio.sleep(PAUSES[min(self.quick_deaths, len(PAUSES) - 1)] if self.quick_deaths > 1 else 0.0)

    async def _one_life(self) -> str:
        """Start the process and wait for its end; says how it ended."""
        ended = self._start()
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watch())
            status = await asyncio.shield(ended)
            watching.cancel()
        return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit code {status}"

    def hand_in(self, pid: int, status: int) -> bool:
        """Take the end of a process, as waitpid tells it; says whether it was this part's."""
        if pid != self.report.pid or self._ended is None or self._ended.done():
            return False
        self._ended.set_result(os.waitstatus_to_exitcode(status))
        return True

    async def stop(self) -> None:
        """Tell the process to stop, and kill it when it takes too long."""
        if self._ended is not None and not self._ended.done():
            if self.part.drain is not None and self.up.is_set():
                await self.part.drain()
            for number in (signal.SIGTERM, signal.SIGKILL):
                _signal_group(self.report.pid, number)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(self._ended), STOP_SECONDS)
                    break
        self._set(State.STOPPED)

    def _start(self) -> "asyncio.Future[int]":
        output = open_log(self._layout.log_of(self.part.name))
        try:
            process = subprocess.Popen(
                self.part.command,
                env={**environment(self._layout), **self.part.env},
                cwd=self.part.cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_die_with_supervisor,  # noqa: PLW1509 - this process has one thread
            )
        finally:
            os.close(output)
        process.returncode = 0  # the supervisor reaps; Popen must not
        self._ended = asyncio.get_running_loop().create_future()
        self.report.pid, self.report.since = process.pid, time.time()
        self._set(State.STARTING if not self.report.restarts else State.RESTARTING)
        return self._ended

    def _note_end(self, how: str, *, lived: float) -> None:
        self.up.clear()
        self.quick_deaths = self.quick_deaths + 1 if lived < STEADY_SECONDS else 0
        self.report.restarts += 1
        self.report.last_end = f"{how} after {lived:.1f} s"
        self.report.pid = 0
        log.warning("%s ended: %s; starting it again", self.part.name, self.report.last_end)
        self._set(State.CRASHING if self.quick_deaths >= CRASHING else State.RESTARTING)

    async def _watch(self) -> None:
        """Ask the part until cancelled, and kill it when it has been silent for too long."""
        silent_since = time.monotonic()
        while True:
            answer = await self.part.ask(self.part.port)
            now = time.monotonic()
            if answer is not Answer.SILENT:
                silent_since = now
            if answer is Answer.SERVING:
                self.up.set()
                self._set(State.UP)
            elif self.up.is_set():
                self._set(State.SILENT)
            if now - silent_since > SILENCE_SECONDS:
                log.warning("%s has not answered for %d s and is killed", self.part.name, SILENCE_SECONDS)
                _signal_group(self.report.pid, signal.SIGKILL)
                return
            await asyncio.sleep(LOOK_AGAIN_SECONDS if self.report.state is State.UP else LOOK_FIRST_SECONDS)

    def _set(self, state: State) -> None:
        if state is not self.report.state or state is State.RESTARTING:
            self.report.state = state
            self._changed()

    def as_json(self) -> dict[str, Any]:
        """The report as `status` reads it."""
        return asdict(self.report)


def _die_with_supervisor() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _signal_group(pid: int, number: int) -> None:
    if pid > 0:  # 0 would be the supervisor's own group
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, number)
