"""The work queue: which datum sets wait for a worker, oldest first, on the JetStream stream WORK.

It only nudges: a message names a set, the database says whether it is still to be run and who holds it. So a message
may come twice or be lost; whoever takes one checks, and the driver of a job queues again what has vanished.
A taken message's acknowledgement handle is the lease token; neither answered nor renewed it is handed out again.
Elsewhere: leases (leasing.py).
"""

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeout
from nats.js.api import AckPolicy, ConsumerConfig, PubAck, RetentionPolicy, StreamConfig
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from services.kit.bus import Bus, heeding_cancellation

log = logging.getLogger(__name__)
STREAM = "WORK"
HANDLES = f"$JS.ACK.{STREAM}."
"""What subjects of acknowledgements begin with; who hands in another lease speaks of nothing that was taken."""
ASK_AGAIN = 5.0
HEARD_WITHIN = timedelta(seconds=8)
"""A message that was given to a process which hangs, and to no worker, comes again after so long. Renewals of leases
keep those of workers; one of a worker that is late all the same finds the lease in the database, and waits.
"""
FORGET_CONSUMER = timedelta(hours=1)
PUBLISH_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Line:
    """The queue of one version of a pipeline."""

    project: str
    pipeline: str
    version: int

    @property
    def subject(self) -> str:
        return f"work.{self.project}.{self.pipeline}.{self.version}"

    @property
    def consumer(self) -> str:
        return hashlib.blake2b(self.subject.encode(), digest_size=12).hexdigest()


@dataclass(frozen=True, slots=True)
class Taken:
    """A message in hand."""

    job: int
    index: int
    handle: str


class Queue:
    """All lines."""

    def __init__(self, bus: Bus, *, lease: timedelta) -> None:
        self._bus = bus
        self.lease = lease
        """How long a set stays with a worker of whom nothing is heard."""
        self._ready: set[str] = set()  # lines whose consumer is there

    async def put(self, line: Line, job: int, indexes: Iterable[int]) -> None:
        """Queue sets of a job. Raises NatsError."""
        await self._ensure_stream()
        subject = f"{line.subject}.{job}"
        waiting: list[asyncio.Future[PubAck]] = []
        try:
            for index in indexes:
                payload = json.dumps([job, index]).encode()
                with heeding_cancellation():
                    waiting.append(await self._bus.js.publish_async(subject, payload))
                if len(waiting) >= PUBLISH_AT_ONCE:
                    await self._confirmed(waiting)
                    waiting = []
            await self._confirmed(waiting)
        except (NatsError, OSError):
            self._bus.look_again(STREAM)
            raise

    async def _confirmed(self, waiting: list[asyncio.Future[PubAck]]) -> None:
        if not waiting:
            return
        async with asyncio.timeout(10):
            await asyncio.gather(*waiting)

    async def take(self, line: Line, wait: timedelta) -> Taken | None:
        """The oldest message, waiting for one. None: `wait` passed."""
        until = time.monotonic() + wait.total_seconds()
        while True:
            try:
                async with self._pulling(line) as pull:
                    return await self._next(pull, until)
            except NatsTimeout:
                return None
            except (NatsError, OSError) as error:
                log.warning("the queue of %s is away (%s)", line.subject, error)
                self._ready.discard(line.subject)
                self._bus.look_again(STREAM)
                if time.monotonic() > until:
                    return None
                await asyncio.sleep(0.3)

    @asynccontextmanager
    async def _pulling(self, line: Line) -> AsyncIterator[JetStreamContext.PullSubscription]:
        await self._ensure_consumer(line)
        pull = await self._bus.js.pull_subscribe_bind(consumer=line.consumer, stream=STREAM)
        try:
            yield pull
        finally:
            for message in _left_in(pull):
                await self.give_back(message.reply, timedelta())
            if self._bus.client.is_connected:
                await pull.unsubscribe()

    async def _next(self, pull: JetStreamContext.PullSubscription, until: float) -> Taken:
        while True:
            left = until - time.monotonic()
            try:
                with heeding_cancellation():
                    (message,) = await pull.fetch(1, timeout=max(0.15, min(ASK_AGAIN, left)))
            except NatsTimeout:
                if time.monotonic() + 0.2 >= until:
                    raise
                continue
            job, index = json.loads(message.data)
            return Taken(job, index, message.reply)

    async def done(self, handle: str) -> None:
        """The set needs nobody any more."""
        await self._answer(handle, b"+ACK")

    async def keep(self, handle: str) -> None:
        """It is still being worked on."""
        await self._answer(handle, b"+WPI")

    async def give_back(self, handle: str, delay: timedelta) -> None:
        """Hand it out again, after `delay`."""
        nanoseconds = int(max(delay.total_seconds(), 0) * 1e9)
        await self._answer(handle, b"-NAK" + (json.dumps({"delay": nanoseconds}).encode() if nanoseconds else b""))

    async def forget_job(self, line: Line, job: int) -> None:
        """Drop a job's messages that nobody has taken."""
        try:
            with heeding_cancellation():
                await self._bus.js.purge_stream(STREAM, subject=f"{line.subject}.{job}")
        except (NatsError, OSError) as error:  # they are dropped one by one when taken
            log.info("could not purge the queue of job %d: %s", job, error)

    async def waiting(self, line: Line, job: int) -> int:
        """How many messages of a job there are, taken or not. Raises NatsError."""
        await self._ensure_stream()
        try:
            with heeding_cancellation():
                info = await self._bus.js.stream_info(STREAM, subjects_filter=f"{line.subject}.{job}")
        except NotFoundError:  # NATS came back with nothing
            self._bus.look_again(STREAM)
            return 0
        return sum((info.state.subjects or {}).values())

    async def _answer(self, handle: str, what: bytes) -> None:
        if handle.startswith(HANDLES):
            try:
                await self._bus.client.publish(handle, what)
            except (NatsError, OSError) as error:  # it will be handed out again, and found done
                log.info("could not answer the queue: %s", error)

    async def _ensure_stream(self) -> None:
        config = StreamConfig(name=STREAM, subjects=["work.>"], retention=RetentionPolicy.WORK_QUEUE)
        if await self._bus.have_stream(config):
            self._ready.clear()

    async def _ensure_consumer(self, line: Line) -> None:
        await self._ensure_stream()
        if line.subject in self._ready:
            return
        config = ConsumerConfig(
            durable_name=line.consumer,
            filter_subject=f"{line.subject}.*",
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=min(self.lease, HEARD_WITHIN).total_seconds(),
            max_deliver=-1,
            max_ack_pending=100_000,
            max_waiting=10_000,
            inactive_threshold=FORGET_CONSUMER.total_seconds(),
        )
        with heeding_cancellation():
            await self._bus.js.add_consumer(STREAM, config)
        self._ready.add(line.subject)


def _left_in(pull: JetStreamContext.PullSubscription) -> list[Msg]:
    """Messages that came for a caller who has left; without this they would be away until their lease runs out."""
    queue = pull._sub._pending_queue
    found = []
    while not queue.empty():
        message = queue.get_nowait()
        if message.reply.startswith("$JS.ACK"):
            found.append(message)
    return found
