"""Reading HTTP/2 header blocks (RFC 7541): what comes in has to be understood, what goes out is never compressed.

One decoder a connection, for blocks refer to earlier ones. Raises BadBlock for what is no header block.
"""

from collections import deque
from functools import cache

STATIC = (
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"),
    (":scheme", "http"), (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"),
    (":status", "304"), (":status", "400"), (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""), ("accept", ""),
    ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""), ("cache-control", ""),
    ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""), ("date", ""), ("etag", ""),
    ("expect", ""), ("expires", ""), ("from", ""), ("host", ""), ("if-match", ""), ("if-modified-since", ""),
    ("if-none-match", ""), ("if-range", ""), ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""),
    ("location", ""), ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""),
    ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""), ("via", ""),
    ("www-authenticate", ""),
)  # fmt: skip
"""Appendix A: index 1 is the first."""
TABLE_BYTES = 4096  # the default, and we never allow more
ENTRY_COST = 32
# Appendix B by lengths: the code is canonical, so that the lengths (A is 5 bits) of the 256 symbols say it all.
_LENGTHS = (
    "ISXXXXXXXTZXXZXXXXXXXXZXXXXXXXXXBFFHIBDGFFDGDBBBAAABBBBBBBCDKBHFIBCCCCCCCCCCCCCCCCCCCCCCDCDIOIJB"
    "KABABABBBACCBBBABCBAABCCCCCKGJIXPRPPRRRSRSSSSSTSTTRSTSSSSQRSRSSTRQPRRSSQSRRTQRSSQQRQSRSSPRRRSRRS"
    "VVPORSRUVVVWWVTUOQVWWVWTQQVVXWWWPTPQRQQSRRUUTTVSVWVVWWWWWXWWWWWV"
)


class BadBlock(ValueError):
    """The peer sent something that is no header block."""


class Decoder:
    """The headers of one connection's requests."""

    def __init__(self) -> None:
        self._entries: deque[tuple[str, str]] = deque()  # newest first
        self._size = 0
        self._limit = TABLE_BYTES
        self._alike: tuple[bytes, list[tuple[str, str]]] = (b"", [])  # the last block, when it left the table as it was

    def decode(self, block: bytes) -> list[tuple[str, str]]:
        """The fields of one block, in order. Raises BadBlock."""
        if block != self._alike[0]:
            self._alike = (block, [])  # which a change of the table takes away
            fields = self._decoded(block)
            if self._alike[0] != block:
                return fields
            self._alike = (block, fields)
        return self._alike[1]

    def _decoded(self, block: bytes) -> list[tuple[str, str]]:
        fields: list[tuple[str, str]] = []
        at = 0
        try:
            while at < len(block):
                first = block[at]
                if 0x80 < first < 0xFF:  # what most fields of a second request are
                    fields.append(self._entry(first & 0x7F))
                    at += 1
                elif first & 0x80:
                    index, at = _integer(block, at, 7)
                    fields.append(self._entry(index))
                elif first & 0xE0 == 0x20:
                    limit, at = _integer(block, at, 5)
                    self._resize(limit)
                else:
                    kept = bool(first & 0x40)
                    field, at = self._literal(block, at, 6 if kept else 4)
                    if kept:
                        self._keep(field)
                    fields.append(field)
        except IndexError as error:
            raise BadBlock("a header block ends too early") from error
        return fields

    def _literal(self, block: bytes, at: int, bits: int) -> tuple[tuple[str, str], int]:
        index, at = _integer(block, at, bits)
        if index:
            name = self._entry(index)[0]
        else:
            name, at = _text(block, at)
        value, at = _text(block, at)
        return (name, value), at

    def _entry(self, index: int) -> tuple[str, str]:
        if 0 < index <= len(STATIC):
            return STATIC[index - 1]
        if 0 < index - len(STATIC) <= len(self._entries):
            return self._entries[index - len(STATIC) - 1]
        raise BadBlock(f"there is no header field {index}")

    def _keep(self, field: tuple[str, str]) -> None:
        self._alike = (b"", [])
        self._entries.appendleft(field)
        self._size += _cost(field)
        self._evict()

    def _resize(self, limit: int) -> None:
        if limit > TABLE_BYTES:
            raise BadBlock(f"a header table of {limit} bytes was not agreed on")
        self._alike = (b"", [])
        self._limit = limit
        self._evict()

    def _evict(self) -> None:
        while self._size > self._limit:
            self._size -= _cost(self._entries.pop())


def _cost(field: tuple[str, str]) -> int:
    return len(field[0]) + len(field[1]) + ENTRY_COST


def _integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    most = (1 << bits) - 1
    value = block[at] & most
    at += 1
    if value < most:
        return value, at
    shift = 0
    while True:
        value += (block[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not block[at - 1] & 0x80:
            return value, at
        if shift > 28:
            raise BadBlock("a number in a header block is too big")


def _text(block: bytes, at: int) -> tuple[str, int]:
    coded = bool(block[at] & 0x80)
    length, at = _integer(block, at, 7)
    data = block[at : at + length]
    if len(data) < length:
        raise BadBlock("a header block ends too early")
    return (_uncoded(data) if coded else data).decode("latin-1"), at + length


def _uncoded(data: bytes) -> bytes:
    symbols = _symbols()
    found = bytearray()
    code, length = 0, 0
    for byte in data:
        for shift in range(7, -1, -1):
            code = code << 1 | byte >> shift & 1
            length += 1
            symbol = symbols.get((length, code))
            if symbol is not None:
                found.append(symbol)
                code, length = 0, 0
    if length > 7 or code != (1 << length) - 1:
        raise BadBlock("a header's text ends in the middle of a letter")
    return bytes(found)


@cache
def _symbols() -> dict[tuple[int, int], int]:
    """(bits, code) -> symbol."""
    lengths = [ord(letter) - ord("A") + 5 for letter in _LENGTHS]
    found: dict[tuple[int, int], int] = {}
    code, last = 0, 0
    for symbol in sorted(range(256), key=lambda symbol: (lengths[symbol], symbol)):
        code <<= lengths[symbol] - last
        last = lengths[symbol]
        found[last, code] = symbol
        code += 1
    return found
