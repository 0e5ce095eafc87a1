"""NATS: news for whoever wants to look again, and the JetStream that queues and logs build on.

The bus nudges, the databases hold the truth: every listener also looks by itself now and then, so a lost message
costs time and never data. Losing the server is survived: the client reconnects for ever, publishing waits or fails.
Elsewhere: the outbox that makes news (outbox.py); the work queue and the log stream (services/jobs).
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import DiscardPolicy, PubAck, RetentionPolicy, StreamConfig
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from datamill.wire import events_v1_pb2 as events
from services.kit.errors import Unavailable
from services.kit.shipping import shipping

log = logging.getLogger(__name__)
NEWS_STREAM = "NEWS"
NEWS_SUBJECTS = ["pfs.>", "pps.>", "jobs.>"]
KEEP_NEWS = timedelta(hours=6)
NEWS_CONFIG = StreamConfig(
    name=NEWS_STREAM,
    subjects=NEWS_SUBJECTS,
    retention=RetentionPolicy.LIMITS,
    discard=DiscardPolicy.OLD,
    max_age=KEEP_NEWS.total_seconds(),
    max_bytes=256 << 20,
)
PUBLISH_SECONDS = 2.0  # listeners keep a lost stream from being answered for: only the time tells
QUEUE_BOUND = 1000
PATIENCE = timedelta(seconds=30)


@contextmanager
def heeding_cancellation() -> Iterator[None]:
    """For calls of nats-py: it waits by `wait_for`, which on Python 3.11 drops a cancellation that meets the answer."""
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    try:
        yield
    finally:
        if task.cancelling() > before:
            raise asyncio.CancelledError


@dataclass(eq=False)
class Listener:
    """News of some subjects from now on. More than QUEUE_BOUND unread pieces collapse: "look" needs no count."""

    subjects: tuple[str, ...]
    _queue: "asyncio.Queue[events.News]" = field(default_factory=lambda: asyncio.Queue(QUEUE_BOUND))

    def hear(self, news: events.News) -> None:
        if not self._queue.full():
            self._queue.put_nowait(news)

    async def wait(self, timeout: timedelta) -> events.News | None:
        """The next piece of news, or None when `timeout` passes first (then look anyway)."""
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                return await self._queue.get()
        except TimeoutError:
            return None

    def drain(self) -> list[events.News]:
        """All the news that is waiting, without waiting."""
        found = []
        while not self._queue.empty():
            found.append(self._queue.get_nowait())
        return found


class Bus:
    """A connection to NATS. Make it with `Bus.connect`."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.js: JetStreamContext = client.jetstream(timeout=5)
        self._listeners: set[Listener] = set()
        self._delivered: deque[str] = deque(maxlen=QUEUE_BOUND)  # ids of news that came without the network
        self._streams: dict[str, int] = {}  # name → the connection on which it was seen to be there

    @classmethod
    @asynccontextmanager
    async def connect(cls, url: str, *, name: str) -> AsyncIterator["Bus"]:
        """Connect, waiting up to 30 s for a server that is still starting. Raises Unavailable."""
        client = await _patiently(url, name)
        bus = cls(client)
        subscriptions = [await client.subscribe(subject, cb=bus._on_message) for subject in NEWS_SUBJECTS]
        try:
            async with shipping(name, client):
                yield bus
        finally:
            for subscription in subscriptions:
                if client.is_connected:
                    await subscription.unsubscribe()
            await client.close()

    @property
    def connections(self) -> int:
        """Which connection to the server this is, counted."""
        return int(self.client.stats["reconnects"])

    async def publish(self, news: Sequence[events.News]) -> None:
        """Publish durably, in order. Raises NatsError when the server does not take them in time."""
        waiting = list[asyncio.Future[PubAck]]()
        try:
            await self.have_stream(NEWS_CONFIG)
            for one in news:
                headers = {"Nats-Msg-Id": one.id}
                with heeding_cancellation():
                    waiting.append(await self.js.publish_async(one.subject, one.SerializeToString(), headers=headers))
            async with asyncio.timeout(PUBLISH_SECONDS):
                await asyncio.gather(*waiting)
        except (NatsError, TimeoutError):
            self.look_again(NEWS_STREAM)
            for answer in waiting:
                answer.cancel()  # or the client counts it for ever among what it waits for
            raise

    def deliver_here(self, news: events.News) -> None:
        """Give news to this process's own listeners without the network; its echo from the server is passed over."""
        self._delivered.append(news.id)
        self._hear(news)

    def _hear(self, news: events.News) -> None:
        for listener in self._listeners:
            if any(_matches(pattern, news.subject) for pattern in listener.subjects):
                listener.hear(news)

    @asynccontextmanager
    async def listen(self, *subjects: str) -> AsyncIterator[Listener]:
        """Hear news of `subjects` ("pfs.commit.*", "pfs.>") inside the block. Listen first, then read."""
        listener = Listener(subjects)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    async def have_stream(self, config: StreamConfig) -> bool:
        """Make the stream, or bring it to this configuration; once on each connection, for a server that was away may
        have come back with nothing. True: the server was asked."""
        assert config.name is not None
        connection = self.connections
        if self._streams.get(config.name) == connection:
            return False
        with heeding_cancellation():
            try:
                await self.js.update_stream(config)
            except NotFoundError:
                await self.js.add_stream(config)
        self._streams[config.name] = connection
        return True

    def look_again(self, stream: str) -> None:
        """Something failed: the stream may have gone."""
        self._streams.pop(stream, None)

    async def _on_message(self, message: Msg) -> None:
        news = events.News.FromString(message.data)
        if news.id not in self._delivered:
            self._hear(news)


async def _patiently(url: str, name: str) -> Client:
    async def note(error: Exception) -> None:
        log.warning("nats: %s", error)

    connecting = nats.connect(  # with endless reconnecting it also waits for a server that is still starting
        url,
        name=name,
        no_echo=True,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.25,
        connect_timeout=2,
        error_cb=note,
    )
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            return await connecting
    except (NatsError, OSError, TimeoutError) as error:
        raise Unavailable(f"no NATS server answers at {url}") from error


def _matches(pattern: str, subject: str) -> bool:
    wanted, parts = pattern.split("."), subject.split(".")
    for index, token in enumerate(wanted):
        if token == ">":
            return len(parts) > index
        if index >= len(parts) or token not in ("*", parts[index]):
            return False
    return len(wanted) == len(parts)
