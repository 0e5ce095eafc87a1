"""That this replica lives: what it holds is its own for as long as it says so, and goes to others soon afterwards.

A replica that could not say so in time must take it that others go on with its work; `lost` tells.
"""

import asyncio
import logging
import time
from datetime import timedelta

from services.kit.storage.database import Database
from services.kit.time.clock import Clock
from services.pps.operations import holding
from services.pps.storage.holders import ALIVE

log = logging.getLogger(__name__)
AGAIN = ALIVE / 3


class Presence:
    """One a process."""

    def __init__(self, *, db: Database, clock: Clock, replica: str, alive: timedelta = ALIVE) -> None:
        self._db, self._clock, self.replica, self._alive = db, clock, replica, alive
        self._shown = float("-inf")
        self.lives = 0
        """How often this replica has come to life: what it held in an earlier life may be others' by now."""

    @property
    def lost(self) -> bool:
        """Whether others may have taken over what this replica held."""
        return time.monotonic() - self._shown > self._alive.total_seconds()

    async def show(self) -> None:
        """Say it now."""
        begun = time.monotonic()
        await self._db.run(holding.show, self.replica, self._clock.now())
        if time.monotonic() - self._shown > self._alive.total_seconds():  # others may have been faster
            self.lives += 1
        self._shown = begun

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(AGAIN.total_seconds())
            try:
                await self.show()
            except Exception:
                log.exception("the database does not know that this replica lives")

    async def leave(self) -> None:
        """Let others go on at once."""
        try:
            async with asyncio.timeout(2):
                await self._db.run(holding.leave, self.replica)
        except Exception:
            log.exception("what this replica held is free in a few seconds")
