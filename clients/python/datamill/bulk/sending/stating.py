"""Entries as PutEntries takes them: many in one message, by columns, ascending by path and datum tag.

Elsewhere: what the columns are (datamill/wire/content_v1.proto); when they are sent (entries.py).
"""

import struct
from typing import NamedTuple

from datamill.wire import content_v1_pb2 as content

MOST = 8192  # entries in one message: with paths as they mostly are less than 1 MiB
MOST_BYTES = 4 << 20  # of paths, and of all that is said of extents, in one message
_EXTENT_BYTES = 96
_NOTHING = bytes(32)


class Blob(NamedTuple):
    """A file that is one blob; of no bytes when there is no pack. digest: BLAKE3-256 of the file."""

    size_bytes: int
    digest: bytes
    pack_id: bytes = b""
    offset_bytes: int = 0
    stored_bytes: int = 0
    codec: int = 0


Stated = Blob | content.Content | None
"""What a file becomes; None: it goes away."""
Entry = tuple[str, Stated]
"""With the path."""


class Batch:
    """Entries of one message. Of two with one path and datum tag the later one counts."""

    def __init__(self) -> None:
        self._files: dict[tuple[str, str], Stated] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._files)

    @property
    def full(self) -> bool:
        """Whether it should be sent before anything is added."""
        return len(self._files) >= MOST or self._bytes >= MOST_BYTES

    def add(self, path: str, what: Stated, datum: str = "") -> None:
        """State what a file becomes. path: absolute, as files are listed."""
        if isinstance(what, content.Content):
            self._bytes += _EXTENT_BYTES * len(what.extents)
            what = plain(what)
        self._files[path, datum] = what
        self._bytes += len(path) + len(datum)

    def request(self) -> content.PutEntriesRequest:
        """What it is to be sent as."""
        keys = sorted(self._files)  # characters sort as their bytes do in UTF-8
        stated = [self._files[key] for key in keys]
        rows = [one if isinstance(one, Blob) else _row_of(one) for one in stated]
        sizes, digests, packs, offsets, stored, codecs = zip(*rows, strict=True)
        names = [pack for pack in dict.fromkeys(packs) if pack]
        numbers = {b"": 0} | {pack: number for number, pack in enumerate(names, 1)}
        wide, datums = f"<{len(keys)}Q", [datum for _, datum in keys]
        made = content.EntryColumns(
            paths="\0".join([path for path, _ in keys]).encode(),
            datums="\0".join(datums).encode() if any(datums) else b"",
            sizes=struct.pack(wide, *sizes),
            digests=b"".join(digests),
            pack_ids=names,
            packs=struct.pack(f"<{len(keys)}I", *map(numbers.__getitem__, packs)),
            offsets=struct.pack(wide, *offsets),
            stored=b"" if stored == sizes else struct.pack(wide, *stored),
            codecs=bytes(codecs) if any(codecs) else b"",
        )
        for number, one in enumerate(stated):
            if isinstance(one, content.Content):
                made.chunked.add(entry=number, extents=one.extents)
            elif one is None:
                made.removed.append(number)
        return content.PutEntriesRequest(columns=made)


def _row_of(what: content.Content | None) -> Blob:
    """The columns of a file that is no blob."""
    if what is None:
        return Blob(0, _NOTHING)
    return Blob(what.size_bytes, what.digest)


def packs_of(what: Stated) -> set[bytes]:
    """The packs that hold it."""
    if isinstance(what, Blob):
        return {what.pack_id} - {b""}
    return set() if what is None else {extent.pack_id for extent in what.extents}


def plain(what: content.Content) -> Blob | content.Content:
    """The same, as a Blob if it is one."""
    if len(what.extents) > 1:
        return what
    if not what.extents:
        return Blob(what.size_bytes, what.digest)
    (only,) = what.extents
    return Blob(what.size_bytes, what.digest, only.pack_id, only.offset_bytes, only.stored_bytes, only.codec)
