"""Emptying the gateway before it is stopped: it takes no more connections, and the calls that run may end.

Envoy is told over its admin socket, a file that only the owner may open. Source: Envoy's admin interface,
/healthcheck/fail (says to clients on open connections that it goes away), /drain_listeners and /stats.
"""

import asyncio
import contextlib
import logging
import os
import re
import time
from pathlib import Path

log = logging.getLogger(__name__)
SOCKET = "gateway.sock"
DRAIN_SECONDS = 5.0  # calls that follow something never end by themselves
ANSWER_SECONDS = 2.0
RUNNING = re.compile(r"downstream_rq_active: (\d+)")


async def drain(folder: Path) -> None:
    """Empty the gateway whose socket lies in `folder`; comes back when no call runs, or after a while."""
    deadline = time.monotonic() + DRAIN_SECONDS
    try:
        await _ask(folder, "POST", "/healthcheck/fail")
        await _ask(folder, "POST", "/drain_listeners")
        while (calls := await _running(folder)) and time.monotonic() < deadline:  # noqa: ASYNC110 - in another process
            await asyncio.sleep(0.05)
    except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError) as error:
        log.warning("the gateway could not be drained: %s", error)
        return
    if calls:
        log.warning("%d calls still ran after %.0f s and are cut off", calls, DRAIN_SECONDS)


async def _running(folder: Path) -> int:
    found = RUNNING.findall(await _ask(folder, "GET", "/stats?filter=downstream_rq_active"))
    if not found:
        raise ValueError("it does not say how many calls run")
    return sum(map(int, found))


async def _ask(folder: Path, method: str, path: str) -> str:
    """The whole answer of the admin interface. The socket's own path may be longer than the system allows."""
    held = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_unix_connection(f"/proc/self/fd/{held}/{SOCKET}")
            try:
                writer.write(f"{method} {path} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n".encode())
                answer = (await reader.read()).decode(errors="replace")
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    finally:
        os.close(held)
    if not answer.startswith("HTTP/1.1 200"):
        raise ValueError(f"{path}: {answer.partition(chr(13))[0]!r}")
    return answer
