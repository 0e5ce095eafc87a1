"""Two replicas over one database: workers run once, a change is one replica's, and what a dead one did goes on."""

import asyncio
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import grpc
import psutil
import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from services.kit.storage.database import Database
from services.pps.domain.names import PipelineKey
from services.pps.operations import holding, intents
from tests.support.patience import eventually
from tests.support.postgres import Postgres
from tests.support.servers import unique
from tests.system.chaos.dag import leaf, named, pipeline
from tests.system.pps.changes.test_pipelines import Side, branch, inspect, made, started


@pytest.fixture(scope="module")
def url(postgres: Postgres) -> str:
    return str(postgres.schema("pps"))


@pytest.fixture(scope="module")
def replicas(
    tmp_path_factory: pytest.TempPathFactory, nats_url: str, service_token: str, pfs_address: str, url: str
) -> Iterator[tuple[Side, Side]]:
    places = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("other")
    with (
        started(places[0], nats_url, service_token, pfs_address, PPS_DATABASE_URL=url) as one,
        started(places[1], nats_url, service_token, pfs_address, PPS_DATABASE_URL=url) as other,
    ):
        yield one, other


def workers(side: Side) -> Counter[str]:
    """How many workers each pipeline has at a replica."""
    found = Counter[str]()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = process.cmdline()
            if (
                words[-1:] == ["services.worker"]
                and "bwrap" in words[0]
                and any(str(side.root) in word for word in words)
            ):
                found[process.environ()["WORKER_NAME"].split(".")[1].rsplit("-v", 1)[0]] += 1
    return found


def all_run_once(names: list[str], *sides: Side) -> Callable[[], bool]:
    def look() -> bool:
        found = sum((workers(side) for side in sides), Counter[str]())
        assert max(found.values(), default=0) <= 2, "bwrap is there twice for each worker, never more"
        return set(names) <= set(found)

    return look


def test_changes_at_once_follow_one_another(replicas: tuple[Side, Side]) -> None:
    one, other = replicas
    source, name = made(one)
    other_source, refusals = unique("p"), list[str]()

    def change(at: int) -> bool:
        request = pipeline(name, f"exit {at}", leaf(source, "/*"))
        request.update = True
        try:
            replicas[at % 2].pps.CreatePipeline(request)
        except grpc.RpcError as error:
            refusals.append(error.details() or "")
            return False
        return True

    def create(at: int) -> bool:
        try:
            replicas[at % 2].pps.CreatePipeline(pipeline(other_source, f"exit {at}", leaf(source, "/*")))
        except grpc.RpcError as error:
            refusals.append(error.details() or "")
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        won = sum(pool.map(change, range(20)))
        made_once = sum(pool.map(create, range(4)))
    assert won == 20, refusals
    assert [text for text in refusals if "already exists" not in text] == []
    info = inspect(one, name)
    assert info.version == 21
    assert branch(other, name).head.id == info.spec_commit.id
    assert made_once == 1
    assert inspect(other, other_source).version == 1


def test_a_replica_that_hung_leaves_to_the_other_what_it_has_taken(replicas: tuple[Side, Side]) -> None:
    one, other = replicas
    _, name = made(one)
    eventually(lambda: workers(one)[name] or workers(other)[name])
    hung, living = (one, other) if workers(one)[name] else (other, one)
    hung.process.kill(signal.SIGSTOP)
    try:
        eventually(lambda: workers(living)[name])
    finally:
        hung.process.kill(signal.SIGCONT)
    eventually(lambda: not workers(hung)[name])
    assert workers(living)[name]
    eventually(lambda: inspect(hung, name).state == pps.PIPELINE_RUNNING)


def test_a_dead_replicas_workers_and_changes_go_on_at_the_other(replicas: tuple[Side, Side], url: str) -> None:
    one, other = replicas
    names = [made(side)[1] for side in (one, other, one, other)]
    ticking = unique("p")
    tree = pps.Input(cron=pps.CronInput(name="tick", spec="@every 1s"))
    one.pps.CreatePipeline(
        pps.CreatePipelineRequest(pipeline=named(ticking), transform=pps.Transform(cmd=["true"]), input=tree)
    )
    eventually(lambda: ticks(other, ticking))
    eventually(all_run_once(names, one, other))
    eventually(lambda: all(inspect(one, name).state == pps.PIPELINE_RUNNING for name in names))
    eventually(lambda: inspect(other, names[0]).details.workers_available == 1)

    left, gone = names[0], "a replica that is gone"
    with Database(url) as db:
        key, now = PipelineKey("default", left), datetime.now(UTC)
        asyncio.run(db.run(holding.show, gone, now))
        assert asyncio.run(db.run(holding.begin_change, key, gone, now, idle=True))
        asyncio.run(db.run(intents.begin, key, intents.STOPPING, now=now))
    with pytest.raises(grpc.RpcError) as waited:
        other.pps.StartPipeline(pps.StartPipelineRequest(pipeline=named(left)), timeout=1)
    late: Any = waited.value
    assert late.code() is grpc.StatusCode.DEADLINE_EXCEEDED, "whose turn it is may have died"

    one.process.kill()
    before, others = len(ticks(other, ticking)), names[1:]
    eventually(all_run_once(others, other))
    eventually(lambda: not branch(other, left).direct_provenance)  # the stop that was left
    assert inspect(other, left).state == pps.PIPELINE_PAUSED
    eventually(lambda: all(inspect(other, name).state == pps.PIPELINE_RUNNING for name in others))
    eventually(lambda: len(ticks(other, ticking)) > before + 2)  # those of its lease are made up for
    found = ticks(other, ticking)
    assert all(later - earlier == timedelta(seconds=1) for earlier, later in pairwise(found))
    other.pps.DeletePipeline(pps.DeletePipelineRequest(pipeline=named(ticking)))


def ticks(side: Side, name: str) -> list[datetime]:
    """What each tick's commit has added, oldest first."""
    where = pfs.Repo(name=f"{name}_tick", type="user", project=pfs.Project(name="default"))
    commits = list(side.pfs.ListCommit(pfs.ListCommitRequest(repo=where, origin_kind=pfs.OriginKind.USER)))[::-1]
    wait = pfs.CommitState.FINISHED
    for info in commits:
        side.pfs.InspectCommit(pfs.InspectCommitRequest(commit=info.commit, wait=wait), timeout=120)
    files = [side.pfs.ListFile(pfs.ListFileRequest(file=pfs.File(commit=info.commit, path="/"))) for info in commits]
    return [datetime.fromisoformat(max(file.file.path for file in listed).strip("/")) for listed in files]
