"""The worker groups there should be, and what their state means for the pipeline.

Every pipeline that is not stopped and has not failed has one group, of its version in force; with autoscaling it has
one while there is work. Of several replicas the one that holds a group runs it (operations/holding.py).
Elsewhere: how many workers there should be (domain/scaling.py); what a group is (runtimes/port.py).
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.kit.storage.database import Database
from services.kit.time.clock import Clock
from services.pps.domain import scaling
from services.pps.domain.names import PipelineKey
from services.pps.domain.pipelines import Pipeline, State, set_up_mistake
from services.pps.domain.secrets import folders, mounts
from services.pps.domain.spec import specs
from services.pps.domain.spec.kinds import autoscales
from services.pps.duties.containers import container_of
from services.pps.duties.presence import Presence
from services.pps.duties.scaler import Scaler
from services.pps.operations import holding, intents
from services.pps.operations.holding import Shares
from services.pps.operations.secrets import Secrets
from services.pps.runtimes.port import Group, GroupStatus, Runtime

log = logging.getLogger(__name__)
NO_COMMAND = "nothing to run: no transform.cmd"
MISSING = "missing RC"
ATTEMPTS = 3
SPARES = 1  # workers that are kept ready for pipelines that have none


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What this duty works with. spec_of: what a worker of a pipeline is given, serialized. env: for every worker."""

    db: Database
    runtime: Runtime
    presence: Presence
    clock: Clock
    spec_of: Callable[[Pipeline], bytes]
    env: Mapping[str, str]
    secrets: Secrets
    scaler: Scaler


@dataclass(frozen=True, slots=True)
class _Seen:
    """All that decides on a group. While it is the same there is nothing to do."""

    pipeline: Pipeline
    status: GroupStatus | None
    count: int
    secrets: int


@dataclass(frozen=True, slots=True)
class _Basis:
    """What shares are made from. wanted: names of groups; life: which of this replica's."""

    wanted: frozenset[str]
    life: int


class Groups:
    """One a process."""

    def __init__(self, tools: Tools) -> None:
        self._t, self._runtime = tools, tools.runtime
        self._failed = Counter[tuple[str, int]]()
        """Attempts at setting up the workers of a version that went wrong."""
        self._settled: dict[str, _Seen] = {}  # as they were when nothing was left to do
        self._basis: _Basis | None = None  # None: who runs what has to be asked
        self._shares = Shares()
        self._secrets = 0  # how often there was news of secrets
        self._written: set[PipelineKey] = set()

    def status(self, pipeline: Pipeline) -> GroupStatus:
        """How the pipeline's workers are, whichever replica runs them."""
        found = self._runtime.status(str(pipeline.key))
        return found or GroupStatus(requested=pipeline.workers_requested, available=pipeline.workers_available)

    def secrets_changed(self) -> None:
        """A secret was made or deleted."""
        self._secrets += 1

    def look_at_all(self) -> None:
        """News may have been lost: take nothing for settled."""
        self._settled.clear()
        self._basis = None

    async def heed_loss(self) -> None:
        """Stop everything when others may run it by now."""
        if self._t.presence.lost and self._runtime.names():
            log.warning("others may run the workers of this replica by now: it stops them")
            self.look_at_all()
            await self._only(frozenset())

    async def reconcile(self, pipelines: Mapping[PipelineKey, Pipeline]) -> set[PipelineKey]:
        """Start, resize and stop groups until they are as wanted, and note the pipelines' states.

        pipelines: all that may have workers; one that changes is another object. Returns those that this has written
        something about, which are to be read again.
        """
        await self.heed_loss()
        if self._t.presence.lost:
            return set()
        wanted = {str(one.key): one for one in pipelines.values()}
        mine = await self._mine(frozenset(wanted))
        await self._only(mine)
        scaled = [wanted[name].key for name in mine if autoscales(wanted[name].version.spec)]
        await self._t.scaler.watch(scaled)
        await self._runtime.prepare(min(len(scaled), SPARES), self._t.env)
        self._settled = {name: seen for name, seen in self._settled.items() if name in mine}
        async with asyncio.TaskGroup() as settling:  # one that is slow to stop does not hold up the others
            for name in mine:
                seen = self._see(name, wanted[name])
                if seen != self._settled.get(name):
                    settling.create_task(self._settle(name, seen))
        written, self._written = self._written, set()
        return written

    async def _mine(self, wanted: frozenset[str]) -> frozenset[str]:
        """The groups that this replica runs. Nothing is asked while nothing can have changed that."""
        now, basis = self._t.clock.now(), _Basis(wanted, self._t.presence.lives)
        others = self._shares.others
        if self._basis == basis and (not others or await self._t.db.read(holding.living, others, now) == others):
            return self._shares.mine
        self._basis = None
        self._shares = await self._t.db.run(holding.groups, sorted(wanted), self._t.presence.replica, now)
        self._basis = basis
        return self._shares.mine

    async def _only(self, names: frozenset[str]) -> None:
        await asyncio.gather(*(self._runtime.stop(name) for name in self._runtime.names() if name not in names))

    def _see(self, name: str, pipeline: Pipeline) -> _Seen:
        secrets = self._secrets if mounts(pipeline.version.spec) else 0
        return _Seen(pipeline, self._runtime.status(name), self._count(name, pipeline), secrets)

    async def _settle(self, name: str, seen: _Seen) -> None:
        try:
            if await self._as_wanted(name, seen.pipeline, seen.count):
                self._settled[name] = seen
            else:
                self._settled.pop(name, None)
        except Exception:
            self._settled.pop(name, None)
            log.exception("the workers of %s could not be looked after; it is tried again", name)

    async def _as_wanted(self, name: str, pipeline: Pipeline, count: int) -> bool:
        """Make the group so. False: it has to be tried again."""
        spec = pipeline.version.spec
        if not spec["transform"].get("cmd"):
            await self._set(pipeline, State.FAILURE, NO_COMMAND)
            return True
        used = await self._t.secrets.in_use(spec)
        if used.trouble:
            await self._runtime.stop(name)
            await self._set(pipeline, State.CRASHING, used.trouble)
            return True
        if not count:
            await self._runtime.stop(name)
            await self._set(pipeline, State.STANDBY, "")
            return True
        if self._runtime.status(name) is None and pipeline.state in (State.RUNNING, State.CRASHING):
            await self._set(pipeline, State.RESTARTING, MISSING)
        if not await self._set_up(name, pipeline, count, used.revision):
            return False
        status = self._runtime.status(name)
        if status is not None:
            await self._set(pipeline, *_meaning(status), status)
        return True

    def _count(self, name: str, pipeline: Pipeline) -> int:
        most = specs.parallelism(pipeline.version.spec)
        if not autoscales(pipeline.version.spec) or set_up_mistake(pipeline.version.spec):
            return most
        status, (demand, idle) = self._runtime.status(name), self._t.scaler.demand(pipeline.key)
        return scaling.workers(demand, there=status.requested if status else 0, most=most, idle=idle)

    async def _set_up(self, name: str, pipeline: Pipeline, count: int, secrets: str) -> bool:
        """Whether the group is there. The third attempt that fails is the last one; an update begins anew."""
        attempt = name, pipeline.version.number
        try:
            if mistake := set_up_mistake(pipeline.version.spec):
                raise ValueError(mistake)
            await self._runtime.ensure(self._group(name, pipeline, count, secrets))
        except (OSError, ValueError) as error:
            self._failed[attempt] += 1
            log.warning("the workers of %s cannot be set up (%d): %s", name, self._failed[attempt], error)
            if self._failed[attempt] >= ATTEMPTS:
                del self._failed[attempt]
                await self._runtime.stop(name)
                reason = f"could not update resources after {ATTEMPTS} attempts: {error}"
                await self._set(pipeline, State.FAILURE, reason)
            return False
        self._failed.pop(attempt, None)
        return True

    def _group(self, name: str, pipeline: Pipeline, count: int, secrets: str) -> Group:
        version = pipeline.version
        return Group(
            name=name, version=version.number, count=count, spec=self._t.spec_of(pipeline),
            env=self._t.env, private=folders(version.spec), secrets=secrets,
            container=container_of(version.spec),
        )  # fmt: skip

    async def _set(self, pipeline: Pipeline, state: State, reason: str, status: GroupStatus | None = None) -> None:
        now = status or GroupStatus(requested=0, available=0)
        asked = min(now.requested, specs.parallelism(pipeline.version.spec))
        workers = (pipeline.workers_requested, pipeline.workers_available)
        if (pipeline.state, pipeline.reason, *workers) == (state, reason, asked, now.available):
            return
        self._written.add(pipeline.key)
        if await self._t.db.run(
            intents.set_state, pipeline.key, pipeline.version.number, state, reason, asked, now.available,
            now=self._t.clock.now(),
        ):  # fmt: skip
            log.info("pipeline %s is %s%s", pipeline.key, state.name, f": {reason}" if reason else "")


def _meaning(status: GroupStatus) -> tuple[State, str]:
    if status.fatal:
        return State.FAILURE, status.fatal
    if status.crash:
        return State.CRASHING, status.crash
    return State.RUNNING, ""
