"""RunCron: a tick of every cron input of a pipeline, now. Elsewhere: scheduled ticks (duties/ticker.py)."""

from google.protobuf.empty_pb2 import Empty

from datamill.wire import pps_v2_pb2 as pps
from services.kit.rpc.server import Context
from services.pps.domain.crons import cron_of
from services.pps.domain.errors import NoCron
from services.pps.domain.spec.inputs import crons
from services.pps.operations import reading
from services.pps.peers.cron_repos import CronRepos
from services.pps.servicers.base import PipelineRpcs
from services.pps.servicers.to_wire import key_of


class CronRpcs(PipelineRpcs):
    """Crons."""

    async def RunCron(self, request: pps.RunCronRequest, context: Context) -> Empty:
        pipeline = await self.db.read(reading.pipeline, key_of(self.named(request)))
        found = [cron_of(leaf) for leaf in crons(pipeline.version.spec.get("input") or {})]
        if not found:
            raise NoCron()
        now, repos = self.clock.now(), CronRepos(self.repos.channel)
        for cron in found:  # a commit set and so a job each
            await repos.tick(cron, now)
        return Empty()
