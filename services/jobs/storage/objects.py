"""Jobs' own objects: plans, records of datums that have run, and the ranges of datum indexes.

plans/: a line a datum. jobs/records: lines, then a directory of fixed entries (id, hash, state, offset, length) and its
count, so that an index can be built without reading the lines. jobs/index: packs of kit.sortedmap.
Elsewhere: what a line says (domain/records.py); where a record is found from (the rows of the index).
"""

import secrets
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from services.jobs.domain.datums import DatumState
from services.kit.errors import Corrupt
from services.kit.objects.blocks import Ranges, small_ranges
from services.kit.objects.port import Objects
from services.kit.sortedmap.packs import PackSink, Reader
from services.kit.sortedmap.rows import Place, Row

_ENTRY = struct.Struct(">32s32sBQI")
_COUNT = struct.Struct(">Q8s")
_MAGIC = b"dmrecs01"


def records_key(name: bytes) -> str:
    return f"jobs/records/{name.hex()[:2]}/{name.hex()}"


def _index_key(name: bytes) -> str:
    return f"jobs/index/{name.hex()[:2]}/{name.hex()}"


def fresh_plan_key() -> str:
    name = secrets.token_hex(16)
    return f"jobs/plans/{name[:2]}/{name}"


def write_records(objects: Objects, records: Iterable[tuple[bytes, bytes, DatumState, bytes]]) -> str:
    """Store records. records: (id, hash, state, line). Returns the object's key."""
    body, entries = bytearray(), []
    for id, hash, state, line in records:
        entries.append(_ENTRY.pack(id, hash, state, len(body), len(line)))
        body += line
    entries.sort()
    name = secrets.token_bytes(16)
    objects.put(records_key(name), bytes(body) + b"".join(entries) + _COUNT.pack(len(entries), _MAGIC))
    return name.hex()


def read_directory(objects: Objects, name: str) -> Iterator[Row]:
    """The rows that a records object adds to an index, by id. Raises Corrupt."""
    pack = bytes.fromhex(name)
    data = objects.get(records_key(pack))
    count, magic = _COUNT.unpack_from(data, len(data) - _COUNT.size)
    if magic != _MAGIC:
        raise Corrupt(f"object {records_key(pack)} is no records object")
    start = len(data) - _COUNT.size - count * _ENTRY.size
    directory = memoryview(data)[start : len(data) - _COUNT.size]
    for id, hash, state, offset, length in _ENTRY.iter_unpack(directory):
        yield Row(id, state, 0, hash, Place(pack, offset, length))


@dataclass(frozen=True)
class Indexes:
    """Datum indexes in the store."""

    objects: Objects
    reader: Reader

    @classmethod
    def over(cls, objects: Objects) -> "Indexes":
        return cls(objects, Reader(_Ranges(small_ranges(objects)), limit_bytes=32 << 20))

    def sink(self) -> PackSink:
        return PackSink(lambda name, data: self.objects.put(_index_key(name), data))

    def record(self, row: Row) -> bytes:
        """The line of a datum in an index."""
        assert row.place is not None
        return self.objects.get_range(records_key(row.place.pack), row.place.offset, row.place.stored)


@dataclass(frozen=True)
class _Ranges:
    objects: Ranges

    def read(self, place: Place) -> bytes:
        return self.objects.get_range(_index_key(place.pack), place.offset, place.stored)
