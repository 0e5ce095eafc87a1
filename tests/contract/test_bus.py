"""The bus against a real NATS: news arrives at least once, and a server that dies and comes back loses none of it."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from datamill.wire import events_v1_pb2 as events
from services.kit.bus import NEWS_STREAM, Bus
from services.kit.errors import Unavailable
from services.kit.storage.database import Database, KitBase
from services.kit.storage.outbox import Outbox, OutboxRow, Relay
from tests.support.servers import Running, free_port, nats_command, running

SOON = timedelta(seconds=120)


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database(f"sqlite:///{tmp_path}/kit.db") as database:
        KitBase.metadata.create_all(database.engine)
        yield database


def _nats(folder: Path, port: int) -> AbstractContextManager[Running]:
    return running(nats_command(folder / "nats", port), ready="Server is ready")


def _announce(tx: Session, subject: str, key: str) -> None:
    Outbox(tx).add(subject, key, at=datetime.now(UTC), facts={"repo": "images"})


def _left(tx: Session) -> int:
    return tx.query(OutboxRow).count()


@asynccontextmanager
async def _relayed(db: Database, port: int) -> AsyncIterator[Bus]:
    async with Bus.connect(f"nats://127.0.0.1:{port}", name="test") as bus:
        relaying = asyncio.create_task(Relay(db, bus).run())
        try:
            yield bus
        finally:
            relaying.cancel()
            await asyncio.gather(relaying, return_exceptions=True)


async def test_a_listener_hears_its_subjects_only(db: Database, tmp_path: Path, port: int) -> None:
    with _nats(tmp_path, port):
        async with _relayed(db, port) as bus, bus.listen("pfs.commit.*") as news:
            await db.run(_announce, "pfs.repo.deleted", "a")
            await db.run(_announce, "pfs.commit.started", "b")
            heard = await news.wait(SOON)
            assert heard is not None
            assert (heard.subject, heard.key, dict(heard.facts)) == ("pfs.commit.started", "b", {"repo": "images"})


async def test_news_outlives_a_killed_server(db: Database, tmp_path: Path, port: int) -> None:
    """Ten pieces before the kill, ten while NATS is away, ten after: all are in the stream in the end, in order."""
    with ExitStack() as servers:
        first = servers.enter_context(_nats(tmp_path, port))
        async with _relayed(db, port) as bus:
            for number in range(10):
                await db.run(_announce, "pfs.commit.started", f"before-{number}")
            await _until_empty(db)
            first.kill()
            first.process.wait()
            for number in range(10):
                await db.run(_announce, "pfs.commit.started", f"away-{number}")
            servers.enter_context(_nats(tmp_path, port))
            for number in range(10):
                await db.run(_announce, "pfs.commit.started", f"after-{number}")
            await _until_empty(db)
            keys = await _kept(bus)
    wanted = [f"{when}-{number}" for when in ("before", "away", "after") for number in range(10)]
    assert list(dict.fromkeys(keys)) == wanted


async def test_a_server_that_comes_back_with_nothing_gets_its_stream_again(
    db: Database, tmp_path: Path, port: int
) -> None:
    with ExitStack() as servers:
        first = servers.enter_context(_nats(tmp_path, port))
        async with _relayed(db, port) as bus:
            await db.run(_announce, "pfs.commit.started", "before")
            await _until_empty(db)
            first.kill()
            first.process.wait()
            shutil.rmtree(tmp_path / "nats")
            servers.enter_context(_nats(tmp_path, port))
            await db.run(_announce, "pfs.commit.started", "after")
            await _until_empty(db)
            assert await _kept(bus) == ["after"]


async def _kept(bus: Bus) -> list[str]:
    """The keys of all news in the stream."""
    last = (await bus.js.stream_info(NEWS_STREAM)).state.messages
    found = [await bus.js.get_msg(NEWS_STREAM, seq=number) for number in range(1, last + 1)]
    return [events.News.FromString(message.data or b"").key for message in found]


async def _until_empty(db: Database) -> None:
    for _ in range(2400):
        if not await db.read(_left):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("news is left in the outbox")


async def test_no_server_is_said_clearly(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.kit.bus.PATIENCE", timedelta(seconds=0.3))
    with pytest.raises(Unavailable, match=f"no NATS server answers at nats://127.0.0.1:{port}"):
        async with Bus.connect(f"nats://127.0.0.1:{port}", name="test"):
            pass
