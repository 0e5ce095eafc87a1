"""Stops that come with a transaction of a user's: carried out once it is finished.

Elsewhere: steps and intents (services/kit/rpc/staging.py); who stages them (servicers/jobs.py).
"""

import logging
from dataclasses import dataclass

from services.jobs.domain.jobs import STOPPED, JobKey
from services.jobs.operations.running import killing
from services.jobs.operations.running.creating import Creator
from services.jobs.operations.running.tools import Tools
from services.kit.bus import Bus
from services.kit.rpc.staging import Intent, Staging

log = logging.getLogger(__name__)
DEFAULT_PROJECT = "default"


@dataclass(frozen=True)
class StagedStops:
    """Stops what finished transactions say. A job that has ended, or was deleted, needs nothing."""

    tools: Tools
    creator: Creator
    staging: Staging
    bus: Bus

    async def run(self) -> None:
        """Until cancelled."""
        await self.staging.follow(self.bus, self._carry_out)

    async def _carry_out(self, intent: Intent) -> bool:
        stop = intent.request.stop_job
        pipeline = stop.job.pipeline
        key = JobKey(pipeline.project.name or DEFAULT_PROJECT, pipeline.name, stop.job.id.lower())
        job = await self.creator.ensure(key)
        if job is None:
            log.info("job %s is gone; there is nothing to stop", key)
        else:
            await killing.kill(self.tools, job, stop.reason or STOPPED)
        return True
