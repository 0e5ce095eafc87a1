"""What a file is made of, and what a write does to it.

A file's content is a run of extents, each a blob of a content pack; its digest is that of the whole content, however
it was cut or written. A write is an `Op` on a key (path and datum tag): replace, append or remove. Folding ops is
associative, so layers can be merged in any grouping as long as their order is kept.
Holds for ever: the kinds, and the bytes of a manifest.
Elsewhere: bytes of packs (kit/packs.py), layers as stored (storage/content/layers.py).
"""

import hashlib
import struct
from collections.abc import Iterable
from typing import NamedTuple

from services.kit.errors import Corrupt

REPLACE, APPEND, REMOVE = 0, 1, 2
FILE, CHUNKED = 1, 2
"""Kinds of a tree's rows: place is the file's only blob (or None when it is empty), or the place of its manifest."""
NO_BYTES_DIGEST = bytes.fromhex("af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262")
"""BLAKE3-256 of nothing."""

_MAGIC = b"dmmanif1"
_EXTENT = struct.Struct(">16sQQBQ32s")


class Extent(NamedTuple):
    """A blob of a pack as part of a file."""

    pack: bytes
    offset: int
    stored: int
    codec: int
    size: int
    digest: bytes


class Content(NamedTuple):
    """A file's whole content."""

    size: int
    digest: bytes
    extents: tuple[Extent, ...]


class Op(NamedTuple):
    """A write to one key. digest: of all the pieces together, when it is known; None otherwise."""

    key: bytes
    kind: int
    pieces: tuple[Extent, ...] = ()
    digest: bytes | None = None


def removal(key: bytes) -> Op:
    return Op(key, REMOVE)


def fold(first: Op, then: Op) -> Op:
    """One op that does what the two do one after the other. Both are on the same key."""
    if then.kind != APPEND:
        return then
    if first.kind == REMOVE:
        return then._replace(kind=REPLACE)
    if not then.pieces:
        return first
    if not first.pieces:
        return then._replace(kind=first.kind)
    return Op(first.key, first.kind, first.pieces + then.pieces, None)


def size_of(pieces: Iterable[Extent]) -> int:
    return sum(piece.size for piece in pieces)


def known_digest(pieces: tuple[Extent, ...], stated: bytes | None) -> bytes | None:
    """The digest of the pieces together where it takes no reading, else None."""
    if not pieces:
        return NO_BYTES_DIGEST
    return pieces[0].digest if len(pieces) == 1 else stated


def encode_manifest(extents: Iterable[Extent]) -> bytes:
    """The extents of a file as stored. It ends in a checksum, as an index pack has no directory."""
    body = _MAGIC + b"".join(_EXTENT.pack(*extent) for extent in extents)
    return body + hashlib.blake2b(body, digest_size=16).digest()


def decode_manifest(data: bytes) -> tuple[Extent, ...]:
    """The inverse of encode_manifest. Raises Corrupt."""
    body = data[:-16]
    if not body.startswith(_MAGIC) or hashlib.blake2b(body, digest_size=16).digest() != data[-16:]:
        raise Corrupt("the list of a file's chunks is damaged in the store")
    return tuple(map(Extent._make, _EXTENT.iter_unpack(body[len(_MAGIC) :])))
