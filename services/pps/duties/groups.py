"""The worker groups there should be, and what their state means for the pipeline.

Every pipeline that is not stopped and has not failed has one group, of its version in force; with autoscaling it has
one while there is work. Of several replicas the one that holds a group runs it (operations/holding.py).
Elsewhere: how many workers there should be (domain/scaling.py); what a group is (runtimes/port.py).
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from services.kit.storage.database import Database
from services.kit.time.clock import Clock
from services.pps.domain import scaling
from services.pps.domain.pipelines import Pipeline, State, set_up_mistake
from services.pps.domain.secrets import folders
from services.pps.domain.spec import specs
from services.pps.domain.spec.kinds import autoscales
from services.pps.duties.containers import container_of
from services.pps.duties.presence import Presence
from services.pps.duties.scaler import Scaler
from services.pps.operations import holding, intents
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


class Groups:
    """One a process."""

    def __init__(self, tools: Tools) -> None:
        self._t, self._runtime = tools, tools.runtime
        self._failed = Counter[tuple[str, int]]()
        """Attempts at setting up the workers of a version that went wrong."""

    def status(self, pipeline: Pipeline) -> GroupStatus:
        """How the pipeline's workers are, whichever replica runs them."""
        found = self._runtime.status(str(pipeline.key))
        return found or GroupStatus(requested=pipeline.workers_requested, available=pipeline.workers_available)

    async def heed_loss(self) -> None:
        """Stop everything when others may run it by now."""
        if self._t.presence.lost and self._runtime.names():
            log.warning("others may run the workers of this replica by now: it stops them")
            await self._only(frozenset())

    async def reconcile(self, pipelines: Sequence[Pipeline]) -> None:
        """Start, resize and stop groups until they are as wanted, and note the pipelines' states.

        pipelines: all that may have workers.
        """
        await self.heed_loss()
        wanted = {str(one.key): one for one in pipelines}
        now, replica = self._t.clock.now(), self._t.presence.replica
        held = await self._t.db.read(holding.held, replica)
        if held != set(wanted):  # most of the time there is nothing to take, and nothing to write
            held = await self._t.db.run(holding.groups, sorted(wanted), replica, now)
        await self._only(held)
        scaled = [one.key for name, one in wanted.items() if name in held and autoscales(one.version.spec)]
        await self._t.scaler.watch(scaled)
        await self._runtime.prepare(min(len(scaled), SPARES), self._t.env)
        async with asyncio.TaskGroup() as settling:  # one that is slow to stop does not hold up the others
            for name, pipeline in wanted.items():
                if name in held:
                    settling.create_task(self._settled(name, pipeline))

    async def _only(self, names: "frozenset[str] | set[str]") -> None:
        await asyncio.gather(*(self._runtime.stop(name) for name in self._runtime.names() if name not in names))

    async def _settled(self, name: str, pipeline: Pipeline) -> None:
        try:
            await self._settle(name, pipeline)
        except Exception:
            log.exception("the workers of %s could not be looked after; it is tried again", name)

    async def _settle(self, name: str, pipeline: Pipeline) -> None:
        spec = pipeline.version.spec
        if not spec["transform"].get("cmd"):
            await self._set(pipeline, State.FAILURE, NO_COMMAND)
            return
        used = await self._t.secrets.in_use(spec)
        if used.trouble:
            await self._runtime.stop(name)
            await self._set(pipeline, State.CRASHING, used.trouble)
            return
        count = self._count(name, pipeline)
        if not count:
            await self._runtime.stop(name)
            await self._set(pipeline, State.STANDBY, "")
            return
        if self._runtime.status(name) is None and pipeline.state in (State.RUNNING, State.CRASHING):
            await self._set(pipeline, State.RESTARTING, MISSING)
        if not await self._set_up(name, pipeline, count, used.revision):
            return
        status = self._runtime.status(name)
        if status is not None:
            await self._set(pipeline, *_meaning(status), status)

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
