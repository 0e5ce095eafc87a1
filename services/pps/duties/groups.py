"""The worker groups there should be, and what their state means for the pipeline.

Every pipeline that is not stopped and has not failed has one group, of its version in force.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from services.kit.storage.database import Database
from services.kit.time.clock import Clock
from services.pps.domain import specs
from services.pps.domain.names import PipelineKey
from services.pps.domain.pipelines import WITH_WORKERS, Pipeline, State
from services.pps.domain.secrets import folders
from services.pps.operations import intents
from services.pps.operations.secrets import Secrets
from services.pps.runtimes.port import Group, GroupStatus, Runtime

log = logging.getLogger(__name__)
NO_COMMAND = "nothing to run: no transform.cmd"


class Groups:
    """spec_of: what a worker of a pipeline is given, serialized. env: what every worker's environment gets."""

    def __init__(
        self,
        *,
        db: Database,
        runtime: Runtime,
        clock: Clock,
        spec_of: Callable[[Pipeline], bytes],
        env: Mapping[str, str],
        secrets: Secrets,
    ) -> None:
        self._db, self._runtime, self._clock, self._spec_of, self._env = db, runtime, clock, spec_of, env
        self._secrets = secrets

    def status(self, key: PipelineKey) -> GroupStatus:
        """How the pipeline's workers are."""
        return self._runtime.status(str(key)) or GroupStatus(requested=0, available=0)

    async def reconcile(self, pipelines: Sequence[Pipeline]) -> None:
        """Start, resize and stop groups until they are as wanted, and note the pipelines' states."""
        wanted = {str(one.key): one for one in pipelines if one.state in WITH_WORKERS and not one.stopped}
        await asyncio.gather(*(self._runtime.stop(name) for name in self._runtime.names() if name not in wanted))
        for name, pipeline in wanted.items():
            if not pipeline.version.spec["transform"].get("cmd"):
                await self._set(pipeline, State.FAILURE, NO_COMMAND)
                continue
            used = await self._secrets.in_use(pipeline.version.spec)
            if used.trouble:
                await self._runtime.stop(name)
                await self._set(pipeline, State.CRASHING, used.trouble)
                continue
            await self._runtime.ensure(self._group(name, pipeline, used.revision))
            status = self._runtime.status(name)
            if status is not None:
                await self._set(pipeline, *_meaning(status))

    def _group(self, name: str, pipeline: Pipeline, secrets: str) -> Group:
        count = specs.parallelism(pipeline.version.spec)
        spec = self._spec_of(pipeline)
        private = folders(pipeline.version.spec)
        return Group(
            name=name, version=pipeline.version.number, count=count, spec=spec, env=self._env, private=private,
            secrets=secrets,
        )  # fmt: skip

    async def _set(self, pipeline: Pipeline, state: State, reason: str) -> None:
        if (pipeline.state, pipeline.reason) == (state, reason):
            return
        if await self._db.run(intents.set_state, pipeline.key, state, reason, now=self._clock.now()):
            log.info("pipeline %s is %s%s", pipeline.key, state.name, f": {reason}" if reason else "")


def _meaning(status: GroupStatus) -> tuple[State, str]:
    if status.fatal:
        return State.FAILURE, status.fatal
    if status.crash:
        return State.CRASHING, status.crash
    return State.RUNNING, ""
