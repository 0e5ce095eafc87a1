"""Columns of equal-width numbers, byte-transposed so that zstd sees runs; and blocks of keys."""

import struct
import sys
from array import array

import zstandard

SEPARATOR = b"\x01"
_LITTLE = sys.byteorder == "little"


def pack_numbers(values: list[int]) -> bytes:
    """u64 values, little-endian, all first bytes first, then all second bytes…"""
    raw = _raw(values)
    return b"".join(raw[position::8] for position in range(8))


def unpack_numbers(data: bytes, count: int) -> list[int]:
    """The inverse of pack_numbers."""
    raw = bytearray(8 * count)
    for position in range(8):
        raw[position::8] = data[position * count : (position + 1) * count]
    values = array("Q", bytes(raw))
    if not _LITTLE:
        values.byteswap()
    return values.tolist()


def plain_numbers(values: list[int]) -> bytes:
    """u64 values, little-endian, one after another; what ids are computed over."""
    return _raw(values)


def _raw(values: list[int]) -> bytes:
    numbers = array("Q", values)
    if not _LITTLE:
        numbers.byteswap()
    return numbers.tobytes()


def key_block(keys: list[bytes]) -> bytes:
    """Keys in one block: joined by a byte that none of them holds, or with their lengths when one holds it."""
    joined = SEPARATOR.join(keys)
    if joined.count(SEPARATOR) == len(keys) - 1:
        return b"\x00" + joined
    return b"\x01" + struct.pack(f"<{len(keys)}I", *map(len, keys)) + b"".join(keys)


def unblock_keys(block: bytes, count: int) -> list[bytes]:
    """The inverse of key_block."""
    if block[:1] == b"\x00":
        return block[1:].split(SEPARATOR)
    lengths = struct.unpack_from(f"<{count}I", block, 1)
    keys, at = [], 1 + 4 * count
    for length in lengths:
        keys.append(block[at : at + length])
        at += length
    return keys


def squeeze(data: bytes) -> bytes:
    """One zstd frame at level 1, with its size."""
    return zstandard.ZstdCompressor(level=1).compress(data)


def unsqueeze(data: bytes) -> bytes:
    """The inverse of squeeze. Raises ValueError for anything else."""
    try:
        return zstandard.ZstdDecompressor().decompress(data)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
