"""Bytes at signed URLs: what the content service gives to callers that reach an S3 store themselves.

Standard library only, since workers use it, too. Connections stay open between requests.
A request that meets no answer or a status of 5xx is made again, a few times. Elsewhere: which URLs (the service says).
"""

import http.client
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")
CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 30.0
LOOK_SECONDS = 2.0  # a store that cannot be reached from here is found out soon
PAUSES = (0.1, 0.5, 2.0, 4.0)
SEND_BYTES = 256 << 10
OK, PARTIAL = 200, 206


class NotGiven(Exception):
    """The store does not do it. again: it may a little later."""

    def __init__(self, text: str, *, again: bool) -> None:
        super().__init__(text)
        self.again = again


class Signed:
    """Reads from and writes to signed URLs. Safe for several threads."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, str], list[http.client.HTTPConnection]] = {}
        self._lock = threading.Lock()

    def get(self, url: str, offset: int, length: int) -> bytes:
        """A range, whole. Raises NotGiven."""
        span = {"Range": f"bytes={offset}-{offset + length - 1}"}

        def once() -> bytes:
            status, data = self._ask(url, "GET", span)
            if status != PARTIAL or len(data) != length:
                raise NotGiven(f"the store gave {len(data)} bytes and status {status}", again=status == PARTIAL)
            return data

        return _patiently(once) if length else b""

    def put(self, url: str, pieces: Callable[[], Iterable[bytes | memoryview]], length: int) -> None:
        """Store an object. pieces: gives its bytes, from the first on each time. Raises NotGiven."""

        def once() -> None:
            self._ask(url, "PUT", {"Content-Length": str(length)}, _small(pieces()))

        _patiently(once)

    def holds(self, url: str, value: str) -> bool:
        """Whether this process reaches the store of `url`, and finds `value` there."""
        try:
            return self._ask(url, "GET", {}, seconds=LOOK_SECONDS)[1].decode(errors="replace") == value
        except NotGiven:
            return False

    def close(self) -> None:
        """Close every connection that is not in use."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for connection in (one for some in idle.values() for one in some):
            connection.close()

    def _ask(
        self,
        url: str,
        method: str,
        headers: dict[str, str],
        body: Iterable[bytes | memoryview] | None = None,
        seconds: float = ANSWER_SECONDS,
    ) -> tuple[int, bytes]:
        parts = urlsplit(url)
        place = parts.scheme, parts.netloc
        connection = self._taken(place)
        try:
            if connection.sock is None:
                connection.timeout = min(CONNECT_SECONDS, seconds)
                connection.connect()
            connection.sock.settimeout(seconds)
            connection.request(method, f"{parts.path}?{parts.query}", body, headers)
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise NotGiven(f"the store does not answer: {error or type(error).__name__}", again=True) from error
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._idle.setdefault(place, []).append(connection)
        if answer.status not in (OK, PARTIAL):
            raise NotGiven(f"the store answers with status {answer.status}", again=answer.status >= 500)
        return answer.status, data

    def _taken(self, place: tuple[str, str]) -> http.client.HTTPConnection:
        with self._lock:
            if idle := self._idle.get(place):
                return idle.pop()
        kind = http.client.HTTPSConnection if place[0] == "https" else http.client.HTTPConnection
        return kind(place[1], timeout=CONNECT_SECONDS)


def _small(pieces: Iterable[bytes | memoryview]) -> Iterator[memoryview]:
    """The same bytes in pieces so small that one may be sent within the time a socket gives it."""
    for piece in pieces:
        with memoryview(piece) as view:
            for start in range(0, len(view), SEND_BYTES):
                yield view[start : start + SEND_BYTES]


def _patiently(once: Callable[[], T]) -> T:
    for pause in PAUSES:
        try:
            return once()
        except NotGiven as error:
            if not error.again:
                raise
        time.sleep(pause)
    return once()
