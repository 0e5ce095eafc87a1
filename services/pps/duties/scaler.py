"""What work there is for pipelines with autoscaling, as Jobs says. It is asked when there is news, and now and then.

Elsewhere: how many workers that makes (domain/scaling.py); starting and stopping them (groups.py).
"""

import logging
import time
from collections.abc import Callable, Collection
from datetime import timedelta

import grpc

from services.kit.bus import Bus
from services.pps.domain.names import PipelineKey
from services.pps.domain.scaling import Demand
from services.pps.peers.jobs import Jobs

log = logging.getLogger(__name__)
NEWS = "jobs.job.changed"
LOOK_AGAIN = timedelta(seconds=10)


class Scaler:
    """One a process. changed: called when there is more or less work than there was."""

    def __init__(self, *, jobs: Jobs, bus: Bus) -> None:
        self._jobs, self._bus = jobs, bus
        self._watched = frozenset[PipelineKey]()
        self._known: dict[PipelineKey, Demand] = {}
        self._busy: dict[PipelineKey, float] = {}  # when there was a set to be done for the last time
        self.changed: Callable[[], None] = lambda: None

    async def watch(self, pipelines: Collection[PipelineKey]) -> None:
        """From now on, these are the pipelines to know about."""
        added = set(pipelines) - self._watched
        self._watched = frozenset(pipelines)
        for kept in (self._known, self._busy):
            for key in set(kept) - self._watched:
                del kept[key]
        if added:
            await self._ask(added)

    def demand(self, key: PipelineKey) -> tuple[Demand, timedelta]:
        """What is known of a pipeline's work, and for how long there has been no set to be done."""
        idle = time.monotonic() - self._busy.get(key, float("-inf"))
        return self._known.get(key, Demand()), timedelta(seconds=min(idle, 1e6))

    async def run(self) -> None:
        """Until cancelled."""
        async with self._bus.listen(NEWS) as news:
            while True:
                first = await news.wait(LOOK_AGAIN)
                heard = {_pipeline(one.key) for one in ([first] if first else []) + news.drain()}
                wanted = {key for key in self._watched if str(key) in heard} if first else set(self._watched)
                if wanted and await self._ask(wanted):
                    self.changed()

    async def _ask(self, keys: Collection[PipelineKey]) -> bool:
        """Whether anything is another than it was. While Jobs is away everything stays as it is."""
        try:
            found = await self._jobs.demand(sorted(keys))
        except grpc.aio.AioRpcError as error:
            log.info("what work there is is not known: %s", error.details())
            return False
        before = {key: self._known.get(key) for key in found}
        now = time.monotonic()
        for key, demand in found.items():
            if demand.open_sets or (self._known.get(key) or Demand()).open_sets:
                self._busy[key] = now
            self._known[key] = demand
        return before != found


def _pipeline(job: str) -> str:
    return job.rpartition("@")[0]
