"""NATS is away for a while: PFS goes on without it, and what was made meanwhile is told once it is back."""

import asyncio
import os
import time
from contextlib import ExitStack
from pathlib import Path

import nats

from tests.support.servers import free_port, nats_command, running
from tests.system.outages.conftest import StartPfs
from tests.system.outages.writing import PATIENCE, writing

AWAY = float(os.environ.get("DATAMILL_AWAY", "2"))  # seconds; `make soak` asks for a minute


def test_commits_go_on_without_nats_and_their_news_comes_after_it(start_pfs: StartPfs, tmp_path: Path) -> None:
    port = free_port()
    command = nats_command(tmp_path / "nats", port)
    with ExitStack() as up:
        first = up.enter_context(running(command, ready="Server is ready"))
        alone = start_pfs({"PFS_NATS_URL": f"nats://127.0.0.1:{port}"})
        with writing(alone.channel) as work:
            work.go_on()
            first.kill()
            first.process.wait()
            until = time.monotonic() + AWAY
            while time.monotonic() < until:
                work.go_on(1)
            during = {id for writer in work.writers for id in list(writer.repo.kept)[-1:]}
            up.enter_context(running(command, ready="Server is ready"))
            work.go_on(1)
        assert work.refusals == []
        asyncio.run(_told(f"nats://127.0.0.1:{port}", during))


async def _told(url: str, commits: set[str]) -> None:
    """Wait until the news has told that these are finished."""
    client = await nats.connect(url)
    try:
        async with asyncio.timeout(PATIENCE):
            news = await client.jetstream().subscribe("pfs.commit.finished", ordered_consumer=True)
            while commits:
                message = await news.next_msg(timeout=PATIENCE)
                commits = {id for id in commits if id.encode() not in message.data}
    finally:
        await client.close()
