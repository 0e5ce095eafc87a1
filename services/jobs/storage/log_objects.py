"""A job's log as objects: frames of stored messages, then an index that says what each frame has.

jobs/logs: frames (zstd with a checksum) of about FRAME_BYTES of messages, a line each: number, subject, payload, with
blanks between; then the index (zstd of JSON), one list a frame. Datums are in it by the first eight hex digits of their
ids, so that it stays small; a frame may thus be read in vain. Where the index begins is in the row (seals.py).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import zstandard

from services.jobs.domain.logs.lines import LogBatch, Message
from services.jobs.domain.logs.queries import LogQuery
from services.jobs.storage.objects import LOGS, key_of
from services.kit.errors import Corrupt
from services.kit.objects.port import Objects

FRAME_BYTES = 1 << 20
OBJECT_BYTES = 32 << 20
PREFIX = 8
MOST_BYTES = 1 << 30  # of a frame or an index, unpacked: more is damage


@dataclass(frozen=True, slots=True)
class Frame:
    """first, last: times of its lines. kinds: which of (master, user) its batches are."""

    offset: int
    length: int
    first: int
    last: int
    kinds: tuple[tuple[bool, bool], ...]
    datums: frozenset[str]

    def may_have(self, query: LogQuery) -> bool:
        """Whether it is worth reading."""
        if self.last < query.since or self.first > query.until:
            return False
        if query.datum and query.datum[:PREFIX] not in self.datums:
            return False
        return any(query.master in (None, master) and query.user in (None, user) for master, user in self.kinds)


@dataclass(frozen=True, slots=True)
class Written:
    """An object's bytes, and what its row says of it."""

    data: bytes
    index_at: int
    last_number: int
    first: int
    last: int
    lines: int


class LogWriter:
    """Gathers messages until there are enough for an object."""

    def __init__(self) -> None:
        self._zstd = zstandard.ZstdCompressor(level=3, write_checksum=True)
        self._data, self._frames = bytearray(), list[Frame]()
        self._raw = bytearray()
        self._batches = list[LogBatch]()
        self._last_number = 0
        self._lines = 0

    @property
    def is_full(self) -> bool:
        return len(self._data) >= OBJECT_BYTES

    def add(self, message: Message) -> None:
        batch = message.batch
        self._raw += b"%d %b %b\n" % (message.number, message.subject.encode(), message.payload)
        self._batches.append(batch)
        self._last_number = message.number
        self._lines += len(batch.lines)
        if len(self._raw) >= FRAME_BYTES:
            self._close_frame()

    def _close_frame(self) -> None:
        if not self._raw:
            return
        times = [at for batch in self._batches for at, _ in batch.lines] or [0]
        packed = self._zstd.compress(bytes(self._raw))
        kinds = tuple(sorted({(batch.master, batch.user) for batch in self._batches}))
        datums = frozenset(batch.scope.datum[:PREFIX] for batch in self._batches)
        self._frames.append(Frame(len(self._data), len(packed), min(times), max(times), kinds, datums))
        self._data += packed
        self._raw, self._batches = bytearray(), []

    def finish(self) -> Written | None:
        """The object; None when nothing was added."""
        self._close_frame()
        if not self._frames:
            return None
        rows = [(one.offset, one.length, one.first, one.last, one.kinds, sorted(one.datums)) for one in self._frames]
        index = self._zstd.compress(json.dumps(rows, separators=(",", ":")).encode())
        first, last = min(one.first for one in self._frames), max(one.last for one in self._frames)
        return Written(bytes(self._data) + index, len(self._data), self._last_number, first, last, self._lines)


def read_index(objects: Objects, name: str, index_at: int) -> list[Frame]:
    """Raises Corrupt. Blocks."""
    key = key_of(LOGS, name)
    size = objects.size(key)
    if size is None or size <= index_at:
        raise Corrupt(f"object {key} is missing or cut off")
    rows = json.loads(_unpacked(key, objects.get_range(key, index_at, size - index_at)))
    return [
        Frame(offset, length, first, last, tuple((bool(m), bool(u)) for m, u in kinds), frozenset(datums))
        for offset, length, first, last, kinds, datums in rows
    ]


def read_frame(objects: Objects, name: str, frame: Frame) -> Iterator[Message]:
    """Its messages in order. Raises Corrupt. Blocks."""
    key = key_of(LOGS, name)
    for line in _unpacked(key, objects.get_range(key, frame.offset, frame.length)).splitlines():
        number, subject, payload = line.split(b" ", 2)
        yield Message(int(number), subject.decode(), payload)


def problems(objects: Objects, logs: Sequence[tuple[str, int]]) -> Iterator[str]:
    """What is damaged among objects, given by name and where the index begins. Blocks."""
    for name, index_at in logs:
        try:
            for frame in read_index(objects, name, index_at):
                for message in read_frame(objects, name, frame):
                    _ = message.batch
        except (Corrupt, ValueError, KeyError) as problem:
            yield f"{key_of(LOGS, name)}: {problem}"


def _unpacked(key: str, data: bytes) -> bytes:
    try:
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=MOST_BYTES)
    except zstandard.ZstdError as error:
        raise Corrupt(f"object {key} is damaged: {error}") from error
