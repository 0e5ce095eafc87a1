"""A death between the intent and its end: the next process finishes what PFS has, and undoes what it has not.

A crash is made by doing the first steps of a call and no more, with the service's own functions, before it starts.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pfs_v2_pb2_grpc as pfs_grpc
from datamill.wire import pps_v2_pb2 as pps
from services.kit.rpc import channels
from services.kit.storage.database import Database
from services.kit.storage.migrations import migrate
from services.kit.time.clock import fresh_id
from services.pps.__main__ import MIGRATIONS
from services.pps.domain.names import PipelineKey
from services.pps.domain.pipelines import Version
from services.pps.domain.spec import specs
from services.pps.domain.spec.merge import BUILT_IN, merged
from services.pps.operations import intents
from services.pps.peers.repos import Repos
from tests.support.patience import eventually
from tests.support.servers import SERVING, running, service_command, settings, unique
from tests.system.chaos.dag import leaf, named, pipeline
from tests.system.pps.changes.test_pipelines import Side, branch, branches, commit, inspect, made, repo, repos, started

Step = Callable[[Database, Repos], Awaitable[None]]


def crashed(root: Path, pfs_address: str, token: str, steps: Step) -> None:
    """Take these steps with the database of a service that does not run, and stop there."""
    env = settings("pps", root, nats_url="", token=token)

    async def go() -> None:
        with Database(env["PPS_DATABASE_URL"]) as db:
            migrate(db, MIGRATIONS)
            async with channels.connect(pfs_address, token=token) as to_pfs:
                await steps(db, Repos(to_pfs))

    asyncio.run(go())


def draft(name: str, source: str) -> Version:
    key = PipelineKey("default", name)
    document = {"transform": {"cmd": ["true"]}, "input": {"pfs": {"repo": source, "glob": "/*"}}}
    spec = specs.completed(merged(BUILT_IN, document), key)
    return Version(
        key=key, number=0, token=fresh_id(), spec_commit="", salt=fresh_id(), spec=spec, user_json="{}",
        effective_json="{}", at=datetime.now(UTC),
    )  # fmt: skip


@pytest.fixture
def source(pfs_channel: grpc.Channel) -> str:
    name = unique("in")
    pfs_grpc.APIStub(pfs_channel).CreateRepo(pfs.CreateRepoRequest(repo=repo(name)))
    return name


def test_a_creation_that_pfs_never_heard_of_is_undone(
    tmp_path: Path, nats_url: str, service_token: str, pfs_address: str, source: str
) -> None:
    name = unique("p")

    async def steps(db: Database, _: Repos) -> None:
        await db.run(intents.begin_version, draft(name, source), update=False, now=datetime.now(UTC))

    crashed(tmp_path, pfs_address, service_token, steps)
    with started(tmp_path, nats_url, service_token, pfs_address) as side:
        request = pipeline(name, "true", leaf(source, "/*"))
        eventually(lambda: accepted(lambda: side.pps.CreatePipeline(request)))
        assert inspect(side, name).version == 1
        assert repos(side, name) == {"user", "meta", "spec"}


def accepted(call: Callable[[], object]) -> bool:
    """Whether the pipeline could be changed now: not as long as the old intent is there."""
    try:
        call()
    except grpc.RpcError as error:
        if "is just being" not in str(error):
            raise
        return False
    return True


def test_a_creation_and_an_update_that_pfs_has_are_finished(
    tmp_path: Path, nats_url: str, service_token: str, pfs_address: str, source: str
) -> None:
    name, found = unique("p"), {}

    async def create(db: Database, to_pfs: Repos) -> None:
        version = await db.run(intents.begin_version, draft(name, source), update=False, now=datetime.now(UTC))
        found["commit"] = await to_pfs.make_version(version, create=True, stopped=False)

    async def update(db: Database, to_pfs: Repos) -> None:
        version = await db.run(intents.begin_version, draft(name, source), update=True, now=datetime.now(UTC))
        found["commit"] = await to_pfs.make_version(version, create=False, stopped=False)

    for number, steps in enumerate((create, update), start=1):
        crashed(tmp_path, pfs_address, service_token, steps)
        with started(tmp_path, nats_url, service_token, pfs_address) as side:
            eventually(lambda number=number, side=side: version_of(side, name) == number)  # type: ignore[misc]
            assert inspect(side, name).spec_commit.id == found["commit"]
            assert branch(side, name).head.id == found["commit"]
            assert eventually(lambda side=side: inspect(side, name).details.workers_available)  # type: ignore[misc]


def version_of(side: Side, name: str) -> int:
    try:
        return inspect(side, name).version
    except grpc.RpcError as error:
        if "not found" not in str(error):
            raise
        return 0


def test_a_deletion_and_a_stop_go_on(tmp_path: Path, nats_url: str, service_token: str, pfs_address: str) -> None:
    with started(tmp_path, nats_url, service_token, pfs_address) as side:
        source, stopped = made(side)
        gone, follower = unique("p"), pfs.Trigger(commits=1)
        side.pps.CreatePipeline(pipeline(gone, "true", leaf(source, "/*", trigger=follower)))
        assert branches(side, source) == {"master", f"{gone}-trigger-1"}

    async def steps(db: Database, _: Repos) -> None:
        now = datetime.now(UTC)
        await db.run(intents.begin, PipelineKey("default", stopped), intents.STOPPING, now=now)
        await db.run(intents.begin, PipelineKey("default", gone), intents.DELETING, now=now)

    crashed(tmp_path, pfs_address, service_token, steps)
    with started(tmp_path, nats_url, service_token, pfs_address) as side:
        eventually(lambda: repos(side, gone) == set())
        eventually(lambda: version_of(side, gone) == 0)
        assert branches(side, source) == {"master"}
        eventually(lambda: not branch(side, stopped).direct_provenance)
        head = branch(side, stopped).head.id
        commit(side, source)
        assert branch(side, stopped).head.id == head
        assert inspect(side, stopped).state == pps.PIPELINE_PAUSED


def test_a_caller_that_goes_away_leaves_nothing_hanging(tmp_path: Path, nats_url: str, service_token: str) -> None:
    """PFS stands still while the pipeline is made, and the caller gives up; soon there is all of it or nothing."""
    env = settings("pfs", tmp_path, nats_url=nats_url, token=service_token)
    with (
        running(service_command("pfs"), env=env, ready=SERVING) as to_halt,
        started(tmp_path, nats_url, service_token, to_halt[1]) as side,
    ):
        _, name = made(side)
        stop = pps.StopPipelineRequest(pipeline=named(name))
        os.kill(to_halt.process.pid, signal.SIGSTOP)
        try:
            with pytest.raises(grpc.RpcError, match="DEADLINE_EXCEEDED"):
                side.pps.StopPipeline(stop, timeout=5)
        finally:
            os.kill(to_halt.process.pid, signal.SIGCONT)
        eventually(lambda: not branch(side, name).direct_provenance, within=120)
        eventually(lambda: accepted(lambda: side.pps.StopPipeline(stop)), within=120)
        start = pps.StartPipelineRequest(pipeline=named(name))
        os.kill(to_halt.process.pid, signal.SIGSTOP)
        try:
            with pytest.raises(grpc.RpcError, match="DEADLINE_EXCEEDED"):
                side.pps.StartPipeline(start, timeout=1)
            assert not inspect(side, name).stopped, (
                "who looks while PFS opens a commit must not take it for a stopped one's"
            )
        finally:
            os.kill(to_halt.process.pid, signal.SIGCONT)
        eventually(lambda: accepted(lambda: side.pps.StartPipeline(start)), within=120)
        assert branch(side, name).direct_provenance


def test_new_defaults_are_for_all_pipelines_or_none(
    tmp_path: Path, nats_url: str, service_token: str, pfs_address: str, source: str
) -> None:
    """PFS has taken the versions that they make, or never heard of them; what was set is set again by who asked."""
    names, found = [unique("p"), unique("p")], {}

    async def create(db: Database, to_pfs: Repos) -> None:
        for name in names:
            version = await db.run(intents.begin_version, draft(name, source), update=False, now=datetime.now(UTC))
            made = await to_pfs.make_version(version, create=True, stopped=False)
            await db.run(intents.version_in_force, version.key, 1, made, now=datetime.now(UTC))
        await begin(db)

    async def begin(db: Database) -> list[Version]:
        drafts = [(draft(name, source), 1) for name in names]
        return await db.run(intents.begin_updates, drafts, now=datetime.now(UTC))

    async def update(db: Database, to_pfs: Repos) -> None:
        found["commit"] = await to_pfs.make_versions([(version, False) for version in await begin(db)])

    for number, steps in enumerate((create, update), start=1):
        crashed(tmp_path, pfs_address, service_token, steps)
        with started(tmp_path, nats_url, service_token, pfs_address) as side:
            for name in names:
                eventually(lambda number=number, side=side, name=name: version_of(side, name) == number)  # type: ignore[misc]
                stop = pps.StopPipelineRequest(pipeline=named(name))
                assert eventually(lambda side=side, stop=stop: accepted(lambda: side.pps.StopPipeline(stop)))  # type: ignore[misc]
                side.pps.StartPipeline(pps.StartPipelineRequest(pipeline=named(name)))
            commits = {inspect(side, name).spec_commit.id for name in names}
            assert len(commits) == 2 if number == 1 else commits == {found["commit"]}
