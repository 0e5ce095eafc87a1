"""A log that is followed goes on after the server was away: from the lines last seen, each of them once.

Decided here: what counts as the server being away, how long it may be, and which lines were seen before. Lines of
several workers come in the order in which they were stored, not quite in that of their times; so it goes back by a
minute and leaves out what it has shown already. A line stored more than that after its time may be missed.
"""

import hashlib
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import grpc

from datamill.errors import Cancelled, DatamillError, Unavailable
from datamill.wire import pps_v2_pb2 as pps

BACK = timedelta(minutes=1)
PATIENCE = 60.0
CONNECTED = 6.0  # a call that lived this long had reached a server
PAUSE = 0.5
Open = Callable[[timedelta | None], Iterator[pps.LogMessage]]


def followed(lines: Open, since: timedelta | None, patience: float = PATIENCE) -> Iterator[pps.LogMessage]:
    """The lines, without end. Raises Unavailable when the server stays away for `patience` seconds.

    lines: those since so long ago, None for as far as the server goes back by itself, and all to come.
    """
    began, seen = time.monotonic(), _Seen()
    deadline: float | None = None
    reached = False
    while True:
        asked = time.monotonic()
        back = seen.back(since if since is None else since + timedelta(seconds=asked - began))
        shown = seen.once()
        try:
            for line in lines(back):
                reached = True
                if deadline is not None:
                    deadline = None
                    sys.stderr.write("datamill: the server is back\n")
                if shown(line):
                    yield line
            away = Unavailable("the server ended the log")
        except DatamillError as error:
            if not _gone(error) or (not reached and _nobody(error, asked)):
                raise
            away = Unavailable(error.message)
        reached, now = True, time.monotonic()
        if deadline is None or now - asked > CONNECTED:
            deadline = now + patience
            sys.stderr.write(f"datamill: the server went away ({away.message}); connecting again\n")
        if now > deadline:
            raise Unavailable(f"gave up after {patience:g} s: {away.message}") from away
        time.sleep(PAUSE)


def _nobody(error: DatamillError, asked: float) -> bool:
    """Nobody was there to begin with, as against a server that broke off: gRPC may say the same of both."""
    return "no datamill answers" in error.message and time.monotonic() - asked < CONNECTED


def _gone(error: DatamillError) -> bool:
    """A gateway whose service dies says that by breaking off the stream, which is INTERNAL to gRPC."""
    broken = error.code is grpc.StatusCode.INTERNAL and "RST_STREAM" in error.message
    return isinstance(error, (Unavailable, Cancelled)) or broken


class _Seen:
    """Which lines of the last minute were shown. Two that are alike in everything are two."""

    def __init__(self) -> None:
        self._lines: deque[tuple[datetime, bytes]] = deque()
        self._newest: datetime | None = None

    def back(self, otherwise: timedelta | None) -> timedelta | None:
        """How far to go back for what was not seen."""
        if self._newest is None:
            return otherwise
        return max(datetime.now(UTC) - self._newest, timedelta(0)) + BACK

    def once(self) -> Callable[[pps.LogMessage], bool]:
        """Says of each line of another call, in order, whether it is new; and notes it."""
        before = Counter(name for _, name in self._lines)

        def new(line: pps.LogMessage) -> bool:
            name = hashlib.blake2b(line.SerializeToString(deterministic=True), digest_size=16).digest()
            if before[name] > 0:
                before[name] -= 1
                return False
            self._note(line.ts.ToDatetime(UTC), name)
            return True

        return new

    def _note(self, at: datetime, name: bytes) -> None:
        self._lines.append((at, name))
        self._newest = at if self._newest is None else max(at, self._newest)
        while self._lines[0][0] < self._newest - 2 * BACK:
            self._lines.popleft()
