"""One HTTP/2 connection that carries unary gRPC calls (RFC 9113; gRPC over HTTP/2).

Does not wait: what came in is taken in, what does not go out now goes later. A call may be answered by another thread
than the one that reads. No TLS, no compression, no streams of messages: its callers are on this machine and ask for
little.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

from services.worker.serving.hpack import BadBlock, Decoder

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
INITIAL_WINDOW_SIZE = 4
FRAME_BYTES = 16384
WINDOW_BYTES = 65535
REQUEST_BYTES = 1 << 20
READ_BYTES = 64 << 10
OK, CANCELLED, UNKNOWN, UNIMPLEMENTED, INTERNAL = 0, 1, 2, 12, 13


def _header(name: bytes, value: bytes) -> bytes:
    return b"\0" + bytes([len(name)]) + name + _length(len(value)) + value


def _length(number: int) -> bytes:
    if number < 127:
        return bytes([number])
    made, number = [127], number - 127
    while number >= 128:
        made.append(number & 127 | 128)
        number >>= 7
    return bytes([*made, number])


_STATUS_200 = b"\x88"
_HEAD = _STATUS_200 + _header(b"content-type", b"application/grpc")
_TAIL = _header(b"grpc-status", b"0")


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">BHBBI", len(payload) >> 16, len(payload) & 0xFFFF, kind, flags, stream) + payload


class Broken(Exception):
    """The peer does not speak HTTP/2, or is gone."""


@dataclass(slots=True)
class _Stream:
    path: str
    window: int
    body: bytearray = field(default_factory=bytearray)
    call: "Call | None" = None
    left: bytes = b""  # of an answer that the peer's window has no room for


class Call:
    """A call that waits to be answered, once, from any thread."""

    def __init__(self, connection: "Connection", stream: int) -> None:
        self._connection = connection
        self._stream = stream
        self.over = False  # answered, or its caller is gone

    def reply(self, message: bytes) -> None:
        self.over = True
        self._connection.reply(self._stream, message)

    def fail(self, status: int, text: str) -> None:
        self.over = True
        self._connection.fail(self._stream, status, text)


Handler = Callable[[Call, bytes], None]


class Connection:
    """Serves one client. handlers: path -> what takes the call.

    changed: told when sending has to wait, or not any more.
    """

    def __init__(self, link: socket.socket, handlers: dict[str, Handler], changed: Callable[[bool], None]) -> None:
        self._link = link
        self._handlers = handlers
        self._changed = changed
        self._lock = threading.Lock()
        self._decoder = Decoder()
        self._in = bytearray()
        self._out = bytearray()
        self._greeted = False
        self._block: tuple[int, int, bytearray] | None = None  # stream, flags, headers so far
        self._streams: dict[int, _Stream] = {}
        self._window = WINDOW_BYTES
        self._stream_window = WINDOW_BYTES
        self._taken = 0
        self._blocked = False
        with self._lock:
            self._send(_frame(SETTINGS, 0, 0, b""))

    def read(self) -> None:
        """Take in what there is, and hand on the calls in it. Raises Broken when the connection is to be closed."""
        try:
            data = self._link.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            raise Broken from error
        if not data:
            raise Broken
        self._in += data
        try:
            for kind, flags, number, payload in self._frames():
                self._take(kind, flags, number, payload)
        except (BadBlock, IndexError, struct.error) as error:
            raise Broken from error

    def write(self) -> None:
        """Send what waits. Raises Broken."""
        with self._lock:
            self._flush()

    def close(self) -> None:
        with self._lock:
            for stream in self._streams.values():
                if stream.call is not None:
                    stream.call.over = True
            self._streams.clear()
            self._link.close()

    def reply(self, number: int, message: bytes) -> None:
        with self._lock:
            stream = self._streams.get(number)
            if stream is not None:
                stream.left = b"\0" + len(message).to_bytes(4, "big") + message
                self._send(_frame(HEADERS, END_HEADERS, number, _HEAD) + self._fitting(number, stream))

    def fail(self, number: int, status: int, text: str) -> None:
        with self._lock:
            if self._streams.pop(number, None) is not None:
                block = _HEAD + _header(b"grpc-status", b"%d" % status)
                block += _header(b"grpc-message", quote(text, safe=" !#$&'()*+,/:;=?@[]\"<>{}|^`~").encode())
                self._send(_frame(HEADERS, END_HEADERS | END_STREAM, number, block))

    def _frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        at = 0
        if not self._greeted:
            if len(self._in) < len(PREFACE):
                return
            if not self._in.startswith(PREFACE):
                raise Broken
            self._greeted, at = True, len(PREFACE)
        while len(self._in) - at >= 9:
            high, low, kind, flags, number = struct.unpack_from(">BHBBI", self._in, at)
            length = high << 16 | low
            if length > FRAME_BYTES:
                raise Broken
            if len(self._in) - at - 9 < length:
                break
            payload = bytes(self._in[at + 9 : at + 9 + length])
            at += 9 + length
            yield kind, flags, number & 0x7FFFFFFF, payload
        del self._in[:at]

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if self._block is not None and kind != CONTINUATION:
            raise Broken
        if kind == HEADERS:
            part = _unpadded(flags, payload)
            self._headers(number, flags, part[5:] if flags & PRIORITY else part)
        elif kind == CONTINUATION:
            if self._block is None or self._block[0] != number:
                raise Broken
            self._headers(number, flags | self._block[1] & END_STREAM, payload)
        elif kind == DATA:
            self._data(number, flags, payload)
        elif kind == RST_STREAM:
            self._drop(number)
        elif kind == SETTINGS and not flags & ACK:
            self._settings(payload)
        elif kind == PING and not flags & ACK:
            with self._lock:
                self._send(_frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE:
            self._widen(number, struct.unpack(">I", payload)[0] & 0x7FFFFFFF)

    def _headers(self, number: int, flags: int, part: bytes) -> None:
        block = self._block[2] if self._block is not None else bytearray()
        block += part
        if len(block) > READ_BYTES:
            raise Broken
        if not flags & END_HEADERS:
            self._block = (number, flags, block)
            return
        self._block = None
        fields = self._decoder.decode(bytes(block))
        if number in self._streams:  # trailers
            self._dispatch(number)
            return
        path = next((value for name, value in fields if name == ":path"), "")
        self._streams[number] = _Stream(path, self._stream_window)
        if flags & END_STREAM:
            self._dispatch(number)

    def _data(self, number: int, flags: int, payload: bytes) -> None:
        self._taken += len(payload)
        update = b""
        if self._taken >= FRAME_BYTES:
            update = _frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", self._taken))
            self._taken = 0
        if payload and not flags & END_STREAM:
            update += _frame(WINDOW_UPDATE, 0, number, struct.pack(">I", len(payload)))
        if update:
            with self._lock:
                self._send(update)
        stream = self._streams.get(number)
        if stream is None:
            return
        stream.body += _unpadded(flags, payload)
        if len(stream.body) > REQUEST_BYTES:
            raise Broken
        if flags & END_STREAM:
            self._dispatch(number)

    def _dispatch(self, number: int) -> None:
        stream = self._streams[number]
        call = stream.call = Call(self, number)
        handler = self._handlers.get(stream.path)
        body = stream.body
        if handler is None:
            call.fail(UNIMPLEMENTED, f"there is no method {stream.path} here")
        elif len(body) < 5 or len(body) - 5 != int.from_bytes(body[1:5], "big"):
            call.fail(INTERNAL, "the request is not one message")
        elif body[0]:
            call.fail(UNIMPLEMENTED, "compressed requests are not taken here")
        else:
            handler(call, bytes(body[5:]))

    def _drop(self, number: int) -> None:
        with self._lock:
            stream = self._streams.pop(number, None)
            if stream is not None and stream.call is not None:
                stream.call.over = True

    def _settings(self, payload: bytes) -> None:
        with self._lock:
            for key, value in struct.iter_unpack(">HI", payload):
                if key == INITIAL_WINDOW_SIZE:
                    for stream in self._streams.values():
                        stream.window += value - self._stream_window
                    self._stream_window = value
            self._send(_frame(SETTINGS, ACK, 0, b"") + self._more())

    def _widen(self, number: int, more: int) -> None:
        with self._lock:
            if number == 0:
                self._window += more
            elif number in self._streams:
                self._streams[number].window += more
            if waiting := self._more():
                self._send(waiting)

    def _more(self) -> bytes:
        """What of waiting answers the windows have room for now."""
        return b"".join(
            [self._fitting(number, stream) for number, stream in list(self._streams.items()) if stream.left]
        )

    def _fitting(self, number: int, stream: _Stream) -> bytes:
        made = b""
        while stream.left and (size := min(len(stream.left), FRAME_BYTES, stream.window, self._window)) > 0:
            made += _frame(DATA, 0, number, stream.left[:size])
            stream.left = stream.left[size:]
            stream.window -= size
            self._window -= size
        if not stream.left:
            del self._streams[number]
            made += _frame(HEADERS, END_HEADERS | END_STREAM, number, _TAIL)
        return made

    def _send(self, data: bytes) -> None:
        self._out += data
        with contextlib.suppress(Broken):  # whoever reads finds out
            self._flush()

    def _flush(self) -> None:
        try:
            while self._out:
                del self._out[: self._link.send(self._out)]
        except BlockingIOError:
            pass
        except OSError as error:
            self._out.clear()
            raise Broken from error
        if bool(self._out) != self._blocked:
            self._blocked = not self._blocked
            self._changed(self._blocked)


def _unpadded(flags: int, payload: bytes) -> bytes:
    return payload[1 : len(payload) - payload[0]] if flags & PADDED else payload
