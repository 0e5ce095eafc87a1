"""Finishes or undoes what a crash left half done, and keeps every pipeline's workers as they should be.

Runs at start, when something changed, and every few seconds. Every step may be repeated. Which pipelines there are is
kept here between looks: news says which to read again, and all are read anew now and then, should news be lost.
Several replicas do this side by side. A pipeline is changed by one of them at a time: who begins holds it until the
change is closed, and of a replica that is gone the others take over what it had begun.
Elsewhere: who holds what (operations/holding.py).
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import grpc
from sqlalchemy.orm import Session

from datamill.wire.events_v1_pb2 import News
from services.kit.bus import QUEUE_BOUND, Bus
from services.kit.errors import Problem
from services.kit.storage.database import Database
from services.kit.time.clock import Clock
from services.pps.domain.errors import Busy
from services.pps.domain.names import PipelineKey
from services.pps.domain.pipelines import Pipeline, Version
from services.pps.duties.groups import Groups
from services.pps.duties.line import PATIENCE, Line
from services.pps.duties.presence import Presence
from services.pps.operations import holding, intents, reading
from services.pps.peers.repos import TRY_AGAIN, PfsRefused, Repos
from services.pps.storage.pipelines import PipelineStore

log = logging.getLogger(__name__)
LOOK_AGAIN = timedelta(seconds=1)
NOTHING_THERE = timedelta(seconds=5)  # between looks when there is no pipeline
ASK_AGAIN, ASK_AT_LEAST = timedelta(milliseconds=50), timedelta(milliseconds=250)  # whether others are done
LOOK_AT_ALL = timedelta(seconds=30)
PAGE = 200
LEFT = timedelta(seconds=3)  # how long a call of ours that nobody waits for any more may go on in PFS
OF_SECRETS = "pps.secret."
NEWS = ("pps.pipeline.*", f"{OF_SECRETS}*")


class Reconciler:
    """One a process."""

    def __init__(
        self,
        *,
        db: Database,
        repos: Repos,
        groups: Groups,
        presence: Presence,
        bus: Bus,
        clock: Clock,
        look_at_all: timedelta = LOOK_AT_ALL,
    ) -> None:
        """look_at_all: how often everything is read anew."""
        self._db, self._repos, self._groups, self._clock = db, repos, groups, clock
        self._presence, self._bus = presence, bus
        self._mine: set[PipelineKey] = set()
        self._line = Line()
        self._left: dict[PipelineKey, datetime] = {}  # what this process gave up half done, and when
        self._wake = asyncio.Event()
        self._known: dict[PipelineKey, Pipeline] = {}  # those that may have workers, as they were read last
        self._changed: set[PipelineKey] = set()  # those to be read again
        self._all_every, self._look_at_all = look_at_all, float("-inf")  # how often; when next, by the monotonic clock

    @asynccontextmanager
    async def working_on(self, key: PipelineKey) -> AsyncIterator[None]:
        """While the block runs, this process changes the pipeline. Those who want to wait for their turn.

        Raises Busy when it does not come.
        """
        async with self._line.turn(key):
            await self._wait_for_others(key)
            async with self._changing(key):
                yield

    @asynccontextmanager
    async def working_at_once_on(self, key: PipelineKey) -> AsyncIterator[None]:
        """The same, out of turn. Raises Busy when somebody changes the pipeline, but not for what somebody left."""
        if not await self._begin(key, idle=False):
            raise Busy(key, "changed")
        async with self._changing(key):
            yield

    async def _wait_for_others(self, key: PipelineKey) -> None:
        """Wait for other replicas, and until somebody has finished what was left half done. Raises Busy."""
        pause, waited = ASK_AGAIN, timedelta()
        while not await self._begin(key, idle=True):
            if waited >= PATIENCE:
                raise Busy(key, "changed")
            await asyncio.sleep(pause.total_seconds())
            waited += pause
            pause = min(2 * pause, ASK_AT_LEAST)

    async def _begin(self, key: PipelineKey, *, idle: bool) -> bool:
        """Whether the pipeline is held from now on. idle: not when something was begun that is not closed."""
        if key in self._mine:
            return False
        self._mine.add(key)
        begun = False
        try:
            now = self._clock.now()
            begun = await self._db.run(holding.begin_change, key, self._presence.replica, now, idle=idle)
        except BaseException:
            self._left[key] = self._clock.now()  # nobody knows whether it is held
            raise
        finally:
            if not begun:
                self._mine.discard(key)
        return begun

    @asynccontextmanager
    async def _changing(self, key: PipelineKey) -> AsyncIterator[None]:
        try:
            try:
                yield
            except BaseException as error:  # also when the caller went away: what is begun must not wait for long
                if not _answered(error):
                    self._left[key] = self._clock.now()
                    raise
                await self._let_go(key)
                raise
            await self._let_go(key)
        finally:
            self._mine.discard(key)
            self._changed.add(key)

    async def _let_go(self, key: PipelineKey) -> None:
        await asyncio.shield(self._db.run(holding.end_change, key, self._presence.replica))

    def nudge(self) -> None:
        """Something changed: look now."""
        self._wake.set()

    async def follow(self) -> None:
        """Look at what this process or another replica has changed, until cancelled."""
        async with self._bus.listen(*NEWS) as news:
            while True:
                first = await news.wait(timedelta(minutes=1))
                if first is not None:
                    self.heard([first, *news.drain()])

    def heard(self, some: Sequence[News]) -> None:
        """There is news, of pipelines and of secrets."""
        for one in some:
            if one.subject.startswith(OF_SECRETS):
                self._groups.secrets_changed()
            else:
                self._changed.add(PipelineKey(one.facts["project"], one.facts["name"]))
        if len(some) >= QUEUE_BOUND:  # some may be missing
            self._look_at_all = float("-inf")
        self.nudge()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._wake.clear()
            pause = LOOK_AGAIN
            try:
                await self.look()
                pause = LOOK_AGAIN if self._known or self._left else NOTHING_THERE
            except Exception:
                log.exception("reconciling pipelines failed; it is tried again")
                await self._groups.heed_loss()
            try:
                async with asyncio.timeout(pause.total_seconds()):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def look(self) -> None:
        """Do what there is to do now. Costs what has changed since the look before."""
        await self._intents()
        if time.monotonic() >= self._look_at_all:
            await self._read_all()
        else:
            await self._read_changed()
        self._changed |= await self._groups.reconcile(self._known)

    async def _read_all(self) -> None:
        """Should news have been lost."""
        self._changed.clear()
        known, after = dict[PipelineKey, Pipeline](), None
        while page := await self._db.read(reading.at_work, after, PAGE):
            known |= {one.key: one for one in page}
            after = page[-1].key
        self._known, self._look_at_all = known, time.monotonic() + self._all_every.total_seconds()
        self._groups.look_at_all()

    async def _read_changed(self) -> None:
        keys = sorted(self._changed)[:PAGE]
        if not keys:
            return
        self._changed.difference_update(keys)
        try:
            found = await self._db.read(reading.these_at_work, keys)
        except BaseException:
            self._changed.update(keys)
            raise
        for key in keys:
            self._known.pop(key, None)
        self._known |= {one.key: one for one in found}
        if self._changed:
            self.nudge()

    async def _intents(self) -> None:
        """Go on with those that no living replica works on."""
        due = {key for key, when in self._left.items() if when <= self._clock.now() - LEFT}
        for key, doing, _ in await self._db.read(lambda tx: PipelineStore(tx).doing()):
            if key not in self._mine and (key in due or key not in self._left):
                await self._go_on(key, doing)
                due.discard(key)
        for key in due - self._mine:
            await self._let_go(key)
            self._left.pop(key, None)

    async def _go_on(self, key: PipelineKey, doing: str) -> None:
        try:
            async with self.working_at_once_on(key):
                self._left.pop(key, None)
                if (key, doing) not in {(one, what) for one, what, _ in await self._db.read(_doing)}:
                    return  # somebody else closed it between the look and the taking
                log.info("pipeline %s was left while being %s; going on from there", key, doing)
                await self.finish(key, doing)
        except Busy:
            return
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
            left = await self._db.read(reading.followers, [key])
            await self._repos.remove(
                [pipeline.version], keep_repo=pipeline.keep_repo, force=pipeline.force, followers=left
            )
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


def _answered(error: BaseException) -> bool:
    """Whether everything that was begun has come to an end, although it went wrong."""
    if isinstance(error, grpc.aio.AioRpcError):
        return error.code() not in TRY_AGAIN
    return isinstance(error, Problem)


def _doing(tx: Session) -> list[tuple[PipelineKey, str, datetime]]:
    return PipelineStore(tx).doing()


def _draft(tx: Session, key: PipelineKey) -> Version | None:
    store = PipelineStore(tx)
    row = store.row(key)
    return store.version(key, row.version + 1) if row else None
