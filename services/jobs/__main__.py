"""The jobs service as a process: the one place that knows every concrete class."""

import asyncio
import gc
import platform
import secrets
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import add_TraceServiceServicer_to_server

from datamill.wire.explain_v1_pb2_grpc import add_ExplainServiceServicer_to_server
from datamill.wire.logs_pb2_grpc import add_APIServicer_to_server as add_logs_to_server
from datamill.wire.pps_v2_pb2_grpc import add_APIServicer_to_server
from datamill.wire.upkeep_v1_pb2_grpc import add_JobUpkeepServiceServicer_to_server
from datamill.wire.work_v1_pb2_grpc import add_WorkServiceServicer_to_server
from services.jobs.duties.collector import Collector
from services.jobs.duties.driver import Driver
from services.jobs.duties.follower import Follower
from services.jobs.duties.keeper import Keeper
from services.jobs.duties.sealer import Sealer
from services.jobs.duties.staged import StagedStops
from services.jobs.duties.sweeper import Sweeper
from services.jobs.operations.history.reading import LogReader
from services.jobs.operations.history.sealing import Sealing
from services.jobs.operations.history.stretches import Stretches
from services.jobs.operations.logs import Logs
from services.jobs.operations.naming import Names
from services.jobs.operations.planning.planner import Planner
from services.jobs.operations.running.creating import Creator
from services.jobs.operations.running.tools import Tools
from services.jobs.operations.wakes import Wakes
from services.jobs.operations.work.queue import Queue
from services.jobs.peers.pfs import Pfs
from services.jobs.peers.pps import Pps
from services.jobs.servicers.api import JobsApi
from services.jobs.servicers.datums.explain import ExplainService
from services.jobs.servicers.jobs import Parts
from services.jobs.servicers.logs.service import LogService
from services.jobs.servicers.logs.traces import Forwarder, TraceIntake
from services.jobs.servicers.upkeep import JobUpkeepService
from services.jobs.servicers.work import WorkService
from services.jobs.settings import Settings
from services.jobs.storage.objects import Indexes
from services.jobs.storage.scratch import plans_folder
from services.jobs.storage.tables import Base
from services.kit import process
from services.kit.bus import Bus
from services.kit.objects.opening import open_store
from services.kit.rpc import channels
from services.kit.rpc.server import serving, told_to_stop
from services.kit.rpc.staging import Staging
from services.kit.storage.database import Database
from services.kit.storage.migrations import migrate
from services.kit.storage.outbox import Relay
from services.kit.time.clock import SystemClock

NAMES = (
    "pps_v2.API", "logs.API", "datamill.work.v1.WorkService", "datamill.upkeep.v1.JobUpkeepService",
    "datamill.explain.v1.ExplainService", "opentelemetry.proto.collector.trace.v1.TraceService",
)  # fmt: skip
WAITING = 32  # threads, where they wait for a store far away and not for a core
MIGRATIONS = Path(__file__).parent / "storage" / "migrations"


async def main(settings: Settings) -> None:
    async with AsyncExitStack() as up:
        db = up.enter_context(Database(settings.database_url))
        migrate(db, MIGRATIONS, Base.metadata)
        bus = await up.enter_async_context(Bus.connect(settings.nats_url, name="jobs"))
        to_pfs = await up.enter_async_context(channels.connect(settings.pfs, token=settings.service_token))
        to_pps = await up.enter_async_context(channels.connect(settings.pps, token=settings.service_token))
        pfs, pps = Pfs(to_pfs), Pps(to_pps)
        objects = open_store(settings.store)
        if objects.root is None:
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(WAITING))
        clock = SystemClock()
        indexes = Indexes.over(objects, Names(db, clock).fresh)
        logs = Logs(bus, keep=settings.keep_logs, keep_bytes=settings.keep_log_bytes)
        planner = Planner(pfs, indexes, up.enter_context(plans_folder(objects)))
        tools = Tools(db, pfs, pps, planner, indexes, Queue(bus, lease=settings.set_lease), logs, Wakes(), clock)
        creator = Creator(db, pfs, pps, clock)
        driver = Driver(tools, Keeper(db, clock, _replica(settings)))
        follower = Follower(tools, creator, pps, driver, bus)
        staging = Staging(to_pfs, "jobs")
        stops = StagedStops(tools, creator, staging, bus)
        forwarder = Forwarder(settings.otlp_collector)
        parts = Parts(tools, creator, pps, bus, staging, settings.service_token)
        api, explain = JobsApi(parts), ExplainService(parts)
        work = WorkService(
            tools, token=settings.service_token, traced=bool(settings.otlp_collector), forget=follower.deleted
        )
        traces = TraceIntake(logs, forwarder, token=settings.service_token)
        collector = Collector(db, indexes, clock, every=settings.gc_every, hold=settings.gc_hold)
        sealing = Sealing(db, logs, indexes, clock, settled=settings.seal_logs_after, keep=settings.keep_sealed_logs)
        stretches = Stretches(db, logs, indexes, clock, keep_bytes=settings.keep_log_bytes, keep=settings.keep_logs)
        upkeep = JobUpkeepService(collector, token=settings.service_token)

        def register(server: grpc.aio.Server) -> None:
            add_APIServicer_to_server(api, server)
            add_logs_to_server(LogService(LogReader(db, logs, objects)), server)
            add_ExplainServiceServicer_to_server(explain, server)
            add_WorkServiceServicer_to_server(work, server)
            add_JobUpkeepServiceServicer_to_server(upkeep, server)
            add_TraceServiceServicer_to_server(traces, server)  # type: ignore[no-untyped-call]

        duties = await up.enter_async_context(asyncio.TaskGroup())
        loops = (
            Relay(db, bus).run,
            driver.run,
            follower.follow,
            follower.reconcile,
            stops.run,
            logs.run,
            forwarder.run,
            collector.run,
            Sealer(sealing, stretches).run,
            Sweeper(db, clock).run,
        )
        running = [duties.create_task(loop()) for loop in loops]
        await up.enter_async_context(serving([register], NAMES, at=settings.listen, drain=settings.drain))
        gc.freeze()
        await told_to_stop()
        for duty in running:
            duty.cancel()


def _replica(settings: Settings) -> str:
    """A replica is known by its name or else its address, so that it finds its jobs again at once."""
    if settings.replica:
        return settings.replica
    if settings.listen.endswith(":0"):
        return secrets.token_hex(8)
    return f"{platform.node()} {settings.listen}"


if __name__ == "__main__":
    process.run("jobs", Settings, main)
