"""A service's own log lines, on their way to where logs of all services are read together.

They are published as they come, in the shape of the stream LOGS (services/jobs/domain/log_lines.py), on the subject
logs._.<service>._._; nobody waits for them and nothing is done about one that is lost: the lines are on stderr, too.
"""

import asyncio
import json
import logging
import platform
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from nats.aio.client import Client
from nats.errors import Error as NatsError

from services.kit.telemetry import JsonLines

PAUSE_SECONDS = 0.5
WAITING, AT_A_TIME = 2000, 200
LONGEST_LINE = 16 << 10


class Shipping(logging.Handler):
    """Remembers lines until they are published."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._subject = f"logs._.{service}._._"
        self._lines = deque[tuple[int, str]](maxlen=WAITING)
        self.setFormatter(JsonLines(service))

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append((int(record.created * 1e9), self.format(record)[:LONGEST_LINE]))

    async def run(self, client: Client) -> None:
        """Publish what comes, until cancelled."""
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            while self._lines and client.is_connected:
                some = [self._lines.popleft() for _ in range(min(AT_A_TIME, len(self._lines)))]
                payload = {"w": platform.node(), "u": False, "m": False, "l": some}
                with suppress(NatsError, OSError):
                    await client.publish(
                        self._subject, json.dumps(payload, ensure_ascii=False).encode("utf-8", "replace")
                    )


@asynccontextmanager
async def shipping(service: str, client: Client) -> AsyncIterator[None]:
    """While the block runs, what this process logs is published."""
    handler = Shipping(service)
    logging.getLogger().addHandler(handler)
    task = asyncio.create_task(handler.run(client), name="shipping of log lines")
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
