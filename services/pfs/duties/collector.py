"""Collects garbage: now and then by itself, and when it is asked to. One collection at a time in a process.

Two processes may collect at the same time: the one that began later wins, and the other one condemns nothing.
Elsewhere: the steps and why nothing is lost (operations/collection/collect.py, docs/adr/0009).
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from services.kit.errors import Refused, Unavailable
from services.kit.storage.database import Database
from services.kit.time.clock import Clock
from services.pfs.duties.presence_keeper import PresenceKeeper
from services.pfs.operations.collection import collect, repack, repack_index
from services.pfs.operations.collection.collect import Pack, Snapshot
from services.pfs.operations.collection.marking import Marker, mark
from services.pfs.operations.collection.presence import Presence
from services.pfs.operations.collection.repack import Moved
from services.pfs.operations.collection.report import Report, Tally
from services.pfs.operations.files.stores import Stores
from services.pfs.storage.content.content_tables import CONTENT, INDEX

log = logging.getLogger(__name__)
PATIENCE = timedelta(seconds=60)  # for calls that began before
AT_A_TIME = 200  # packs deleted between two transactions
Tell = Callable[[str], None]


class StillRunning(Refused):
    """Nothing is deleted as long as somebody may hold a reference that is not to be found in any commit."""

    def __init__(self, sessions: int) -> None:
        super().__init__(
            f"calls or backups that began before are still running in {sessions} process(es); "
            "nothing was deleted: try again when they have ended"
        )


@dataclass
class Collector:
    """every: how often by itself, zero for never. hold: how long callers outside are waited for.

    gain_bytes: so much less an index pack must take when it is rewritten.
    """

    db: Database
    stores: Stores
    presence: Presence
    keeper: PresenceKeeper
    clock: Clock
    every: timedelta
    hold: timedelta
    gain_bytes: int
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> None:
        """Collect now and then, until cancelled."""
        if not self.every:
            return
        while True:
            await asyncio.sleep(self.every.total_seconds())
            try:
                report = await self.collect()
                log.info("collected garbage: %s", report)
            except StillRunning as reason:
                log.info("garbage is collected later: %s", reason)
            except Exception:
                log.exception("collecting garbage failed; it is tried again")  # whatever it was, callers are served on

    def between(self) -> asyncio.Lock:
        """A time at which no collection is going on here."""
        return self._one_at_a_time

    async def collect(self, *, hold: timedelta | None = None, tell: Tell = lambda stage: None) -> Report:
        """Raises StillRunning, and Corrupt when not everything that counts can be read; then nothing is deleted."""
        hold = self.hold if hold is None else hold
        async with self._one_at_a_time:
            report = Report()
            tell("waiting for calls that are running")
            begun = await self.db.run(collect.begin, hold=hold, now=self.clock.now())
            report.expired_file_sets, report.carried_out_layers = begun.file_sets, begun.layers
            report.abandoned.packs = begun.abandoned
            await self._quiet(begun.epoch)
            found, marker = await self._marked(hold, tell, lately=True)
            marks = marker.marks
            gone, moved = collect.unreached(found, marks)
            names = [pack.name for pack in gone]
            dying = await self.db.run(collect.condemn, names, moved, begun.epoch, self.clock.now())
            gone = [pack for pack in gone if pack.name in dying]
            await self._count(report, found, gone)
            tell("rewriting packs")
            await self._rewrite(report, found, marker, begun.epoch)
            tell("deleting")
            await self._delete(report, begun.epoch, hold)
            await self._drop_unfinished(hold)
            return report

    async def _drop_unfinished(self, hold: timedelta) -> None:
        try:
            count = await asyncio.to_thread(collect.drop_unfinished, self.stores.objects, hold, self.clock.now())
        except Unavailable as why:  # a bucket may not let us look; what there is to say of the collection is said
            log.warning("uploads that were cut off are not given up: %s", why)
        else:
            if count:
                log.info("gave up %d uploads that were cut off", count)

    async def look(self, *, hold: timedelta | None = None, tell: Tell = lambda stage: None) -> Report:
        """What a collection would find now; nothing is changed. What calls that are running write may be among it."""
        hold = self.hold if hold is None else hold
        report = Report()
        found, marker = await self._marked(hold, tell, lately=False)
        marks = marker.marks
        gone, _ = collect.unreached(found, marks)
        await self._count(report, found, gone)
        contents = await asyncio.to_thread(lambda: list(repack.sparse(self.stores, found.packs, marks)))
        for one in (*contents, *repack_index.sparse(found.packs, marks, gain_bytes=self.gain_bytes)):
            report.rewritten.add(1, one.body_bytes - one.live_bytes)
        now = self.clock.now()
        waiting = await self.db.read(collect.doomed, 1 << 60, hold=hold, now=now)
        report.waiting.packs = waiting.held + len(waiting.gone) + len(waiting.kept)
        return report

    async def _quiet(self, epoch: int) -> None:
        """Wait until no call is running that began before the epoch. Raises StillRunning."""
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + PATIENCE.total_seconds(), 0.02
        while True:
            await self.keeper.beat()
            out = await self.db.run(collect.still_out, epoch)
            if not out:
                return
            if loop.time() > deadline:
                raise StillRunning(len(out))
            await asyncio.sleep(pause)
            pause = min(1.0, 2 * pause)

    async def _marked(self, hold: timedelta, tell: Tell, *, lately: bool) -> tuple[Snapshot, Marker]:
        marker = Marker(self.stores)
        found = await self.db.read(collect.snapshot, marker, lately=lately, hold=hold, now=self.clock.now())
        tell(f"looking at {len(found.trees)} commits")

        def walk() -> None:
            for _ in mark(marker, found.trees, found.parts):
                pass

        await asyncio.to_thread(walk)
        return found, marker

    async def _count(self, report: Report, found: Snapshot, gone: Sequence[Pack]) -> None:
        for kind, tally in ((CONTENT, report.unreferenced_content), (INDEX, report.unreferenced_index)):
            packs = [(pack.name, pack.kind) for pack in gone if pack.kind == kind]
            tally.add(len(packs), await asyncio.to_thread(collect.stored_bytes, self.stores.objects, packs))
        report.kept = Tally(len(found.packs) - len(gone))
        report.unsettled_packs = found.unsettled

    async def _rewrite(self, report: Report, found: Snapshot, marker: Marker, epoch: int) -> None:
        with self.presence.call():
            writing = self._rewriting(found, marker)
            while (one := await asyncio.to_thread(next, writing, None)) is not None:
                session, now = self.stores.session, self.clock.now()
                moved = set(await self.db.run(repack.publish, one, session, epoch, now))
                for old in one.old:
                    if old.name in moved:
                        report.rewritten.add(1, old.body_bytes - old.live_bytes)
            await self.keeper.beat()

    def _rewriting(self, found: Snapshot, marker: Marker) -> Iterator[Moved]:
        """Write new packs, of contents and of trees. Blocks."""
        yield from repack.rewrite(self.stores, list(repack.sparse(self.stores, found.packs, marker.marks)))
        packs = list(repack_index.sparse(found.packs, marker.marks, gain_bytes=self.gain_bytes))
        yield from repack_index.rewrite(self.stores, packs, marker.ranges({pack.name for pack in packs}))

    async def _delete(self, report: Report, epoch: int, hold: timedelta) -> None:
        doomed = await self.db.read(collect.doomed, epoch, hold=hold, now=self.clock.now())
        report.waiting = Tally(doomed.held)
        for gone, kept in ((doomed.gone, []), ([], doomed.kept)):
            packs = gone or kept
            for start in range(0, len(packs), AT_A_TIME):
                some = packs[start : start + AT_A_TIME]
                freed = await asyncio.to_thread(collect.delete_objects, self.stores.objects, some)
                await self.db.run(collect.forget, some if gone else [], some if kept else [])
                report.deleted.add(len(some), freed)
