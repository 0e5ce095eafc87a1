"""Workers that are ready before it is known for which pipeline: started, loaded, and waiting for a line to read.

Starting an interpreter and loading what a worker needs takes most of the time that a first datum waits for.
Elsewhere: the other end of that line (services/worker/standing/spare.py).
"""

import asyncio
import itertools
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.pps.runtimes import sandbox, starting

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Spare:
    """One that waits. home: its folder, gone with it."""

    process: asyncio.subprocess.Process
    home: Path

    async def become(self, env: Mapping[str, str], output: Path) -> None:
        """Let it be the worker that these variables describe. Raises OSError when it is gone."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"env": dict(env), "log": str(output)}).encode() + b"\n")
        await self.process.stdin.drain()
        self.process.stdin.close()


class Spares:
    """As many as are asked for, made anew as they are taken."""

    def __init__(self, folder: Path, logs: Path, python: str) -> None:
        self._folder, self._logs, self._python = folder, logs, python
        self._waiting: list[Spare] = []
        self._numbers = itertools.count()

    async def keep(self, count: int, env: Mapping[str, str]) -> None:
        """Have so many waiting. One that cannot be started is no trouble: workers start without."""
        for gone in [one for one in self._waiting if one.process.returncode is not None]:
            self._waiting.remove(gone)
            await self._remove(gone)
        while len(self._waiting) > count:
            await self._remove(self._waiting.pop())
        while len(self._waiting) < count:
            home = self._folder / f"spare-{next(self._numbers)}"
            words = [self._python, "-m", "services.worker.standing.spare"]
            try:
                process = await starting.start(
                    home, words, self._logs / "spare.log", env, stdin=asyncio.subprocess.PIPE
                )
            except (sandbox.NoSandbox, OSError) as error:
                log.info("no worker can be kept ready: %s", error)
                return
            self._waiting.append(Spare(process, home))

    def take(self) -> Spare | None:
        """One that waits; it is the caller's from now on, with its folder."""
        while self._waiting:
            spare = self._waiting.pop(0)
            if spare.process.returncode is None:
                return spare
            starting.remove(spare.home)
        return None

    async def _remove(self, spare: Spare) -> None:
        await starting.stop(spare.process)
        await asyncio.to_thread(starting.remove, spare.home)
