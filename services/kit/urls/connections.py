"""HTTP connections that hold the address they were made to against the rules, before anything is sent on them."""

import socket
from collections.abc import Iterator
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

from services.kit.urls.port import ANSWER_SECONDS, CONNECT_SECONDS, PIECE_BYTES
from services.kit.urls.rules import Rules

WORTH_BYTES = 64 << 10


def connections(rules: Rules, *, at_once: int = 16) -> urllib3.PoolManager:
    """A pool that opens no connection the rules forbid; it follows no redirect and repeats no request by itself."""

    def checked(connection: HTTPConnection, made: socket.socket) -> socket.socket:
        try:
            rules.check_peer(connection.host, made.getpeername()[0], f"{connection.host}:{connection.port}")
        except BaseException:
            made.close()
            raise
        return made

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return checked(self, super()._new_conn())

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return checked(self, super()._new_conn())

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    pool = urllib3.PoolManager(
        maxsize=at_once,
        timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=ANSWER_SECONDS),
        retries=urllib3.Retry(0, redirect=False, raise_on_status=False),
        blocksize=PIECE_BYTES,
    )
    classes: dict[str, Any] = {"http": PlainPool, "https": SecurePool}
    pool.pool_classes_by_scheme = classes
    return pool


def arriving(answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """What comes in, as it lies there; an empty piece says that more has come, but not enough to be worth passing on.

    So a reader gets to look about, however slowly the bytes drip.
    """
    waiting = bytearray()
    while data := answer.read1(PIECE_BYTES, decode_content=False):
        waiting += data
        if len(waiting) >= WORTH_BYTES:
            yield bytes(waiting)
            waiting.clear()
        else:
            yield b""
    if waiting:
        yield bytes(waiting)


def plainly(error: Exception) -> str:
    """What went wrong on a connection, without the client's own names for things."""
    reason = getattr(error, "reason", None)
    if isinstance(reason, Exception):
        return plainly(reason)
    if isinstance(error, NewConnectionError):
        return str(error).partition("): ")[2] or str(error)
    return str(error.args[0]) if error.args else str(error)
