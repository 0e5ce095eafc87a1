"""Takes away the sets that deleted jobs have left, in the background, until cancelled.

Elsewhere: the transactions (operations/upkeep/sweeping.py).
"""

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import timedelta

from services.jobs.operations.upkeep import sweeping
from services.kit.storage.database import Database
from services.kit.time.clock import Clock, fresh_id

log = logging.getLogger(__name__)
LOOK_AGAIN = timedelta(seconds=10)
BREATH = timedelta(milliseconds=20)  # so that others get a turn


@dataclass(frozen=True)
class Sweeper:
    """One a process; one of all processes works at a time."""

    db: Database
    clock: Clock
    holder: str = field(default_factory=fresh_id)

    async def run(self) -> None:
        while True:
            more = False
            try:
                if await self.db.read(sweeping.any_left):
                    more = await self.db.run(sweeping.sweep, self.holder, self.clock.now())
            except Exception:
                log.exception("sets of deleted jobs are taken away later")
            await asyncio.sleep((BREATH if more else LOOK_AGAIN).total_seconds())
