"""Feeding the queue with the sets of a large job, over a real NATS and a database: some at a time, all in the end."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from services.jobs.domain.jobs import JobKey
from services.jobs.domain.sets import SetState
from services.jobs.operations.running import feeding
from services.jobs.operations.running.feeding import Feeding
from services.jobs.operations.work import queue as queue_module
from services.jobs.operations.work.queue import Line, Queue
from services.jobs.storage.jobs import JobStore
from services.jobs.storage.sets import SetStore
from services.jobs.storage.tables import Base
from services.kit.bus import Bus
from services.kit.storage.database import Database
from services.kit.time.clock import SystemClock
from tests.support.servers import free_port, nats_command, running

LINE = Line("default", "edges", 1)
SETS, AT_ONCE = 50, 20
SOON = timedelta(seconds=120)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database(f"sqlite:///{tmp_path}/jobs.db") as database:
        Base.metadata.create_all(database.engine)
        yield database


@asynccontextmanager
async def _queue(folder: Path, *, lease: timedelta = timedelta(seconds=30)) -> AsyncIterator[Queue]:
    port = free_port()
    with running(nats_command(folder / "nats", port), ready="Server is ready"):
        async with Bus.connect(f"nats://127.0.0.1:{port}", name="test") as bus:
            yield Queue(bus, lease=lease)


def _job(tx: Session) -> int:
    key, now = JobKey("default", "edges", "a" * 32), datetime.now(UTC)
    job = JobStore(tx).add(key, pipeline_made=now, version=1, output_branch="master", traceparent="", now=now)
    SetStore(tx).add(job.number, [(0, 1, 1)] * SETS)
    return job.number


def _done(tx: Session, job: int, index: int) -> None:
    SetStore(tx).row(job, index).state = SetState.DONE


async def _take(db: Database, queue: Queue, job: int) -> int:
    taken = await queue.take(LINE, SOON)
    assert taken is not None
    await queue.done(taken.handle)
    await db.run(_done, job, taken.index)
    return taken.index


async def test_a_large_job_is_queued_some_at_a_time(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "QUEUED_AT_ONCE", AT_ONCE)
    async with _queue(tmp_path) as queue:
        job = await db.run(_job)
        fed = Feeding(db, queue, SystemClock(), LINE, job)
        await fed.begin(SETS)
        await fed.look()
        assert await queue.waiting(LINE, job) == AT_ONCE, "enough wait: no more are queued"
        done = [await _take(db, queue, job) for _ in range(AT_ONCE - 5)]
        while len(done) < SETS:
            await fed.look()
            assert await queue.waiting(LINE, job) <= AT_ONCE + AT_ONCE // 2
            done.append(await _take(db, queue, job))
        assert done == list(range(SETS)), "each once, in order"


async def test_what_the_queue_has_lost_and_what_a_process_had_queued_is_queued_again(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "QUEUED_AT_ONCE", AT_ONCE)
    async with _queue(tmp_path) as queue:
        job = await db.run(_job)
        fed = Feeding(db, queue, SystemClock(), LINE, job)
        await fed.begin(SETS)
        assert [await _take(db, queue, job) for _ in range(3)] == [0, 1, 2]
        await queue.forget_job(LINE, job)
        for _ in range(feeding.LOST_AFTER):
            await fed.look()
        assert [await _take(db, queue, job) for _ in range(3)] == [3, 4, 5]
        after = Feeding(db, queue, SystemClock(), LINE, job)
        await after.take_up()
        assert await queue.waiting(LINE, job) == AT_ONCE
        assert await _take(db, queue, job) == 6


async def test_what_a_hung_process_was_given_comes_again_long_before_a_lease_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "HEARD_WITHIN", timedelta(seconds=1))
    async with _queue(tmp_path, lease=timedelta(hours=1)) as queue:
        await queue.put(LINE, 7, [3])
        lost = await queue.take(LINE, SOON)
        again = await queue.take(LINE, SOON)
        assert lost is not None
        assert again is not None
        assert (again.job, again.index) == (lost.job, lost.index) == (7, 3)
        assert again.handle != lost.handle
