"""Content packs: what goes in comes out checked, damage is named, and cuts never drift between versions."""

from pathlib import Path

import pytest
import zstandard
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kit.packs import (
    CHUNK_MAX,
    CHUNK_MIN,
    RAW,
    ZSTD,
    BadPack,
    Blob,
    PackBuilder,
    cut,
    decode,
    digest_of,
    read_directory,
    trailer,
    verify_pack,
)

CONTENT = blake3(b"content of the test vector").digest(length=12 << 20)


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_a_pack_holds_every_blob_once_under_its_digest(blobs: list[bytes]) -> None:
    builder = PackBuilder()
    made = [builder.add(blob) for blob in blobs]
    pack = builder.finish()
    directory = read_directory(lambda offset, length: pack[offset : offset + length], len(pack))
    assert [blob.digest for blob in directory] == sorted({digest_of(blob) for blob in blobs})
    for blob, data in zip(made, blobs, strict=True):
        assert blob in directory
        assert decode(pack[blob.offset : blob.offset + blob.stored_bytes], blob.codec, blob.digest) == data


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=5), st.data())
def test_any_changed_byte_is_noticed(blobs: list[bytes], data: st.DataObject) -> None:
    builder = PackBuilder()
    for blob in blobs:
        builder.add(blob)
    pack = bytearray(builder.finish())
    pack[data.draw(st.integers(0, len(pack) - 1))] ^= data.draw(st.integers(1, 255))

    def read_all() -> None:
        for blob in read_directory(lambda offset, length: bytes(pack[offset : offset + length]), len(pack)):
            decode(pack[blob.offset : blob.offset + blob.stored_bytes], blob.codec, blob.digest)

    with pytest.raises(BadPack):
        read_all()


def test_a_pack_file_is_verified_whole(tmp_path: Path) -> None:
    builder = PackBuilder()
    builder.add(b"one")
    builder.add(b"two" * 1000)
    path = tmp_path / "pack"
    path.write_bytes(builder.finish())
    assert len(verify_pack(path)) == 2
    for data in (b"", b"short", builder.finish()[:-1], b"x" + builder.finish()[1:]):
        path.write_bytes(data)
        with pytest.raises(BadPack):
            verify_pack(path)


def test_compressed_blobs_are_checked_decoded() -> None:
    data = b"text " * 1000
    stored = zstandard.ZstdCompressor(level=1).compress(data)
    assert decode(stored, ZSTD, digest_of(data)) == data
    for spoiled, codec in ((stored[:-1], ZSTD), (data, ZSTD), (stored, RAW)):
        with pytest.raises(BadPack):
            decode(spoiled, codec, digest_of(data))


def test_a_directory_that_leads_outside_is_refused() -> None:
    pack = b"abc" + trailer([Blob(digest_of(b"abc"), 0, 4, RAW)])
    with pytest.raises(BadPack, match="outside the pack"):
        read_directory(lambda offset, length: pack[offset : offset + length], len(pack))


def test_cuts_are_where_they_always_were() -> None:
    assert cut(CONTENT, last=True) == [2138824, 1024954, 1328143, 1490057, 610847, 2604021, 1082333, 669094, 1634639]
    assert sum(cut(CONTENT, last=True)) == len(CONTENT)
    assert all(CHUNK_MIN <= length <= CHUNK_MAX for length in cut(CONTENT, last=True)[:-1])


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(1, 6 << 20), min_size=1, max_size=4))
def test_cutting_piece_by_piece_gives_the_same_chunks(sizes: list[int]) -> None:
    found, pending, at = list[int](), b"", 0
    for size in sizes:
        pending += CONTENT[at : at + size]
        at += size
        lengths = cut(pending, last=at >= len(CONTENT))
        found += lengths
        pending = pending[sum(lengths) :]
    found += cut(pending + CONTENT[at:], last=True) if at < len(CONTENT) or pending else []
    assert found == cut(CONTENT, last=True)
