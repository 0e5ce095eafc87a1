"""Keeps this process's session alive, tells the collector since when it is quiet, and has names for packs at hand.

A process whose session was taken away ends: what it was doing cannot count any more.
Elsewhere: what all of that means (operations/collection/presence.py).
"""

import asyncio
import logging
import time
from datetime import timedelta

from services.kit.errors import Problem
from services.kit.storage.database import Database
from services.kit.time.clock import Clock
from services.pfs.operations.collection.presence import TTL, Presence
from services.pfs.storage.collection.moves import Moves, moves_of
from services.pfs.storage.collection.sessions import SessionLost, SessionStore

log = logging.getLogger(__name__)
LOOK_AGAIN = timedelta(seconds=5)


class PresenceKeeper:
    """The duty of one process."""

    def __init__(self, db: Database, presence: Presence, moves: Moves, clock: Clock) -> None:
        self._db, self._presence, self._moves, self._clock = db, presence, moves, clock
        self._wake = asyncio.Event()
        self._told = -1  # what was written down last
        self._renew_at = 0.0
        self._moved = 0

    async def run(self) -> None:
        """Until cancelled. Raises SessionLost."""
        loop = asyncio.get_running_loop()
        self._presence.wanting = lambda: loop.call_soon_threadsafe(self._wake.set)
        while True:
            try:
                await self.beat()
            except SessionLost:
                raise
            except Problem as problem:
                log.warning("the session cannot be renewed now: %s", problem)
            try:
                async with asyncio.timeout(LOOK_AGAIN.total_seconds()):
                    await self._wake.wait()
            except TimeoutError:
                continue
            self._wake.clear()

    async def beat(self) -> None:
        """Learn the epoch, and say since when this process is quiet. Raises SessionLost."""
        await self._presence.reserve()
        epoch, moved = await self._db.read(lambda tx: (SessionStore(tx).epoch(), SessionStore(tx).times_moved()))
        if moved != self._moved:
            self._moves.learn(await self._db.read(moves_of))
            self._moved = moved
        quiet = self._presence.learn(epoch)
        if quiet == self._told and time.monotonic() < self._renew_at:
            return
        abandoned = self._presence.abandoned(quiet)
        now = self._clock.now()

        def say(tx: SessionStore) -> None:
            tx.renew(self._presence.session, ttl=TTL, quiet=quiet)
            tx.give_up(abandoned, now)

        await self._db.run(lambda tx: say(SessionStore(tx)))
        self._told, self._renew_at = quiet, time.monotonic() + TTL.total_seconds() / 4
