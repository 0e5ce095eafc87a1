"""One call, NextDatum of the worker beside this process, without grpcio: with it, asking took as long as a small datum.

Speaks as much HTTP/2 and gRPC as the worker's server does (ADR 14, 16): one call at a time on one connection, header
blocks that are not compressed. Elsewhere: what an answer means for user code (batching.py). Standard library only, and
even of that little: a process of user code is started for each set of datums.
"""

import socket
import struct
from collections.abc import Iterator
from urllib.parse import unquote

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 0x1, 0x1, 0x4
_MOST_STREAM = (1 << 31) - 3
_WINDOW_BYTES = (1 << 31) - 1
_FIRST_WINDOW_BYTES = 65535
_READ_BYTES = 64 << 10
_ERROR_BYTES = 15 << 10  # so that a call is one frame, for which the worker always has room
_PATH = b"/pachyderm.worker.Worker/NextDatum"
_OK, _UNKNOWN, _UNAVAILABLE = 0, 2, 14


class CallFailed(Exception):
    """The worker said no, or is gone. code: a number of gRPC."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">BHBBI", len(payload) >> 16, len(payload) & 0xFFFF, kind, flags, stream) + payload


def _kept(name: bytes, value: bytes) -> bytes:
    """A header field that the other side keeps, so that its number is enough from then on (RFC 7541, 6.2.1)."""
    return b"\x40" + bytes([len(name)]) + name + bytes([len(value)]) + value


_METHOD_POST, _SCHEME_HTTP = b"\x83", b"\x86"  # entries 3 and 6 of the table that every connection begins with
_FIRST = (_METHOD_POST, _SCHEME_HTTP, _kept(b":path", _PATH), _kept(b"content-type", b"application/grpc"),
          _kept(b"te", b"trailers"))  # fmt: skip
_LATER = (_METHOD_POST, _SCHEME_HTTP, b"\xc0", b"\xbf", b"\xbe")  # 62 is what was kept last


class NextDatum:
    """A connection to the worker at a port of this machine. For one thread."""

    def __init__(self, port: int) -> None:
        """Raises CallFailed when nobody answers there."""
        try:
            self._link = socket.create_connection(("127.0.0.1", port))
        except OSError as error:
            raise CallFailed(_UNAVAILABLE, f"no worker answers at port {port}: {error.strerror}") from error
        self._link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._in = bytearray()
        self._stream = -1
        self._taken = 0
        settings = struct.pack(">HIHI", 1, 0, 4, _WINDOW_BYTES)  # no table of headers, and room for any answer
        more = struct.pack(">I", _WINDOW_BYTES - _FIRST_WINDOW_BYTES)
        self._out = _PREFACE + _frame(_SETTINGS, 0, 0, settings) + _frame(_WINDOW_UPDATE, 0, 0, more)

    def ask(self, error: str) -> bytes:
        """Returns the message NextDatumResponse. Waits without end. Raises CallFailed."""
        text = error.encode("utf-8", "replace")[:_ERROR_BYTES].decode("utf-8", "ignore").encode()
        message = b"\x0a" + _varint(len(text)) + text if text else b""
        first = self._stream < 0
        self._stream += 2
        if self._stream > _MOST_STREAM:
            raise CallFailed(_UNAVAILABLE, "this connection has no number left for a call")
        block = b"".join(_FIRST if first else _LATER)
        self._out += _frame(_HEADERS, _END_HEADERS, self._stream, block)
        self._out += _frame(_DATA, _END_STREAM, self._stream, struct.pack(">BI", 0, len(message)) + message)
        try:
            return self._answer()
        except OSError as gone:
            raise CallFailed(_UNAVAILABLE, f"the worker is gone: {gone.strerror}") from gone

    def close(self) -> None:
        self._link.close()

    def _answer(self) -> bytes:
        body = bytearray()
        fields: dict[bytes, bytes] = {}
        while True:
            if self._out:
                self._link.sendall(self._out)
                self._out = b""
            for kind, flags, stream, payload in self._frames():
                if kind == _SETTINGS and not flags & _ACK:
                    self._out += _frame(_SETTINGS, _ACK, 0, b"")
                elif kind == _PING and not flags & _ACK:
                    self._out += _frame(_PING, _ACK, 0, payload)
                elif kind == _GOAWAY or (kind == _RST_STREAM and stream == self._stream):
                    raise CallFailed(_UNAVAILABLE, "the worker has given up this call")
                elif stream == self._stream and kind == _DATA:
                    body += payload
                    self._take(len(payload))
                elif stream == self._stream and kind == _HEADERS:
                    fields.update(_fields(payload))
                if stream == self._stream and flags & _END_STREAM and kind in (_DATA, _HEADERS):
                    return _message(fields, bytes(body))

    def _take(self, count: int) -> None:
        """Make room for as much again before it runs out."""
        self._taken += count
        if self._taken > _WINDOW_BYTES // 2:
            self._out += _frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", self._taken))
            self._taken = 0

    def _frames(self) -> list[tuple[int, int, int, bytes]]:
        """What has come, after waiting for something to come."""
        data = self._link.recv(_READ_BYTES)
        if not data:
            raise CallFailed(_UNAVAILABLE, "the worker has closed the connection")
        self._in += data
        found, at = [], 0
        while len(self._in) - at >= 9:
            high, low, kind, flags, stream = struct.unpack_from(">BHBBI", self._in, at)
            end = at + 9 + (high << 16 | low)
            if len(self._in) < end:
                break
            found.append((kind, flags, stream & 0x7FFFFFFF, bytes(self._in[at + 9 : end])))
            at = end
        del self._in[:at]
        return found


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 127:
        made.append(number & 127 | 128)
        number >>= 7
    return bytes([*made, number])


def _fields(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The fields of a header block that are spelled out. Raises CallFailed for what the worker's server never sends."""
    at = 0
    while at < len(block):
        if block[at] & 0x80:  # an entry of the first table: of those, only the status of HTTP comes, and that is 200
            at += 1
            continue
        if block[at]:
            raise CallFailed(_UNKNOWN, "the worker answers with headers that are compressed")
        name, at = _text(block, at + 1)
        value, at = _text(block, at)
        yield name, value


def _text(block: bytes, at: int) -> tuple[bytes, int]:
    length = block[at]
    at += 1
    if length & 0x80:
        raise CallFailed(_UNKNOWN, "the worker answers with headers that are compressed")
    if length == 127:
        shift = 0
        while True:
            length += (block[at] & 127) << shift
            shift += 7
            at += 1
            if not block[at - 1] & 128:
                break
    return block[at : at + length], at + length


def _message(fields: dict[bytes, bytes], body: bytes) -> bytes:
    code = int(fields.get(b"grpc-status", b"2"))
    if code != _OK:
        raise CallFailed(code, unquote(fields.get(b"grpc-message", b"").decode("ascii", "replace")))
    if len(body) < 5 or body[0] or len(body) - 5 != int.from_bytes(body[1:5], "big"):
        raise CallFailed(_UNKNOWN, "the answer is not one message")
    return body[5:]
