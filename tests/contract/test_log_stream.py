"""Log lines against a real NATS: stored in order, once each, and never thought to be stored when they are not."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack, aclosing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.jobs.domain.logs.lines import LogBatch, LogScope
from services.jobs.operations.logs import TOGETHER, Logs
from services.kit.bus import Bus
from services.kit.errors import Unavailable
from tests.support.servers import free_port, nats_command, running

MANY = 3 * TOGETHER + 1


def _batches(count: int) -> list[LogBatch]:
    """One line each, of a datum each."""
    return [
        LogBatch(
            LogScope("p", "edges", "j", f"{n:064d}"), "w", True, False, (), (), ((n + 1, f"line {n}"),), id=f"b{n}"
        )
        for n in range(count)
    ]


def _logs(bus: Bus) -> Logs:
    return Logs(bus, keep=timedelta(hours=1), keep_bytes=64 << 20)


async def _stored(logs: Logs) -> Sequence[str]:
    found = []
    async with aclosing(logs.read("logs.p.edges.j.*")) as messages:
        async for message in messages:
            if message is not None:
                found += [text for _, text in message.batch.lines]
    return found


async def _eventually(true: Callable[[], bool]) -> None:
    for _ in range(2400):
        if true():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not come true")


async def test_lines_are_stored_in_order_and_once(tmp_path: Path) -> None:
    port = free_port()
    with running(nats_command(tmp_path / "nats", port), ready="Server is ready"):
        async with Bus.connect(f"nats://127.0.0.1:{port}", name="test") as bus:
            logs = _logs(bus)
            await logs.write(_batches(MANY))
            await logs.write(_batches(MANY))
            assert await _stored(logs) == [f"line {number}" for number in range(MANY)]


async def test_lines_that_a_server_dies_with_are_not_taken_for_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies in the middle of a batch, and is back with an empty stream before the last message, which it answers."""
    port = free_port()
    with ExitStack() as servers:
        first = servers.enter_context(running(nats_command(tmp_path / "nats", port), ready="Server is ready"))
        async with Bus.connect(f"nats://127.0.0.1:{port}", name="test") as bus:
            logs, publish, sent = _logs(bus), bus.client.publish, 0

            async def publish_and_die(subject: str, payload: bytes, **options: Any) -> None:
                nonlocal sent
                await publish(subject, payload, **options)
                sent += 1
                if sent == TOGETHER // 2:
                    first.kill()
                    first.process.wait()
                    servers.enter_context(running(nats_command(tmp_path / "new", port), ready="Server is ready"))
                    async with Bus.connect(f"nats://127.0.0.1:{port}", name="other") as other:
                        await _logs(other).identity()
                    await _eventually(lambda: bus.connections > 0)

            await logs.identity()
            monkeypatch.setattr(bus.client, "publish", publish_and_die)
            with pytest.raises(Unavailable):
                await logs.write(_batches(TOGETHER))
            monkeypatch.undo()
            await logs.write(_batches(TOGETHER))
            assert sorted(await _stored(logs)) == sorted(f"line {number}" for number in range(TOGETHER))
