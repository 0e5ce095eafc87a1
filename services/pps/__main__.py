"""The pipeline service as a process: the one place that knows every concrete class."""

import asyncio
import gc
import os
from contextlib import AsyncExitStack
from pathlib import Path

import grpc

from datamill.wire import pps_v2_pb2_grpc as pps_grpc
from datamill.wire.inputs_v1_pb2_grpc import add_InputServiceServicer_to_server
from datamill.wire.secrets_v1_pb2_grpc import add_SecretServiceServicer_to_server
from services.kit import process
from services.kit.bus import Bus
from services.kit.programs.jsonnet import fetching
from services.kit.rpc import channels
from services.kit.rpc.server import serving, told_to_stop
from services.kit.rpc.staging import Staging
from services.kit.storage.database import Database
from services.kit.storage.migrations import migrate
from services.kit.storage.outbox import Relay
from services.kit.time.clock import SystemClock, fresh_id
from services.kit.urls.opening import Urls
from services.kit.urls.rules import HOSTS, Rules
from services.pps.duties.groups import Groups, Tools
from services.pps.duties.presence import Presence
from services.pps.duties.reconciler import Reconciler
from services.pps.duties.scaler import Scaler
from services.pps.duties.staged import StagedVersions
from services.pps.duties.ticker import Ticker
from services.pps.operations.secrets import Secrets
from services.pps.peers.cron_repos import CronRepos
from services.pps.peers.jobs import Jobs
from services.pps.peers.repos import Repos
from services.pps.runtimes.process import ProcessRuntime
from services.pps.servicers.api import PpsApi
from services.pps.servicers.secrets import SecretService
from services.pps.servicers.specs.inputs import InputService
from services.pps.servicers.to_wire import run_spec
from services.pps.settings import Settings
from services.pps.storage.sealing import keyring
from services.pps.storage.tables import Base

NAMES = ("pps_v2.API", "datamill.secrets.v1.SecretService", "datamill.inputs.v1.InputService")
MIGRATIONS = Path(__file__).parent / "storage" / "migrations"


async def main(settings: Settings) -> None:
    async with AsyncExitStack() as up:
        db = up.enter_context(Database(settings.database_url))
        migrate(db, MIGRATIONS, Base.metadata)
        bus = await up.enter_async_context(Bus.connect(settings.nats_url, name="pps"))
        to_pfs = await up.enter_async_context(channels.connect(settings.pfs, token=settings.service_token))
        repos, staging = Repos(to_pfs), Staging(to_pfs, "pps")
        jobs = Jobs(await up.enter_async_context(channels.connect(settings.jobs, token=settings.service_token)))
        clock, runtime = SystemClock(), ProcessRuntime(settings.runtime_dir, settings.worker_python)
        presence = Presence(db=db, clock=clock, replica=settings.replica or fresh_id())
        await presence.show()
        up.push_async_callback(presence.leave)
        up.push_async_callback(runtime.close)
        ring = keyring(settings.secrets_key, settings.runtime_dir.absolute().parent / "secrets.key")
        urls = Urls(Rules.of("", settings.url_hosts or os.environ.get(HOSTS, "")), os.environ)
        secrets = Secrets(db=db, ring=ring, clock=clock)
        await secrets.seal_anew()
        env = {
            "WORKER_PFS": settings.pfs, "WORKER_JOBS": settings.jobs,
            "WORKER_PPS": settings.for_workers or settings.listen.replace("0.0.0.0:", "127.0.0.1:"),
            "WORKER_SERVICE_TOKEN": settings.service_token,
        }  # fmt: skip
        scaler = Scaler(jobs=jobs, bus=bus)
        groups = Groups(
            Tools(
                db=db,
                runtime=runtime,
                presence=presence,
                clock=clock,
                spec_of=run_spec,
                env=env,
                secrets=secrets,
                scaler=scaler,
            )
        )
        reconciler = Reconciler(db=db, repos=repos, groups=groups, presence=presence, bus=bus, clock=clock)
        runtime.watch(reconciler.nudge)
        scaler.changed = reconciler.nudge
        staged = StagedVersions(db=db, repos=repos, reconciler=reconciler, staging=staging, bus=bus, clock=clock)
        ticker = Ticker(db=db, repos=CronRepos(to_pfs), bus=bus, clock=clock)
        api = PpsApi(
            db=db, repos=repos, jobs=jobs, clock=clock, groups=groups, reconciler=reconciler, staged=staged,
            secrets=secrets, fetch=fetching(urls), service_token=settings.service_token,
        )  # fmt: skip

        def register(server: grpc.aio.Server) -> None:
            pps_grpc.add_APIServicer_to_server(api, server)
            add_InputServiceServicer_to_server(InputService(token=settings.service_token), server)
            add_SecretServiceServicer_to_server(SecretService(secrets, token=settings.service_token), server)

        duties = await up.enter_async_context(asyncio.TaskGroup())
        relay = Relay(db, bus)
        loops = (relay.run, presence.run, reconciler.run, reconciler.follow, scaler.run, staged.run, ticker.run)
        running = [duties.create_task(loop()) for loop in loops]
        await up.enter_async_context(serving([register], NAMES, at=settings.listen, drain=settings.drain))
        gc.freeze()
        await told_to_stop()
        for duty in running:
            duty.cancel()


if __name__ == "__main__":
    process.run("pps", Settings, main)
