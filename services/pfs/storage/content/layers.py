"""Layers as stored: sorted runs of ops, short ones in their row, long ones as objects of their own.

A run object is a row of frames, each a length (u32, big-endian) and one zstd frame of up to FRAME_OPS ops; it is read
frame by frame, so that merging many long runs takes little memory.
Elsewhere: merging (domain/files/layers.py); rows (content_tables.py).
"""

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from operator import itemgetter

import msgspec
import zstandard

from services.kit.errors import Corrupt
from services.kit.objects.port import Objects
from services.kit.sortedmap.rows import Place, Root
from services.kit.sortedmap.tree import scan
from services.kit.time.clock import fresh_name
from services.pfs.domain.files.entries import APPEND, REPLACE, Op
from services.pfs.storage.content.ranges import index_key
from services.pfs.storage.content.trees import TreeStore

FRAME_OPS = 2048
INLINE_BYTES = 64 << 10
READ_BYTES = 1 << 20
FRAMES_KEPT = 64  # whose keys were asked for last; about 10 MB
_LENGTH = struct.Struct(">I")


class Inline(msgspec.Struct, frozen=True, array_like=True, tag="inline"):
    """A short run, here."""

    data: bytes


class Spilled(msgspec.Struct, frozen=True, array_like=True, tag="spilled"):
    """A long run, in an object. frames: the first key of each and where it begins, then what follows the last key."""

    name: bytes
    stored: int
    ops: int
    frames: tuple[tuple[bytes, int], ...]


class Whole(msgspec.Struct, frozen=True, array_like=True, tag="whole"):
    """Every row of a tree: appended or, of a run so long that it was made a tree at once, put instead."""

    id: bytes
    pack: bytes
    offset: int
    stored: int
    codec: int
    rows: int
    size_bytes: int
    first: bytes = b""
    """The first key; none: the rows are appended."""
    last: bytes = b""
    clear: bool = False
    """Whether it is known that the tree holds nothing that it may not."""

    @classmethod
    def of(cls, root: Root, first: bytes = b"", last: bytes = b"", *, clear: bool = False) -> "Whole":
        assert root.place is not None
        return cls(root.id, *root.place, root.rows, root.size_bytes, first, last, clear)

    @property
    def root(self) -> Root:
        return Root(self.id, Place(self.pack, self.offset, self.stored, self.codec), self.rows, self.size_bytes)


Part = Inline | Spilled | Whole
_PARTS = msgspec.msgpack.Decoder(list[Part])
_OPS = msgspec.msgpack.Decoder(list[Op])
_ENCODER = msgspec.msgpack.Encoder()


def encode_parts(parts: Sequence[Part]) -> bytes:
    return _ENCODER.encode(list(parts))


def decode_parts(data: bytes) -> list[Part]:
    return _PARTS.decode(data)


def first_key(part: Part) -> bytes:
    """A key that none of the part's comes before, found without reading it."""
    if isinstance(part, Whole):
        return part.first
    return part.frames[0][0] if isinstance(part, Spilled) else b""


class LayerStore:
    """Writes and reads runs. Safe for several threads."""

    def __init__(self, objects: Objects, trees: TreeStore, name: Callable[[], bytes] = fresh_name) -> None:
        self._objects, self._trees, self._name = objects, trees, name
        self._frame_keys = lru_cache(FRAMES_KEPT)(self._read_frame_keys)

    def write(self, ops: Sequence[Op]) -> Part:
        """Store a run; ops are sorted and unique by key. Durable when it returns, unless it is inline."""
        frames = [_compressed(ops[at : at + FRAME_OPS]) for at in range(0, len(ops), FRAME_OPS)]
        if len(frames) == 1 and len(frames[0]) <= INLINE_BYTES:
            return Inline(frames[0])
        name = self._name()
        starts = [*accumulate((_LENGTH.size + len(frame) for frame in frames), initial=0)]
        keys = [*(ops[at].key for at in range(0, len(ops), FRAME_OPS)), ops[-1].key + b"\0"]
        data = b"".join(_LENGTH.pack(len(frame)) + frame for frame in frames)
        self._objects.put(index_key(name), data)
        return Spilled(name, len(data), len(ops), tuple(zip(keys, starts, strict=True)))

    def read(self, part: Part) -> Iterator[Op]:
        """The ops of a part, ascending by key. Raises Corrupt."""
        if isinstance(part, Inline):
            yield from _decompressed(part.data)
        elif isinstance(part, Whole):
            kind = REPLACE if part.first else APPEND
            for row in scan(self._trees.reader, part.root):
                content = self._trees.content(row)
                yield Op(row.key, kind, content.extents, content.digest)
        else:
            yield from self._spilled(part)

    def keys(self, part: Part, low: bytes, high: bytes) -> Iterator[bytes]:
        """Keys of a part that was written here, in low <= key < high. Raises Corrupt."""
        if not isinstance(part, Spilled):
            yield from (op.key for op in self.read(part) if low <= op.key < high)
            return
        first = max(0, bisect_right(part.frames, low, key=itemgetter(0)) - 1)
        end = min(bisect_left(part.frames, high, key=itemgetter(0)), len(part.frames) - 1)
        for (_, start), (_, stop) in pairwise(part.frames[first : end + 1]):
            keys = self._frame_keys(part.name, start, stop)
            yield from keys[bisect_left(keys, low) : bisect_left(keys, high)]

    def _read_frame_keys(self, name: bytes, start: int, stop: int) -> list[bytes]:
        begin = start + _LENGTH.size
        return [op.key for op in _decompressed(self._objects.get_range(index_key(name), begin, stop - begin))]

    def _spilled(self, part: Spilled) -> Iterator[Op]:
        key, buffer, at = index_key(part.name), b"", 0
        while at < part.stored or buffer:
            length = _LENGTH.unpack_from(buffer)[0] if len(buffer) >= _LENGTH.size else None
            if length is not None and len(buffer) >= _LENGTH.size + length:
                yield from _decompressed(buffer[_LENGTH.size : _LENGTH.size + length])
                buffer = buffer[_LENGTH.size + length :]
                continue
            if at >= part.stored:
                raise Corrupt(f"object {key} is cut short")
            more = min(READ_BYTES, part.stored - at)
            buffer += self._objects.get_range(key, at, more)
            at += more


def _compressed(ops: Sequence[Op]) -> bytes:
    return zstandard.ZstdCompressor(level=1).compress(_ENCODER.encode(ops))


def _decompressed(data: bytes) -> list[Op]:
    try:
        return _OPS.decode(zstandard.ZstdDecompressor().decompress(data))
    except (zstandard.ZstdError, msgspec.DecodeError) as error:
        raise Corrupt(f"a stored layer cannot be read: {error}") from error
