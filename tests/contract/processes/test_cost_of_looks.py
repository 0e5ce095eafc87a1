"""What looks at pipelines cost: PPS and Jobs ask for what has changed or is open, however many pipelines there are."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire.pfs_v2_pb2_grpc import APIStub as PfsStub
from datamill.wire.pps_v2_pb2_grpc import APIStub as PpsStub
from services.jobs.operations.looking import worth_a_look
from services.jobs.peers.pfs import Pfs
from services.kit.bus import Bus
from services.kit.rpc import channels
from services.kit.storage.database import Database, KitBase
from services.pps.domain.names import PipelineKey
from services.pps.domain.pipelines import State, Version
from services.pps.domain.spec import specs
from services.pps.domain.spec.merge import BUILT_IN, merged
from services.pps.duties.groups import Groups, Tools
from services.pps.duties.presence import Presence
from services.pps.duties.reconciler import Reconciler
from services.pps.duties.scaler import Scaler
from services.pps.operations import holding, intents, reading
from services.pps.operations.secrets import Secrets
from services.pps.peers.jobs import Jobs
from services.pps.peers.repos import Repos
from services.pps.runtimes.process import ProcessRuntime
from services.pps.servicers.to_wire import run_spec
from services.pps.storage.holders import Holders
from services.pps.storage.sealing import Keyring
from services.pps.storage.tables import Base
from tests.support.servers import Spine, unique
from tests.system.chaos.dag import leaf, named, pipeline

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LONG = timedelta(days=1)


class Standing:
    """A clock that stands."""

    def now(self) -> datetime:
        return NOW


@dataclass
class Replica:
    """What looks after pipelines, told of news at once, without a loop of its own."""

    db: Database
    reconciler: Reconciler
    presence: Presence
    statements: list[str] = field(default_factory=list)

    async def cost(self) -> int:
        """Statements of one look."""
        self.statements.clear()
        await self.reconciler.look()
        return len(self.statements)

    async def settled(self) -> None:
        """Look until nothing is left to do."""
        before, now = -1, await self.cost()
        while now != before:
            before, now = now, await self.cost()


@asynccontextmanager
async def replica(root: Path, name: str, spine: Spine) -> AsyncIterator[Replica]:
    async with AsyncExitStack() as up:
        db = up.enter_context(Database(f"sqlite:///{root}/pps.db"))
        KitBase.metadata.create_all(db.engine)
        Base.metadata.create_all(db.engine)
        bus = await up.enter_async_context(Bus.connect(spine.nats_url, name="pps"))
        to_jobs = await up.enter_async_context(channels.connect(spine.jobs, token=spine.token))
        clock, runtime = Standing(), ProcessRuntime(root / name, "/bin/false")
        up.push_async_callback(runtime.close)
        presence = Presence(db=db, clock=clock, replica=name, alive=LONG)
        await presence.show()
        tools = Tools(
            db=db, runtime=runtime, presence=presence, clock=clock, spec_of=run_spec, env={},
            secrets=Secrets(db=db, ring=Keyring([b"k" * 32]), clock=clock), scaler=Scaler(jobs=Jobs(to_jobs), bus=bus),
        )  # fmt: skip
        reconciler = Reconciler(
            db=db, repos=Repos(to_jobs), groups=Groups(tools), presence=presence, bus=bus, clock=clock,
            look_at_all=LONG,
        )  # fmt: skip
        db.on_commit(lambda news: reconciler.heard([one for _, one in news]))
        found = Replica(db, reconciler, presence)
        with counted(db, found.statements):
            yield found


@contextmanager
def counted(db: Database, into: list[str]) -> Iterator[None]:
    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        into.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        yield
    finally:
        event.remove(db.engine, "before_cursor_execute", note)


def key_of(number: int) -> PipelineKey:
    return PipelineKey("default", f"p{number}")


async def make(db: Database, count: int) -> None:
    """Pipelines that stand by."""
    for number in range(count):
        key = key_of(number)
        document = {"transform": {"cmd": ["true"]}, "autoscaling": True, "input": {"pfs": {"repo": "a", "glob": "/"}}}
        draft = Version(
            key=key, number=0, token=f"{number}", spec_commit="", salt="", user_json="{}", effective_json="{}", at=NOW,
            spec=specs.completed(merged(BUILT_IN, document), key),
        )  # fmt: skip
        await db.run(intents.begin_version, draft, update=False, now=NOW)
        await db.run(intents.version_in_force, key, 1, "c", now=NOW)


async def states(db: Database) -> set[State]:
    return {one.state for one in await db.read(reading.everything)}


async def groups_of(db: Database, replica: str) -> set[str]:
    return await db.read(lambda tx: Holders(tx).held(holding.GROUP, replica))


@pytest.mark.parametrize("count", [1, 30])
async def test_a_look_costs_what_has_changed(count: int, tmp_path: Path, spine: Spine) -> None:
    async with replica(tmp_path, "one", spine) as one:
        await make(one.db, count)
        await one.settled()
        assert await states(one.db) == {State.STANDBY}
        assert await one.cost() == 1, "whether there are intents"
        key, held = key_of(0), await groups_of(one.db, "one")
        assert len(held) == count
        for what in (intents.STOPPING, intents.STARTING):
            await one.db.run(intents.begin, key, what, now=NOW)
            await one.db.run(intents.close, key, now=NOW)
            assert await one.cost() <= 10, "the one that changed, and who runs it"
        await one.settled()
        assert await one.cost() == 1
        await one.db.run(intents.begin, key, intents.DELETING, now=NOW)
        await one.db.run(intents.close, key, now=NOW)
        await one.settled()
        assert await groups_of(one.db, "one") == held - {holding.GROUP + str(key)}


async def test_of_two_replicas_each_asks_for_the_other_and_takes_over_what_it_leaves(
    tmp_path: Path, spine: Spine
) -> None:
    async with replica(tmp_path, "one", spine) as one, replica(tmp_path, "other", spine) as other:
        await make(one.db, 5)
        await one.settled()
        await other.settled()
        assert await other.cost() == 2, "whether there are intents, and whether the other lives"
        assert await one.cost() == 1
        await one.presence.leave()
        await other.settled()
        assert len(await groups_of(other.db, "other")) == 5


async def not_any_more(seen: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(1200):
        if not await seen():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("there is still something to do")


async def test_jobs_looks_at_pipelines_with_something_to_do(spine: Spine) -> None:
    async with channels.connect(spine.pfs, token=spine.token) as to_pfs, channels.connect(spine.pps) as to_pps:
        files, pipelines, source, name = PfsStub(to_pfs), PpsStub(to_pps), unique("in"), unique("p")
        branch = pfs.Branch(repo=pfs.Repo(name=source, type="user", project=pfs.Project(name="default")), name="master")
        await files.CreateRepo(pfs.CreateRepoRequest(repo=branch.repo))
        await pipelines.CreatePipeline(pipeline(name, "true", leaf(source, "/*")))
        with Database(f"sqlite:///{spine.root}/jobs/jobs.db") as db:
            statements = list[str]()
            with counted(db, statements):

                async def seen() -> bool:
                    statements.clear()
                    found = await worth_a_look(db, Pfs(to_pfs))
                    assert len(statements) == 1
                    return ("default", name) in found

                await not_any_more(seen)  # its first job has ended
                opened = await files.StartCommit(pfs.StartCommitRequest(branch=branch))
                assert await seen(), "somebody will have to write its outputs"
                await files.FinishCommit(pfs.FinishCommitRequest(commit=opened))
                await not_any_more(seen)
        await pipelines.DeletePipeline(pps.DeletePipelineRequest(pipeline=named(name)))
