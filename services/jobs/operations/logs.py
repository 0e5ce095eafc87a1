"""Log lines: written to the JetStream stream LOGS in batches, replayed and followed from there.

One message holds lines of one datum (or of a job outside its datums) that came together. Subjects are
logs.<project>.<pipeline>.<job>.<datum>, "_" standing for none; characters that a subject cannot hold are encoded.
Elsewhere: where lines come from (servicers/traces.py, and the driver's own); filters (domain/log_lines.py).
"""

import asyncio
import json
import logging
import secrets
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeout
from nats.js.api import ConsumerConfig, DeliverPolicy, DiscardPolicy, StreamConfig
from nats.js.client import JetStreamContext

from services.jobs.domain.log_lines import LogBatch, LogScope, batch_from, in_parts
from services.kit.bus import Bus, heeding_cancellation
from services.kit.errors import Unavailable

log = logging.getLogger(__name__)
STREAM = "LOGS"
PART_BYTES = 512 << 10
LOOK_AGAIN = 5.0


class Logs:
    """The stream."""

    def __init__(self, bus: Bus, *, keep: timedelta, keep_bytes: int) -> None:
        self._bus = bus
        self._keep, self._keep_bytes = keep, keep_bytes
        self._said: deque[LogBatch] = deque(maxlen=10_000)
        self._anything = asyncio.Event()

    async def write(self, batches: Iterable[LogBatch]) -> None:
        """Store lines; the same batch again is stored once. Raises Unavailable when they could not be."""
        try:
            await self._ensure()
            waiting = []
            for batch in batches:
                for number, part in enumerate(in_parts(batch, PART_BYTES)):
                    headers = {"Nats-Msg-Id": f"{batch.id}.{number}"} if batch.id else None
                    payload = part.payload()
                    with heeding_cancellation():
                        waiting.append(await self._bus.js.publish_async(batch.scope.subject, payload, headers=headers))
            async with asyncio.timeout(10):
                await asyncio.gather(*waiting)
        except (NatsError, OSError, TimeoutError) as error:
            self._bus.look_again(STREAM)
            raise Unavailable(f"log lines cannot be stored now: {error}") from error

    def say(self, project: str, pipeline: str, job: str, text: str, *, at: datetime) -> None:
        """A line of the process that runs the jobs; it is stored soon, unless the stream is away for long."""
        line = (int(at.timestamp() * 1e9), text)
        scope = LogScope(project, pipeline, job, "")
        self._said.append(LogBatch(scope, "", False, True, (), (), (line,), id=secrets.token_hex(8)))
        self._anything.set()

    async def run(self) -> None:
        """Store what was said, until cancelled."""
        while True:
            await self._anything.wait()
            self._anything.clear()
            said = list(self._said)
            try:
                await self.write(said)
            except Unavailable as error:
                log.warning("%s", error)
                await asyncio.sleep(1)
                self._anything.set()
                continue
            for _ in said:
                self._said.popleft()

    async def read(self, subject: str, *, since: datetime, follow: bool) -> AsyncIterator[LogBatch | None]:
        """Batches from `since` on. None comes once, when all that was there has been sent; the end unless following."""
        await self._ensure()
        async with self._subscribed(subject, since) as lines:
            info = await lines.consumer_info()
            caught_up = not info.num_pending and not (info.delivered and info.delivered.consumer_seq)
            if caught_up:
                yield None
            while follow or not caught_up:
                try:
                    with heeding_cancellation():
                        message = await lines.next_msg(timeout=LOOK_AGAIN)
                except NatsTimeout:
                    continue
                yield batch_from(message.subject, json.loads(message.data))
                if not caught_up and message.metadata.num_pending == 0:
                    caught_up = True
                    yield None

    @asynccontextmanager
    async def _subscribed(self, subject: str, since: datetime) -> AsyncIterator[JetStreamContext.PushSubscription]:
        config = ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_TIME, opt_start_time=since)
        lines = await self._bus.js.subscribe(subject, stream=STREAM, config=config, ordered_consumer=True)
        try:
            yield lines
        finally:
            if self._bus.client.is_connected:
                await lines.unsubscribe()

    async def _ensure(self) -> None:
        config = StreamConfig(
            name=STREAM,
            subjects=["logs.>"],
            discard=DiscardPolicy.OLD,
            max_age=self._keep.total_seconds(),
            max_bytes=self._keep_bytes,
            duplicate_window=120,
        )
        await self._bus.have_stream(config)
