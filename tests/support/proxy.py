"""A TCP proxy in front of a real server, that can be told to be away, to fail, to stall, to be slow, to damage."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum

from tests.support.servers import free_port

PIECE = 64 << 10
ANSWER = b"HTTP/1.1 %b\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
METHODS = (b"GET ", b"PUT ", b"HEAD", b"POST", b"DELE")
DAMAGE_FROM = 200_000  # bytes of one connection that stay whole


class Mood(Enum):
    """What the proxy does with what comes."""

    FAITHFUL = "passes everything on"
    AWAY = "closes every connection at once"
    BUSY = "answers every request with 503"
    FULL = "answers every request with 507"
    SILENT = "takes everything and never answers"
    SLOW = "passes a few MB a second on"
    DAMAGING = "turns a bit of every big upload"


class Proxy:
    """Runs on a thread of its own; `mood` may be changed at any time and holds for open connections too."""

    def __init__(self, to_port: int, *, slow_bytes: int = 8 << 20) -> None:
        self.port, self._to, self._slow_bytes = free_port(), to_port, slow_bytes
        self._loop = asyncio.new_event_loop()
        self._mood = Mood.FAITHFUL
        self._writers: set[asyncio.StreamWriter] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.connections = 0
        """How many were opened so far."""

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def mood(self) -> Mood:
        return self._mood

    @mood.setter
    def mood(self, mood: Mood) -> None:
        """Open connections are cut, so that the next request meets the new mood."""
        self._mood = mood
        self._loop.call_soon_threadsafe(self._cut)

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(120)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(120)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", self.port))
        self._ready.set()
        self._loop.run_forever()
        server.close()
        self._cut()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            match self._mood:
                case Mood.AWAY:
                    writer.transport.abort()
                case Mood.BUSY | Mood.FULL as mood:
                    await reader.readuntil(b"\r\n\r\n")
                    busy = mood is Mood.BUSY
                    writer.write(ANSWER % (b"503 Service Unavailable" if busy else b"507 Insufficient Storage"))
                    await writer.drain()
                case Mood.SILENT:
                    while await reader.read(PIECE):
                        pass
                case _:
                    await self._between(reader, writer)
        self._writers.discard(writer)
        writer.close()

    async def _between(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers.add(there)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, there, uploads=True))
                both.create_task(self._pass(there_reader, writer, uploads=False))
        except* ConnectionError:
            pass
        finally:
            self._writers.discard(there)
            there.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, uploads: bool) -> None:
        passed = 0
        while data := await reader.read(PIECE):
            if self._mood is Mood.SLOW:
                await asyncio.sleep(len(data) / self._slow_bytes)
            if uploads and self._mood is Mood.DAMAGING and passed > DAMAGE_FROM and data[:4] not in METHODS:
                data = bytes([data[0] ^ 1]) + data[1:]
            passed += len(data)
            writer.write(data)
            await writer.drain()
        writer.close()


@contextmanager
def proxy_to(port: int) -> Iterator[Proxy]:
    """A faithful proxy until the block ends."""
    proxy = Proxy(port)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
