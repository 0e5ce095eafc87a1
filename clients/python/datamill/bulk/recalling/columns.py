"""Files that were sent, as columns: many of them in one run of bytes that is written and read as a whole.

Layout, little-endian: how many files u32, how many bytes their paths take u32; the paths (UTF-8), a zero byte between
two; 32 bytes a file of what it looked like; 32 of its digest; 24 of where its only blob lies (pack 16, offset u64);
then for each file of several blobs its number u32, a length u32 and a serialized content.Content.
Elsewhere: where such runs are kept (memory.py); what is done with the files (recall.py).
"""

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import eq
from typing import NamedTuple

_HEAD = struct.Struct("<II")
_LOOK = struct.Struct("<qqqQ")
_PLACE = struct.Struct("<16sQ")
_DIGEST = 32
NOWHERE = bytes(_PLACE.size)


class Look(NamedTuple):
    """What tells that a file was not changed."""

    size: int
    mtime: int
    ctime: int
    inode: int


class Known(NamedTuple):
    """A file as it was sent. place: from `place`; whole: a serialized content.Content when there are several blobs.

    Neither when only the service knows where it lies, or when it is empty.
    """

    path: str
    look: Look
    digest: bytes
    place: bytes = NOWHERE
    whole: bytes = b""


def look_of(stat: os.stat_result) -> Look:
    return Look(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


def place(pack: bytes, offset: int) -> bytes:
    """Where a file's only blob lies."""
    return _PLACE.pack(pack, offset)


def pack_and_offset(place: bytes) -> tuple[bytes, int]:
    """The inverse of `place`."""
    pack, offset = _PLACE.unpack(place)
    return pack, offset


def encoded(files: Sequence[Known]) -> bytes:
    """Raises UnicodeEncodeError, struct.error for what no file can be."""
    paths = "\0".join(file.path for file in files).encode()
    pieces = [_HEAD.pack(len(files), len(paths)), paths]
    pieces += [_LOOK.pack(*file.look) for file in files]
    pieces += [file.digest for file in files]
    pieces += [file.place for file in files]
    for number, file in enumerate(files):
        if file.whole:
            pieces += [_HEAD.pack(number, len(file.whole)), file.whole]
    return b"".join(pieces)


@dataclass
class Table:
    """Files by number. rows: the number of each path; of two with one path the later one counts."""

    rows: dict[str, int] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)
    looks: list[tuple[int, int, int, int]] = field(default_factory=list)
    _digests: bytearray = field(default_factory=bytearray)
    _places: bytearray = field(default_factory=bytearray)
    _wholes: dict[int, bytes] = field(default_factory=dict)

    def add(self, data: bytes) -> None:
        """The files of one run of bytes. Raises ValueError, struct.error."""
        count, length = _HEAD.unpack_from(data)
        before, at = len(self.paths), _HEAD.size + length
        paths = data[_HEAD.size : at].decode().split("\0") if count else []
        looks, digests = at + _LOOK.size * count, at + (_LOOK.size + _DIGEST) * count
        end = digests + _PLACE.size * count
        if len(paths) != count or len(data) < end:
            raise ValueError("a run of remembered files is cut short")
        self.looks += _LOOK.iter_unpack(data[at:looks])
        self.paths += paths
        self._digests += data[looks:digests]
        self._places += data[digests:end]
        while end < len(data):
            number, length = _HEAD.unpack_from(data, end)
            end += _HEAD.size + length
            self._wholes[before + number] = data[end - length : end]
        self.rows.update(zip(paths, range(before, before + count), strict=True))

    def digests(self, rows: Sequence[int]) -> list[bytes]:
        """Of each of these files, or all of them in one piece."""
        if rows and rows[-1] - rows[0] == len(rows) - 1 and all(map(eq, rows, range(rows[0], rows[-1] + 1))):
            return [bytes(self._digests[_DIGEST * rows[0] : _DIGEST * (rows[-1] + 1)])]
        return [bytes(self._digests[_DIGEST * row : _DIGEST * (row + 1)]) for row in rows]

    def known(self, row: int) -> Known:
        spot = bytes(self._places[_PLACE.size * row : _PLACE.size * (row + 1)])
        look = Look(*self.looks[row])
        digest = bytes(self._digests[_DIGEST * row : _DIGEST * (row + 1)])
        return Known(self.paths[row], look, digest, spot, self._wholes.get(row, b""))

    def encoded(self, rows: Sequence[int]) -> bytes:
        """These files as one run of bytes."""
        paths = "\0".join([self.paths[row] for row in rows]).encode()
        pieces = [_HEAD.pack(len(rows), len(paths)), paths]
        pieces += [_LOOK.pack(*self.looks[row]) for row in rows]
        digests, places = bytes(self._digests), bytes(self._places)
        pieces += [digests[_DIGEST * row : _DIGEST * (row + 1)] for row in rows]
        pieces += [places[_PLACE.size * row : _PLACE.size * (row + 1)] for row in rows]
        for number, row in enumerate(rows if self._wholes else ()):
            if whole := self._wholes.get(row):
                pieces += [_HEAD.pack(number, len(whole)), whole]
        return b"".join(pieces)

    def in_order(self) -> list[int]:
        """The numbers of all files that count, in the order of their paths."""
        return [self.rows[path] for path in sorted(self.rows)]
