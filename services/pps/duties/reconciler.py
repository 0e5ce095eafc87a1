"""Finishes or undoes what a crash left half done, and keeps every pipeline's workers as they should be.

Runs at start, when something changed here, and every few seconds. Every step may be repeated.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from services.kit.storage.database import Database
from services.kit.time.clock import Clock
from services.pps.clients import PfsRefused, Repos
from services.pps.domain.errors import Busy
from services.pps.domain.names import PipelineKey
from services.pps.domain.pipelines import Version
from services.pps.duties.groups import Groups
from services.pps.operations import intents, reading
from services.pps.storage.pipelines import PipelineStore

log = logging.getLogger(__name__)
LOOK_AGAIN = timedelta(seconds=1)
NOTHING_THERE = timedelta(seconds=5)  # between looks when there is no pipeline
ABANDONED = timedelta(seconds=60)  # another replica may still be working on an intent that is younger
LEFT = timedelta(seconds=3)  # how long a call of ours that nobody waits for any more may go on in PFS


class Reconciler:
    """One a process."""

    def __init__(self, *, db: Database, repos: Repos, groups: Groups, clock: Clock) -> None:
        self._db, self._repos, self._groups, self._clock = db, repos, groups, clock
        self._mine: set[PipelineKey] = set()
        self._left: dict[PipelineKey, datetime] = {}  # what this process gave up half done, and when
        self._wake = asyncio.Event()

    @asynccontextmanager
    async def working_on(self, key: PipelineKey) -> AsyncIterator[None]:
        """While the block runs, this process changes the pipeline itself. Raises Busy when it already does."""
        if key in self._mine:
            raise Busy(key, "changed")
        self._mine.add(key)
        try:
            yield
        except BaseException:  # also when the caller went away: what is begun must not wait for ABANDONED
            self._left[key] = self._clock.now()
            raise
        finally:
            self._mine.discard(key)

    def nudge(self) -> None:
        """Something changed: look now."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        abandoned = timedelta()  # at start nobody else of this instance can be working on an intent
        while True:
            self._wake.clear()
            pause = LOOK_AGAIN
            try:
                await self._intents(self._clock.now() - abandoned)
                pipelines = await self._db.read(reading.everything)
                await self._groups.reconcile(pipelines)
                pause = LOOK_AGAIN if pipelines or self._left else NOTHING_THERE
            except Exception:
                log.exception("reconciling pipelines failed; it is tried again")
            abandoned = ABANDONED
            try:
                async with asyncio.timeout(pause.total_seconds()):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _intents(self, abandoned: datetime) -> None:
        due = {key for key, when in self._left.items() if when <= self._clock.now() - LEFT}
        for key in due:
            del self._left[key]
        for key, doing, begun in await self._db.read(lambda tx: PipelineStore(tx).doing()):
            if key not in self._mine and (begun <= abandoned or key in due):
                await self._go_on(key, doing)

    async def _go_on(self, key: PipelineKey, doing: str) -> None:
        log.info("pipeline %s was left while being %s; going on from there", key, doing)
        try:
            async with self.working_on(key):
                await self.finish(key, doing)
        except PfsRefused as refused:
            log.warning("pipeline %s cannot be %s: %s", key, doing, refused)
            await self._db.run(intents.give_up, key)
        except Exception:
            log.exception("pipeline %s could not be %s now; it is tried again", key, doing)

    async def finish(self, key: PipelineKey, doing: str) -> None:
        """Carry an intent out and close it. Raises PfsRefused when PFS will never accept it."""
        if doing in (intents.CREATING, intents.UPDATING):
            await self._finish_version(key)
            return
        pipeline = await self._db.read(reading.pipeline, key)
        if doing == intents.DELETING:
            await self._repos.remove([pipeline.version], keep_repo=pipeline.keep_repo, force=pipeline.force)
        else:
            await self._repos.connect(pipeline.version, stopped=doing == intents.STOPPING)
        await self._db.run(intents.close, key, now=self._clock.now())

    async def _finish_version(self, key: PipelineKey) -> None:
        """The version counts when PFS has its commit; otherwise the caller never heard of success, and it goes away."""
        version = await self._db.read(_draft, key)
        if version is None:
            await self._db.run(intents.give_up, key)
        elif commit := await self._repos.made_version(version):
            await self._db.run(intents.version_in_force, key, version.number, commit, now=self._clock.now())
        else:
            await self._db.run(intents.version_given_up, key, version.number)


def _draft(tx: Session, key: PipelineKey) -> Version | None:
    store = PipelineStore(tx)
    row = store.row(key)
    return store.version(key, row.version + 1) if row else None
