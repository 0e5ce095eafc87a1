"""Columns of equal-width numbers, byte-transposed so that zstd sees runs; and blocks of keys."""

import sys
import threading
from array import array
from collections.abc import Iterable
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import zstandard

if TYPE_CHECKING:
    Numbers = array[int]
else:
    Numbers = array

SEPARATOR = b"\x01"
LARGEST_FRAME = 1 << 30
_LITTLE = sys.byteorder == "little"
_ZEROS = bytes(8 * 1024)


def numbers(values: Iterable[int] = ()) -> Numbers:
    """u64 values. Raises OverflowError for others."""
    return array("Q", values)


def pack_numbers(values: Numbers) -> bytes:
    """u64 values, little-endian, all first bytes first, then all second bytes…"""
    raw = plain_numbers(values)
    if len(raw) <= len(_ZEROS) and raw == _ZEROS[: len(raw)]:
        return raw
    return b"".join([raw[position::8] for position in range(8)])


def unpack_numbers(data: bytes, count: int) -> Numbers:
    """The inverse of pack_numbers. Raises ValueError when there are not so many."""
    if len(data) != 8 * count:
        raise ValueError("a column is cut short")
    raw = bytearray(data)
    for position in range(8):
        raw[position::8] = data[position * count : (position + 1) * count]
    values = numbers()
    values.frombytes(raw)
    if not _LITTLE:
        values.byteswap()
    return values


def packed_number(data: bytes, start: int, count: int, index: int) -> int:
    """One value of a packed column of `count` values that begins at `start`."""
    return int.from_bytes(data[start + index : start + 8 * count : count], "little")


def plain_numbers(values: Numbers) -> bytes:
    """u64 values, little-endian, one after another; what ids are computed over."""
    if not _LITTLE:
        values = values[:]
        values.byteswap()
    return values.tobytes()


def key_block(keys: list[bytes]) -> bytes:
    """Keys in one block: joined by a byte that none of them holds, or with their lengths when one holds it."""
    joined = SEPARATOR.join(keys)
    if joined.count(SEPARATOR) == len(keys) - 1:
        return b"\x00" + joined
    lengths = array("I", map(len, keys))
    if not _LITTLE:
        lengths.byteswap()
    return b"".join((b"\x01", lengths.tobytes(), *keys))


def unblock_keys(block: bytes, count: int) -> list[bytes]:
    """The inverse of key_block. Raises ValueError when there are not so many."""
    if block[:1] == b"\x00":
        keys = block[1:].split(SEPARATOR)
    else:
        lengths = array("I", block[1 : 1 + 4 * count])
        if not _LITTLE:
            lengths.byteswap()
        keys = [block[a:b] for a, b in pairwise(accumulate(lengths, initial=1 + 4 * count))]
    if len(keys) != count:
        raise ValueError("a block of keys is cut short")
    return keys


class _Contexts(threading.local):
    """Making a context costs more than squeezing a range, and one must not be shared by threads."""

    def __init__(self) -> None:
        self.press = zstandard.ZstdCompressor(level=1)
        self.unpress = zstandard.ZstdDecompressor()


_contexts = _Contexts()


def squeeze(data: bytes) -> bytes:
    """One zstd frame at level 1, with its size."""
    return _contexts.press.compress(data)


def unsqueeze(data: bytes) -> bytes:
    """The inverse of squeeze. Raises ValueError for anything else."""
    try:
        if zstandard.frame_content_size(data) > LARGEST_FRAME:
            raise ValueError("a frame claims to be too large")
        return _contexts.unpress.decompress(data)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
