"""Workers as sandboxed processes on this machine; they die with this process, whatever kills it.

A worker that dies is started again: at once the first time, then after a growing pause, which ends being long once a
worker has lived for a while. `python -m services.pps.runtimes.process --check` says whether this machine can do it.
Elsewhere: the sandbox itself (sandbox.py); what a worker does (services/worker).
"""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.pps.domain.names import workers_name
from services.pps.runtimes import sandbox, starting
from services.pps.runtimes.port import Group, GroupStatus
from services.pps.runtimes.reasons import why_ended, why_not_started
from services.pps.runtimes.spares import Spares

log = logging.getLogger(__name__)
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0  # seconds
SHORTEN_EVERY = 2.0  # seconds
PAUSE_OF_KILLED = 1.0  # whoever kills a worker is not kept from it by waiting longer
KILLED = (-9, 128 + 9)  # the sandbox by a signal, the worker inside it by a signal
SETTLED = 10.0  # a worker that has lived so long starts afresh in the count of deaths
CRASHING_AFTER = 3  # quick deaths in a row
BAD_SPEC_EXIT = 78  # EX_CONFIG of sysexits.h; the reason is the last line of the log
MOST_WORKERS = 256  # in one group on one machine, whatever a spec asks for
LOAD_AT_ONCE = 2 * (os.cpu_count() or 1)  # workers; a hundred at once would leave nothing for this service to live on


@dataclass(eq=False)
class _Slot:
    """One worker's place in its group."""

    name: str
    task: "asyncio.Task[None] | None" = None
    alive: bool = False
    begun: float = 0.0
    deaths: int = 0
    crash: str = ""
    fatal: str = ""

    def crashing(self, settled: float) -> bool:
        """Whether its workers keep dying, and the present one has not shown yet that this is over."""
        well = self.alive and time.monotonic() - self.begun > settled
        return self.deaths >= CRASHING_AFTER and not well


@dataclass(eq=False)
class _Running:
    group: Group
    slots: list[_Slot] = field(default_factory=list)


class ProcessRuntime:
    """runtime_dir: scratch folders and logs. python: the interpreter that runs the shim. settled: in seconds."""

    def __init__(self, runtime_dir: Path, python: str, *, settled: float = SETTLED) -> None:
        self._dir, self._python, self._settled = runtime_dir.absolute(), python, settled
        self._groups: dict[str, _Running] = {}
        self._changed: Callable[[], None] = lambda: None
        sandbox.kill_left(self._dir / "workers")  # of a process that was killed, and they with it, most of the time
        starting.remove(self._dir / "workers")
        (self._dir / "logs").mkdir(parents=True, exist_ok=True)
        self._spares = Spares(self._dir / "workers", self._dir / "logs", python)
        self._loading = asyncio.Semaphore(LOAD_AT_ONCE)

    async def ensure(self, group: Group) -> None:
        running = self._groups.get(group.name)
        if running is not None and not _same_work(running.group, group):
            await self.stop(group.name)
            running = None
        if running is None:
            running = self._groups[group.name] = _Running(group)
            log.info("image %s of %s is not used: workers are processes here", group.container.image, group.name)
        running.group = group
        count = min(group.count, MOST_WORKERS)
        while len(running.slots) > count:
            await _ended([running.slots.pop()])
        while len(running.slots) < count:
            slot = _Slot(f"{workers_name(group.name, group.version)}-{len(running.slots)}")
            slot.task = asyncio.create_task(self._keep(slot, group), name=slot.name)
            running.slots.append(slot)

    async def stop(self, name: str) -> None:
        running = self._groups.pop(name, None)
        if running is not None:
            await _ended(running.slots)

    def status(self, name: str) -> GroupStatus | None:
        running = self._groups.get(name)
        if running is None:
            return None
        return GroupStatus(
            requested=running.group.count,
            available=sum(slot.alive for slot in running.slots),
            crash=next((slot.crash for slot in running.slots if slot.crashing(self._settled)), ""),
            fatal=next((slot.fatal for slot in running.slots if slot.fatal), ""),
        )

    def names(self) -> list[str]:
        return list(self._groups)

    async def prepare(self, count: int, env: Mapping[str, str]) -> None:
        await self._spares.keep(count, env)

    def watch(self, changed: Callable[[], None]) -> None:
        self._changed = changed

    async def close(self) -> None:
        for name in self.names():
            await self.stop(name)
        await self._spares.keep(0, {})

    async def _keep(self, slot: _Slot, group: Group) -> None:
        """Run the worker again and again until cancelled, or until its spec turns out to be a mistake."""
        try:
            await self._again_and_again(slot, group)
        finally:
            await asyncio.to_thread(starting.remove, self._home_of(slot.name))

    async def _again_and_again(self, slot: _Slot, group: Group) -> None:
        while True:
            slot.begun = time.monotonic()
            try:
                code = await self._run(slot, group)
                slot.crash = why_ended(code, self._last_words(slot.name))
            except sandbox.NoSandbox as error:
                code, slot.crash = 1, str(error)
                slot.deaths = max(slot.deaths, CRASHING_AFTER)
            except OSError as error:  # no disk, no more processes; either may pass
                code, slot.crash = 1, why_not_started(error, self._dir)
                slot.deaths = max(slot.deaths, CRASHING_AFTER)
            except Exception as error:  # nobody looks at this task: without it the worker would be away for ever
                log.exception("worker %s cannot be kept", slot.name)
                code, slot.crash = 1, f"it cannot be started: {error}"
                slot.deaths = max(slot.deaths, CRASHING_AFTER)
            finally:
                slot.alive = False
                self._changed()
            if code == BAD_SPEC_EXIT:
                slot.fatal = slot.crash
                return
            slot.deaths = 1 if time.monotonic() - slot.begun > self._settled else slot.deaths + 1
            pause = 0.0 if slot.deaths == 1 else min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (slot.deaths - 2))
            if code in KILLED:
                pause = min(pause, PAUSE_OF_KILLED)
            log.warning("worker %s ended (%s); again in %.1f s", slot.name, slot.crash, pause)
            await asyncio.sleep(pause)

    async def _run(self, slot: _Slot, group: Group) -> int:
        process, home = None, self._home_of(slot.name)
        try:
            async with self._loading:
                process, home = await self._started(slot, group)
                slot.alive = True
                self._changed()
                await starting.loaded(home, process)
            return await self._watched(process, self._log_of(slot.name))
        finally:
            if process is not None and process.returncode is None:
                await starting.stop(process)
            if home != self._home_of(slot.name):
                await asyncio.to_thread(starting.remove, home)

    async def _watched(self, process: asyncio.subprocess.Process, log_path: Path) -> int:
        """The worker's exit status, once it has ended. Until then its log is kept short."""
        while True:
            try:
                async with asyncio.timeout(SHORTEN_EVERY):
                    return await process.wait()
            except TimeoutError:
                starting.shorten(log_path)

    async def _started(self, slot: _Slot, group: Group) -> tuple[asyncio.subprocess.Process, Path]:
        """A worker, a spare one if there is one that will do, and its folder."""
        spare = None if group.private else self._spares.take()
        home = spare.home if spare else self._home_of(slot.name)
        home.mkdir(parents=True, exist_ok=True)
        spec, log_path = home / "spec", self._log_of(slot.name)
        spec.write_bytes(group.spec)
        env = {"WORKER_SPEC": str(spec), "WORKER_NAME": slot.name, **group.env}
        if spare is not None:
            try:
                await spare.become(env, log_path)
                return spare.process, home
            except BaseException as error:
                await starting.stop(spare.process)
                if not isinstance(error, OSError):  # else it has just died by itself
                    raise
                home = self._home_of(slot.name)
                home.mkdir(parents=True, exist_ok=True)
                (home / "spec").write_bytes(group.spec)
                env["WORKER_SPEC"] = str(home / "spec")
        words = [self._python, "-m", "services.worker"]
        return await starting.start(home, words, log_path, env, private=group.private), home

    def _home_of(self, name: str) -> Path:
        return self._dir / "workers" / name

    def _log_of(self, name: str) -> Path:
        return self._dir / "logs" / f"{name}.log"

    def _last_words(self, name: str) -> str:
        """The last line of the worker's log: it dies with its reason there."""
        try:
            with open(self._log_of(name), "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
                lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
        except OSError:
            return ""
        return lines[-1] if lines else ""


def _same_work(one: Group, other: Group) -> bool:
    """Whether workers of one group are as good as those of the other."""
    return (one.version, one.spec, one.secrets) == (other.version, other.spec, other.secrets)


async def _ended(slots: list[_Slot]) -> None:
    tasks = [slot.task for slot in slots if slot.task is not None]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__" and sys.argv[1:] == ["--check"]:
    try:
        sandbox.proc_of_its_own()
    except sandbox.NoSandbox as trouble:
        sys.exit(str(trouble))
    print("workers can be sandboxed here")
