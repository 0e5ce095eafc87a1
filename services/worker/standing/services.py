"""A service's user code: started with the one datum of a job, and again whenever it ends, until the next job comes.

Each start has a fresh copy of its inputs. Whoever connects to the external port is passed on to the internal one, where
user code listens; there is no namespace of networks around a worker, so both are ports of this machine.
Elsewhere: what a start is (datums/attempts.py); how a job of a service ends (services/jobs).
"""

import asyncio
import contextlib
import logging
import threading
import time
from dataclasses import dataclass, replace
from typing import NoReturn

from services.worker.datums.attempts import DatumRun
from services.worker.datums.bench import Bench, SetInHand
from services.worker.inputs.prefetch import Gone
from services.worker.standing.spouts import NO_LIMIT, SETTLED, pause_after

log = logging.getLogger(__name__)
LOOPBACK = "127.0.0.1"
PIECE_BYTES = 64 << 10
BIND_AGAIN = 2.0  # seconds


def stand(bench: Bench, hand: SetInHand) -> NoReturn:
    """Run the set's datum for as long as the set is this worker's. Raises Gone, Trouble."""
    run = DatumRun(replace(bench, log_limit_bytes=NO_LIMIT), hand, 0)
    ends = 0
    try:
        while True:
            began = time.monotonic()
            run.begin()
            run.end(run.user_code())
            ends = 1 if time.monotonic() - began > SETTLED else ends + 1
            if bench.interrupt.lost.wait(pause_after(ends)):
                raise Gone(bench.interrupt.reason)
    finally:
        run.close()


@dataclass(frozen=True)
class Forwarder:
    """Passes connections on, from a port of this machine to another one."""

    external: int
    internal: int

    def start(self) -> None:
        """In a thread of its own, for as long as the worker lives."""
        threading.Thread(target=lambda: asyncio.run(self._serve()), name="forwarder", daemon=True).start()

    async def _serve(self) -> None:
        while True:
            try:
                server = await asyncio.start_server(self._pass_on, LOOPBACK, self.external)
            except OSError as error:  # that of the version before, which is just going, or somebody else's
                log.warning("port %d cannot be listened at: %s", self.external, error.strerror)
                await asyncio.sleep(BIND_AGAIN)
                continue
            log.info("connections to %s:%d go to port %d", LOOPBACK, self.external, self.internal)
            async with server:
                await server.serve_forever()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            other_reader, other_writer = await asyncio.open_connection(LOOPBACK, self.internal)
        except OSError:  # user code does not listen yet
            writer.close()
            return
        await asyncio.gather(_copy(reader, other_writer), _copy(other_reader, writer))
        for end in (writer, other_writer):
            end.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(PIECE_BYTES):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
