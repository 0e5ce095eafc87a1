"""Log lines: written to the JetStream stream LOGS in batches, replayed and followed from there.

One message holds lines of one datum (or of a job outside its datums) that came together. Subjects are
logs.<project>.<pipeline>.<job>.<datum>, "_" standing for none; characters that a subject cannot hold are encoded.
Elsewhere: where lines come from (servicers/traces.py, and the driver's own); what of them is asked for
(domain/logs/queries.py); those of jobs that ended (history/).
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from nats.errors import ConnectionClosedError
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeout
from nats.js.api import ConsumerConfig, DeliverPolicy, DiscardPolicy, StreamConfig
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from services.jobs.domain.logs.lines import LogBatch, LogScope, Message, in_parts, subject_of
from services.kit.bus import Bus, heeding_cancellation
from services.kit.errors import Unavailable

log = logging.getLogger(__name__)
STREAM = "LOGS"
PART_BYTES = 512 << 10
TOGETHER = 256  # messages that one answer is waited for
LOOK_AGAIN = 5.0


@dataclass(frozen=True, slots=True)
class Filled:
    """How full the stream is. stream: which one; since: when it was made; first, last: numbers of messages."""

    stream: str
    since: datetime
    first: int
    last: int
    messages: int
    bytes: int

    def bytes_after(self, number: int) -> int:
        """About how much has come after a message."""
        return self.bytes * (self.last - max(number, self.first - 1)) // max(1, self.messages)


class Logs:
    """The stream."""

    def __init__(self, bus: Bus, *, keep: timedelta, keep_bytes: int) -> None:
        self._bus = bus
        self._keep, self._keep_bytes = keep, keep_bytes
        self._said: deque[LogBatch] = deque(maxlen=10_000)
        self._anything = asyncio.Event()

    async def write(self, batches: Iterable[LogBatch]) -> None:
        """Store lines; the same batch again is stored once. Raises Unavailable when they could not be."""
        parts = [
            (f"{batch.id}.{number}" if batch.id else "", part)
            for batch in batches
            for number, part in enumerate(in_parts(batch, PART_BYTES))
        ]
        try:
            await self._ensure()
            for first in range(0, len(parts), TOGETHER):
                await self._publish(parts[first : first + TOGETHER])
        except (NatsError, OSError, TimeoutError) as error:
            self._bus.look_again(STREAM)
            raise Unavailable(f"log lines cannot be stored now: {error}") from error

    async def _publish(self, parts: Sequence[tuple[str, LogBatch]]) -> None:
        """Store messages, each under its id. Raises NatsError.

        Only the last is answered for: what one connection publishes is stored in order. Should it have broken
        meanwhile, all count as not stored.
        """
        connection = self._bus.connections
        for number, (id, part) in enumerate(parts, 1):
            headers = {"Nats-Msg-Id": id} if id else None
            with heeding_cancellation():
                if number < len(parts):
                    await self._bus.client.publish(part.scope.subject, part.payload(), headers=headers)
                else:
                    await self._bus.js.publish(part.scope.subject, part.payload(), timeout=10, headers=headers)
        if self._bus.connections != connection:
            raise ConnectionClosedError

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

    async def read(
        self, subject: str, *, since: int = 0, after: int = 0, follow: bool = False
    ) -> AsyncGenerator[Message | None]:
        """Messages that came at `since` (nanoseconds since 1970) or later, or after number `after`.

        None comes once, when all that was there has been sent; the end unless following. Raises Unavailable.
        """
        caught_up = False
        try:
            while follow or not caught_up:  # again when the server has lost the subscription, as a restart makes it
                await self._ensure()
                async with self._subscribed(subject, since, after) as lines:
                    info = await lines.consumer_info()
                    if not caught_up and not info.num_pending and not (info.delivered and info.delivered.consumer_seq):
                        caught_up = True
                        yield None
                    while follow or not caught_up:
                        try:
                            with heeding_cancellation():
                                message = await lines.next_msg(timeout=LOOK_AGAIN)
                        except NatsTimeout:
                            if await self._is_lost(lines):
                                break
                            continue
                        after = message.metadata.sequence.stream
                        yield Message(after, message.subject, message.data)
                        if not caught_up and message.metadata.num_pending == 0:
                            caught_up = True
                            yield None
        except (NatsError, OSError, TimeoutError) as error:
            self._bus.look_again(STREAM)
            raise Unavailable(f"log lines cannot be read now: {error}") from error

    async def _is_lost(self, lines: JetStreamContext.PushSubscription) -> bool:
        """Whether the server knows nothing of the subscription; one that is away may know it still."""
        try:
            with heeding_cancellation():
                await lines.consumer_info()
        except NotFoundError:
            self._bus.look_again(STREAM)
            return True
        except (NatsError, OSError, TimeoutError):
            return False
        return False

    async def identity(self) -> str:
        """Which stream the numbers of messages are of: one that is made anew counts anew. Raises Unavailable."""
        return (await self.filled()).stream

    async def filled(self) -> "Filled":
        """What is in the stream. Raises Unavailable."""
        try:
            await self._ensure()
            with heeding_cancellation():
                info = await self._bus.js.stream_info(STREAM)
        except (NatsError, OSError, TimeoutError) as error:
            self._bus.look_again(STREAM)
            raise Unavailable(f"log lines cannot be read now: {error}") from error
        created, state = info.created or datetime.now(UTC), info.state
        return Filled(str(info.created), created, state.first_seq, state.last_seq, state.messages, state.bytes)

    async def forget(self, project: str, pipeline: str, job: str) -> None:
        """A job is deleted, and its lines go with it; when that cannot be done now, time does it."""
        try:
            with heeding_cancellation():
                await self._bus.js.purge_stream(STREAM, subject=subject_of(project, pipeline, job))
        except (NatsError, OSError, TimeoutError) as error:
            log.warning("the lines of deleted job %s/%s@%s are still in the stream: %s", project, pipeline, job, error)

    @asynccontextmanager
    async def _subscribed(
        self, subject: str, since: int, after: int
    ) -> AsyncIterator[JetStreamContext.PushSubscription]:
        config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
        if after:
            config = ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=after + 1)
        elif since > 0:
            start = datetime.fromtimestamp(since // 1_000_000_000, UTC)
            config = ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_TIME, opt_start_time=start)
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
