"""Whose turn it is to change a pipeline, among the calls of this process: first come, first served.

Elsewhere: which replica may change one (operations/holding.py).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from services.pps.domain.errors import Busy
from services.pps.domain.names import PipelineKey

PATIENCE = timedelta(seconds=30)  # callers who have less are gone before


@dataclass(eq=False)
class _Door:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    here: int = 0
    """Calls that wait or have their turn."""


class Line:
    """One for each pipeline that somebody wants to change."""

    def __init__(self, patience: timedelta = PATIENCE) -> None:
        self._patience = patience
        self._doors: dict[PipelineKey, _Door] = {}

    @asynccontextmanager
    async def turn(self, key: PipelineKey) -> AsyncIterator[None]:
        """The block runs when all who came before are done. Raises Busy when that takes too long."""
        door = self._doors.setdefault(key, _Door())
        door.here += 1
        try:
            try:
                async with asyncio.timeout(self._patience.total_seconds()):
                    await door.lock.acquire()
            except TimeoutError:
                raise Busy(key, "changed") from None
            try:
                yield
            finally:
                door.lock.release()
        finally:
            door.here -= 1
            if not door.here:
                del self._doors[key]
