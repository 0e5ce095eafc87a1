"""Moves branches that follow the clock when their ticks are due; sleeps in between.

Every replica may run one: a tick that two see due is done by the first.
Elsewhere: what a tick does, and why it is done once (operations/triggers/ticking.py).
"""

import logging
from datetime import timedelta

from services.kit.bus import Bus
from services.kit.storage.database import Database
from services.kit.time.clock import Clock, fresh_id
from services.pfs.operations.dag.change import changed
from services.pfs.operations.triggers.ticking import next_tick, tick

log = logging.getLogger(__name__)
LOOK_AGAIN = timedelta(seconds=10)


class Ticker:
    """The duty of one process."""

    def __init__(self, db: Database, bus: Bus, clock: Clock) -> None:
        self._db, self._bus, self._clock = db, bus, clock

    async def run(self) -> None:
        """Tick until cancelled. A trigger that is new may be due first: news of its branch ends the sleep."""
        async with self._bus.listen("pfs.branch.scheduled") as news:
            while True:
                news.drain()
                await news.wait(await self._done_until())

    async def _done_until(self) -> timedelta:
        """Do all that is due. Returns how long nothing will be, as far as is known."""
        try:
            while (due := await self._db.read(next_tick)) is not None:
                if (left := due - self._clock.now()) > timedelta(0):
                    return min(left, LOOK_AGAIN)
                await self._db.run(changed, tick, fresh_id(), self._clock.now)
        except Exception:
            log.exception("cannot look for ticks of triggers; trying again")
        return LOOK_AGAIN
