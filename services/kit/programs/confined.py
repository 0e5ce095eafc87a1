"""A process that evaluates one user's program, and the lines exchanged with it.

A program may never end, use up all memory or crash what runs it: none of that reaches the server, which goes on
serving meanwhile and leaves no process behind.
Elsewhere: what runs in the process, and what it may use (child.py).
"""

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from services.kit.errors import Exhausted

CHILD = Path(__file__).with_name("child.py")
LONGEST_LINE = 64 << 20
AT_ONCE = asyncio.Semaphore(32)  # processes of this server, which last as long as their callers go on reading
WAIT_SECONDS = 10.0  # for one of them to end


class Ended(Exception):
    """The process is gone: it took too much memory, or its stack ran out."""


class TooSlow(Exception):
    """The program did not answer in its time."""


class TooMany(Exhausted):
    def __init__(self) -> None:
        super().__init__("too many filters and templates are being evaluated; try again in a moment")


class Confined:
    """A running process."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def asked(self, question: Any, *, seconds: float) -> Any:
        """Its answer to a line. Raises Ended, TooSlow."""
        to, back = self._process.stdin, self._process.stdout
        assert to is not None
        assert back is not None
        try:
            async with asyncio.timeout(seconds):
                to.write(json.dumps(question).encode() + b"\n")
                await to.drain()
                line = await back.readline()
        except TimeoutError:
            raise TooSlow() from None
        except (ConnectionError, ValueError) as error:  # the second: a line longer than LONGEST_LINE
            raise Ended() from error
        if not line.endswith(b"\n"):
            raise Ended()
        return json.loads(line)


@asynccontextmanager
async def confined(kind: str) -> AsyncIterator[Confined]:
    """A process for "jq" or "jsonnet", which is gone when the block is left. Raises TooMany."""
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await AT_ONCE.acquire()
    except TimeoutError:
        raise TooMany() from None
    try:
        command = (sys.executable, "-I", "-X", "utf8", str(CHILD), kind)
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={}, cwd="/", limit=LONGEST_LINE
        )
        try:
            yield Confined(process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
    finally:
        AT_ONCE.release()
