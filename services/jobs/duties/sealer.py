"""Seals the logs of jobs that have ended, and what others have said meanwhile, as the stream fills; lets go of what
was kept for long enough. Until cancelled.

Elsewhere: how (operations/history/).
"""

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import timedelta

from services.jobs.operations.history.sealing import Sealing
from services.jobs.operations.history.stretches import Stretches
from services.kit.errors import Problem
from services.kit.time.clock import fresh_id

log = logging.getLogger(__name__)
LOOK_AGAIN = timedelta(seconds=5)
EXPIRE_EVERY = 720  # looks


@dataclass(frozen=True)
class Sealer:
    """One a process; one of all processes works at a time."""

    sealing: Sealing
    stretches: Stretches
    holder: str = field(default_factory=fresh_id)

    async def run(self) -> None:
        looks = 0
        while True:
            more = False
            try:
                more = bool(await self.sealing.seal_due(self.holder)) | await self.stretches.seal_due(self.holder)
                if looks % EXPIRE_EVERY == 0:
                    await self.sealing.expire()
            except Problem as problem:
                log.warning("logs of jobs are sealed later: %s", problem)
            except Exception:
                log.exception("sealing logs of jobs failed; it is tried again")
            looks += 1
            if not more:
                await asyncio.sleep(LOOK_AGAIN.total_seconds())
