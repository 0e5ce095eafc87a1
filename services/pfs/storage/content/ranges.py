"""Where the ranges of a rewritten index pack lie: trees go on naming the old pack, readers look into the new one.

A rewritten pack is ranges, then a directory of fixed entries (old pack, old offset, offset here, length), their count,
a BLAKE3 of the directory and a mark. Trees never name such a pack themselves.
Elsewhere: rewriting (operations/collection/repack_index.py); which pack stands for which (collection/moves.py).
"""

import struct
from collections import OrderedDict
from collections.abc import Iterable
from threading import Lock

from blake3 import blake3

from services.kit.errors import Corrupt
from services.kit.objects.port import Objects
from services.kit.sortedmap.rows import Place
from services.pfs.storage.collection.moves import Moves

_ENTRY = struct.Struct(">16sQQI")
_END = struct.Struct(">I32s8s")
_MARK = b"dmmoved1"
KEPT = 200_000  # places are remembered of so many ranges, by pack


def index_key(name: bytes) -> str:
    """The object key of the index pack `name`."""
    text = name.hex()
    return f"index/{text[:2]}/{text}"


def rewritten(ranges: Iterable[tuple[Place, bytes]]) -> bytes:
    """A pack of ranges, each with the place by which trees name it."""
    body, entries = list[bytes](), list[bytes]()
    at = 0
    for place, data in ranges:
        entries.append(_ENTRY.pack(place.pack, place.offset, at, len(data)))
        body.append(data)
        at += len(data)
    directory = b"".join(entries)
    return b"".join([*body, directory, _END.pack(len(entries), blake3(directory).digest(), _MARK)])


class RangePlaces:
    """Where ranges lie now. Safe for several threads; may block."""

    def __init__(self, objects: Objects, moves: Moves) -> None:
        self._objects, self._moves = objects, moves
        self._kept = OrderedDict[bytes, dict[tuple[bytes, int], int]]()
        self._lock = Lock()

    def pack(self, place: Place) -> bytes:
        """The index pack that holds a range."""
        return self._moves.now_in(place.pack)

    def now(self, place: Place) -> Place:
        """Where a range lies. Raises Corrupt."""
        pack = self._moves.now_in(place.pack)
        if pack == place.pack:
            return place
        offset = self._directory(pack).get((place.pack, place.offset))
        if offset is None:
            raise Corrupt(f"index pack {pack.hex()} lacks a range of {place.pack.hex()}, which it stands for")
        return Place(pack, offset, place.stored, place.codec)

    def _directory(self, pack: bytes) -> dict[tuple[bytes, int], int]:
        with self._lock:
            if pack in self._kept:
                self._kept.move_to_end(pack)
                return self._kept[pack]
        found = self._read(pack)
        with self._lock:
            self._kept[pack] = found
            while len(self._kept) > 1 and sum(map(len, self._kept.values())) > KEPT:
                self._kept.popitem(last=False)
        return found

    def _read(self, pack: bytes) -> dict[tuple[bytes, int], int]:
        key = index_key(pack)
        size = self._objects.size(key)
        if size is None:
            raise Corrupt(f"object {key} is missing from the store")
        if size < _END.size:
            raise Corrupt(f"object {key} has no directory")
        count, digest, mark = _END.unpack(self._objects.get_range(key, size - _END.size, _END.size))
        length = count * _ENTRY.size
        if mark != _MARK or length + _END.size > size:
            raise Corrupt(f"object {key} has no directory")
        directory = self._objects.get_range(key, size - _END.size - length, length)
        if blake3(directory).digest() != digest:
            raise Corrupt(f"the directory of object {key} is damaged")
        return {(old, offset): here for old, offset, here, _ in _ENTRY.iter_unpack(directory)}
