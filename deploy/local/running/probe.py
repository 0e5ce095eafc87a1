"""Asks a part whether it works, with nothing but a socket: the gRPC client would double the supervisor's memory.

Formats: HTTP/2 frames (RFC 9113, 4.1), header fields as literals without indexing (RFC 7541, 6.2.2), a message of
gRPC with its five-byte prefix, and grpc.health.v1.HealthCheckResponse, whose status SERVING is the bytes 08 01.
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY = 0x0, 0x1, 0x3, 0x4, 0x7
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
SERVING = b"\x08\x01"
EMPTY_MESSAGE = bytes(5)  # not compressed, length 0: asks about the server as a whole
SECONDS = 2.0
_Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable["Answer"]]


class Answer(Enum):
    """What a part said when asked."""

    SERVING = "serving"
    ANSWERED = "answers, but does not serve"
    SILENT = "does not answer"


async def ask_grpc(port: int, seconds: float = SECONDS) -> Answer:
    """The health of the gRPC server on a port of the loopback."""
    return await _asked(port, seconds, _check_health)


async def ask_nats(port: int, seconds: float = SECONDS) -> Answer:
    """Whether a NATS server greets: its first line is INFO and a JSON object."""
    return await _asked(port, seconds, _greeting)


async def _asked(port: int, seconds: float, talk: _Talk) -> Answer:
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                return await talk(reader, writer)
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return Answer.SILENT


async def _greeting(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> Answer:
    return Answer.SERVING if (await reader.readline()).startswith(b"INFO ") else Answer.ANSWERED


async def _check_health(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Answer:
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/grpc.health.v1.Health/Check",
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    block = b"".join(_literal(name, value) for name, value in fields.items())
    writer.write(PREFACE + _frame(SETTINGS, 0, 0, b"") + _frame(HEADERS, END_HEADERS, 1, block))
    writer.write(_frame(DATA, END_STREAM, 1, EMPTY_MESSAGE))
    body = b""
    while True:
        head = await reader.readexactly(9)
        length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        payload = await reader.readexactly(length)
        if kind == SETTINGS and not flags & ACK:
            writer.write(_frame(SETTINGS, ACK, 0, b""))
        elif kind == DATA:
            body += payload
            if body[5:] == SERVING:
                return Answer.SERVING
        if kind in {RST_STREAM, GOAWAY} or (kind in {HEADERS, DATA} and flags & END_STREAM):
            return Answer.ANSWERED


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _literal(name: str, value: str) -> bytes:
    """A header field in full; both lengths fit the seven bits of the shortest form."""
    return b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
