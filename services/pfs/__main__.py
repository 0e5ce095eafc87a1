"""The file service as a process: the one place that knows every concrete class."""

import asyncio
import gc
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path

import grpc

from datamill.wire import admin_v2_pb2_grpc as admin_grpc
from datamill.wire import content_v1_pb2_grpc as content_grpc
from datamill.wire import metadata_pb2_grpc as metadata_grpc
from datamill.wire import pfs_v2_pb2_grpc as pfs_grpc
from datamill.wire import staging_v1_pb2_grpc as staging_grpc
from datamill.wire import storage_pb2_grpc as storage_grpc
from datamill.wire import transaction_v2_pb2_grpc as transaction_grpc
from datamill.wire import trees_v1_pb2_grpc as trees_grpc
from datamill.wire import upkeep_v1_pb2_grpc as upkeep_grpc
from datamill.wire import versionpb_v2_pb2_grpc as version_grpc
from datamill.wire.commits_v1_pb2_grpc import add_CommitServiceServicer_to_server
from services.kit import config, process
from services.kit.bus import Bus
from services.kit.objects.address import parse
from services.kit.objects.opening import open_store
from services.kit.rpc.server import Registration, serving, told_to_stop
from services.kit.storage.database import Database
from services.kit.storage.migrations import migrate
from services.kit.storage.outbox import Relay
from services.kit.time.clock import SystemClock
from services.kit.urls.opening import Urls
from services.kit.urls.rules import Rules
from services.pfs.duties.collector import Collector
from services.pfs.duties.finisher import Finisher
from services.pfs.duties.presence_keeper import PresenceKeeper
from services.pfs.duties.ticker import Ticker
from services.pfs.operations.collection.presence import Presence
from services.pfs.operations.files.stores import Stores
from services.pfs.operations.files.tree_views import Views
from services.pfs.operations.refs.projects import settle
from services.pfs.operations.storage_check import is_another_store, oldest_packs
from services.pfs.servicers.admin import AdminApi, VersionApi
from services.pfs.servicers.api import PfsApi
from services.pfs.servicers.auth import add_auth
from services.pfs.servicers.commits import CommitService
from services.pfs.servicers.content import ContentService
from services.pfs.servicers.files.storage import FilesetApi
from services.pfs.servicers.refs.metadata import MetadataApi
from services.pfs.servicers.transactions.api import TransactionApi
from services.pfs.servicers.transactions.staging import StagingService
from services.pfs.servicers.trees import TreeService
from services.pfs.servicers.upkeep import UpkeepService
from services.pfs.settings import Settings
from services.pfs.storage.collection.moves import Moves
from services.pfs.storage.tables import Base
from services.pfs.web.archive.archives import Archives
from services.pfs.web.files import Files
from services.pfs.web.server import Listening, Web

MIGRATIONS = Path(__file__).parent / "storage" / "migrations"
NAMES = (
    "pfs_v2.API", "transaction_v2.API", "metadata.API", "admin_v2.API", "versionpb_v2.API", "auth_v2.API",
    "storage.Fileset",
    "datamill.content.v1.ContentService", "datamill.trees.v1.TreeService",
    "datamill.upkeep.v1.UpkeepService", "datamill.staging.v1.StagingService", "datamill.commits.v1.CommitService",
)  # fmt: skip
SWITCH_SECONDS = 0.0005  # hashing threads hand the interpreter over often, so that short calls stay short
WAITING = 48  # threads, where they wait for a store far away and not for a core
GC_OBJECTS = 10_000  # made between looks for garbage: a call makes many that die by themselves


async def main(settings: Settings) -> None:
    async with AsyncExitStack() as up:
        clock, objects, urls = SystemClock(), open_store(settings.store), _urls(settings)
        if objects.root is None:
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(WAITING))
        db = up.enter_context(Database(settings.database_url))
        migrate(db, MIGRATIONS, Base.metadata)
        if is_another_store(objects, await db.read(oldest_packs)):
            found = f"the store {settings.store} holds none of the packs that the database knows"
            raise config.ConfigError(f"{found}: is it another one, or not mounted?")
        objects.spread("packs", "index")
        await db.run(settle, clock.now())
        bus = await up.enter_async_context(Bus.connect(settings.nats_url, name="pfs"))
        presence, moves = await Presence.open(db, clock, replica=settings.replica), Moves()
        up.push_async_callback(presence.close)
        keeper = PresenceKeeper(db, presence, moves, clock)
        await keeper.beat()
        stores = Stores.over(objects, moves=moves, name=presence.name, session=presence.session)
        collector = Collector(
            db, stores, presence, keeper, clock, every=settings.gc_every, hold=settings.gc_hold,
            gain_bytes=settings.gc_gain_bytes,
        )  # fmt: skip
        views = Views(db, bus, stores, clock)
        content = await ContentService.start(db=db, stores=stores, views=views, clock=clock)
        token = settings.service_token
        upkeep = UpkeepService(db, stores, collector, token=token)
        ticker = Ticker(db, bus, clock)
        finisher = Finisher(db, bus, stores, clock, presence, replica=settings.replica)
        api = PfsApi(
            db=db, bus=bus, clock=clock, stores=stores, views=views, urls=urls, service_token=token,
            closed=finisher.take,
        )  # fmt: skip
        register = _registrations(api, content, views)
        register.append(lambda server: upkeep_grpc.add_UpkeepServiceServicer_to_server(upkeep, server))
        web = Web(Files(db, views, stores), Archives(db, views, stores), presence.call, _origins(settings))
        pages = await Listening.open(web, at=settings.http_listen, drain=settings.drain)
        duties = await up.enter_async_context(asyncio.TaskGroup())
        every = (Relay(db, bus), finisher, ticker, keeper, collector, pages)
        running = [duties.create_task(duty.run()) for duty in every]
        await up.enter_async_context(
            serving(register, NAMES, at=settings.listen, drain=settings.drain, around=presence.around)
        )
        gc.freeze()
        gc.set_threshold(GC_OBJECTS)
        await told_to_stop()
        for duty in running:
            duty.cancel()


def _urls(settings: Settings) -> Urls:
    """Raises ConfigError."""
    try:
        rules = Rules.of(settings.url_folders, settings.url_hosts, parse(settings.store))
    except ValueError as mistake:
        raise config.ConfigError(f"bad settings: {mistake}") from mistake
    return Urls(rules, os.environ)


def _origins(settings: Settings) -> frozenset[str]:
    return frozenset(filter(None, settings.http_origins.split(",")))


def _registrations(api: PfsApi, content: ContentService, views: Views) -> list[Registration]:
    def everything(server: grpc.aio.Server) -> None:
        pfs_grpc.add_APIServicer_to_server(api, server)
        storage_grpc.add_FilesetServicer_to_server(FilesetApi(api), server)
        db, clock, token = api.db, api.clock, api.service_token
        transaction_grpc.add_APIServicer_to_server(TransactionApi(db=db, clock=clock, service_token=token), server)
        metadata_grpc.add_APIServicer_to_server(MetadataApi(db=db, clock=clock), server)
        staging = StagingService(db=db, clock=clock, service_token=token)
        staging_grpc.add_StagingServiceServicer_to_server(staging, server)
        admin_grpc.add_APIServicer_to_server(AdminApi(api.db), server)
        version_grpc.add_APIServicer_to_server(VersionApi(), server)
        add_auth(server)
        content_grpc.add_ContentServiceServicer_to_server(content, server)
        trees_grpc.add_TreeServiceServicer_to_server(TreeService(views), server)
        add_CommitServiceServicer_to_server(CommitService(db, token=token), server)

    return [everything]


if __name__ == "__main__":
    sys.setswitchinterval(SWITCH_SECONDS)
    process.run("pfs", Settings, main)
