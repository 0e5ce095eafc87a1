"""Collects what deleted jobs and pipelines have left in the store of Jobs: now and then, and when it is asked to.

One process at a time does, under a lease; a backup takes the same lease, so that nothing is deleted meanwhile.
Elsewhere: the steps (operations/upkeep/collecting.py).
"""

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import timedelta

from services.jobs.operations.upkeep import collecting, marking
from services.jobs.operations.upkeep.collecting import Report, Snapshot
from services.jobs.storage.objects import Indexes
from services.kit.errors import Problem, Refused
from services.kit.storage.database import Database
from services.kit.time.clock import Clock, fresh_id

log = logging.getLogger(__name__)
AT_A_TIME = 200  # objects deleted between two transactions
PATIENCE = timedelta(seconds=60)  # for another collection


class Held(Refused):
    """Another process collects, or a backup is being made."""

    def __init__(self) -> None:
        super().__init__("a backup is being made, or another collection is going on; try again when it has ended")


@dataclass
class Collector:
    """every: how often by itself, zero for never. hold: how long readers of deleted jobs are waited for."""

    db: Database
    indexes: Indexes
    clock: Clock
    every: timedelta
    hold: timedelta
    _holder: str = field(default_factory=fresh_id)
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> None:
        """Collect now and then, until cancelled."""
        while self.every:
            await asyncio.sleep(self.every.total_seconds())
            try:
                log.info("collected what deleted jobs have left: %d objects", (await self.collect()).deleted)
            except Held as reason:
                log.info("collected later: %s", reason)
            except Problem:
                log.exception("collecting failed; it is tried again")

    async def collect(self, *, hold: timedelta | None = None) -> Report:
        """Raises Held, and Corrupt when not everything that counts can be read; then nothing of the pipeline goes."""
        hold, report = self.hold if hold is None else hold, Report()
        async with self._one_at_a_time:
            await self.keep_others_off(self._holder, collecting.LEASE)
            try:
                report.abandoned = await self.db.run(collecting.give_up, hold, self.clock.now())
                for found in await self.db.read(collecting.snapshots):
                    gone = await self._judged(report, found)
                    await self._renew()
                    await self.db.run(collecting.condemn, found, gone, self.clock.now())
                await self._delete(report, hold)
            finally:
                await self.let_others(self._holder)
        return report

    async def look(self, *, hold: timedelta | None = None) -> Report:
        """What a collection would find now; nothing is changed."""
        hold, report = self.hold if hold is None else hold, Report()
        for found in await self.db.read(collecting.snapshots):
            await self._judged(report, found)
        gone, waiting = await self.db.read(collecting.doomed, hold, self.clock.now())
        report.waiting = waiting + len(gone)
        return report

    async def keep_others_off(self, holder: str, ttl: timedelta) -> None:
        """From now on nobody else deletes, for a time. Raises Held."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE.total_seconds()
        while not await self.db.run(collecting.lease, holder, self.clock.now(), ttl=ttl):
            if loop.time() > deadline:
                raise Held()
            await asyncio.sleep(0.2)

    async def let_others(self, holder: str) -> None:
        await self.db.run(collecting.release, holder)

    async def _renew(self) -> None:
        if not await self.db.run(collecting.lease, self._holder, self.clock.now()):
            raise Held()

    async def _judged(self, report: Report, found: Snapshot) -> list[str]:
        """Names of what nothing refers to any more."""
        apart = Indexes.over(self.indexes.objects)  # what callers read stays at hand
        marks = await asyncio.to_thread(marking.referred, apart, found.left)
        gone = [one for one in found.objects if one.name not in marks]
        report.pipelines += 1
        report.unreferenced += gone
        report.unreferenced_bytes += await asyncio.to_thread(collecting.stored_bytes, self.indexes.objects, gone)
        return [one.name for one in gone]

    async def _delete(self, report: Report, hold: timedelta) -> None:
        gone, report.waiting = await self.db.read(collecting.doomed, hold, self.clock.now())
        for start in range(0, len(gone), AT_A_TIME):
            await self._renew()
            some = gone[start : start + AT_A_TIME]
            report.deleted_bytes += await asyncio.to_thread(collecting.delete_objects, self.indexes.objects, some)
            await self.db.run(collecting.forget, some)
            report.deleted += len(some)
