"""Jobs' own objects: plans, records of datums that have run, and the ranges of datum indexes.

jobs/plans: a line a datum. jobs/records: lines, then a directory of fixed entries (id, hash, state, offset, length),
its count and a BLAKE3 of all before it, so that an index can be built without reading the lines. jobs/index: packs of
kit.sortedmap. jobs/logs: what was logged (log_objects.py).
Elsewhere: what a line says (domain/records.py); where a record is found from (the rows of the index); which objects
there are (ledger.py).
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from blake3 import blake3

from services.jobs.domain.datums import DatumState
from services.kit.errors import Corrupt
from services.kit.objects.blocks import Ranges, ranges_together, small_ranges
from services.kit.objects.port import Objects
from services.kit.sortedmap.packs import PackSink, Reader
from services.kit.sortedmap.rows import Place, Row
from services.kit.time.clock import fresh_name

_ENTRY = struct.Struct(">32s32sBQI")
_END = struct.Struct(">Q32s8s")
_MAGIC = b"dmrecs02"
PLANS, RECORDS, INDEX, LOGS = KINDS = ("plans", "records", "index", "logs")


def key_of(kind: str, name: str) -> str:
    """The key of an object. name: 32 hex digits."""
    return f"jobs/{kind}/{name[:2]}/{name}"


def name_of(key: str) -> str:
    """The name in a key."""
    return key.rpartition("/")[2]


def records_key(name: bytes) -> str:
    return key_of(RECORDS, name.hex())


def _index_key(name: bytes) -> str:
    return key_of(INDEX, name.hex())


def write_records(objects: Objects, name: bytes, records: Iterable[tuple[bytes, bytes, DatumState, bytes]]) -> str:
    """Store records under a new name. records: (id, hash, state, line). Returns the name as text."""
    body, entries = bytearray(), []
    for id, hash, state, line in records:
        entries.append(_ENTRY.pack(id, hash, state, len(body), len(line)))
        body += line
    count, data = len(entries), bytes(body) + b"".join(sorted(entries))
    objects.put(records_key(name), data + _END.pack(count, blake3(data).digest(), _MAGIC))
    return name.hex()


def read_directory(objects: Objects, name: str) -> Iterator[Row]:
    """The rows that a records object adds to an index, by id. Keeps nothing but them in memory. Raises Corrupt."""
    return map(row_of, read_entries(objects, name))


def read_entries(objects: Objects, name: str) -> Iterator[bytes]:
    """These rows as bytes that begin with the id, for those who keep many. Raises Corrupt."""
    pack = bytes.fromhex(name)
    directory = _directory(objects, records_key(pack))
    for at in range(0, len(directory), _ENTRY.size):
        yield directory[at : at + _ENTRY.size] + pack


def row_of(entry: bytes) -> Row:
    """An entry as a row of an index."""
    id, hash, state, offset, length = _ENTRY.unpack_from(entry)
    return Row(id, state, 0, hash, Place(entry[_ENTRY.size :], offset, length))


def _directory(objects: Objects, key: str) -> bytes:
    data = objects.get(key)
    stop = len(data) - _END.size
    count, digest, magic = _END.unpack_from(data, stop) if stop >= 0 else (0, b"", b"")
    if magic != _MAGIC or blake3(memoryview(data)[:stop]).digest() != digest:
        raise Corrupt(f"object {key} is damaged")
    return data[stop - count * _ENTRY.size : stop]


@dataclass(frozen=True)
class Indexes:
    """Datum indexes in the store."""

    objects: Objects
    reader: Reader
    fresh: Callable[[], bytes]
    """Names a new object; blocks."""

    @classmethod
    def over(cls, objects: Objects, fresh: Callable[[], bytes] = fresh_name) -> "Indexes":
        source = _Ranges(small_ranges(objects))
        many = source.read_many if objects.root is None else None
        return cls(objects, Reader(source, limit_bytes=32 << 20, many=many), fresh)

    def sink(self) -> PackSink:
        return PackSink(lambda name, data: self.objects.put(_index_key(name), data), self.fresh)

    def record(self, row: Row) -> bytes:
        """The line of a datum in an index."""
        assert row.place is not None
        return self.objects.get_range(records_key(row.place.pack), row.place.offset, row.place.stored)


@dataclass(frozen=True)
class _Ranges:
    ranges: Ranges

    def read(self, place: Place) -> bytes:
        return self.ranges.get_range(_index_key(place.pack), place.offset, place.stored)

    def read_many(self, places: Sequence[Place]) -> list[bytes]:
        return ranges_together(self.ranges, [(_index_key(at.pack), at.offset, at.stored) for at in places])
