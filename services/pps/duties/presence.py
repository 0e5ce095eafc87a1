"""That this replica lives: what it holds is its own for as long as it says so, and goes to others soon afterwards.

A replica that could not say so in time must take it that others go on with its work; `lost` tells.
"""

import asyncio
import logging
import time

from services.kit.storage.database import Database
from services.kit.time.clock import Clock
from services.pps.operations import holding
from services.pps.storage.holders import ALIVE

log = logging.getLogger(__name__)
AGAIN = ALIVE / 3


class Presence:
    """One a process."""

    def __init__(self, *, db: Database, clock: Clock, replica: str) -> None:
        self._db, self._clock, self.replica = db, clock, replica
        self._shown = float("-inf")

    @property
    def lost(self) -> bool:
        """Whether others may have taken over what this replica held."""
        return time.monotonic() - self._shown > ALIVE.total_seconds()

    async def show(self) -> None:
        """Say it now."""
        begun = time.monotonic()
        await self._db.run(holding.show, self.replica, self._clock.now())
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
