"""The client's packs are the store's packs: the services' reader takes them, and both writers agree to the byte."""

import os
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamill.bulk.sending import cutting
from datamill.bulk.sending.packs import TARGET_BYTES, WHOLE_BYTES, Blob, Pack
from services.kit import packs as store

FROZEN = [1521776, 1829765, 518824, 1607681, 487789, 565186, 1109923, 747664]


def take(pack: Pack, data: bytes) -> Blob | None:
    handle = os.memfd_create("file")
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view) :]
        os.lseek(handle, 0, os.SEEK_SET)
        return pack.take(handle)
    finally:
        os.close(handle)


def whole(pack: Pack) -> bytes:
    return bytes(pack.body()) + pack.trailer()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=64) | st.integers(0, 5).map(lambda n: bytes([n]) * 2000)))
def test_both_writers_agree_to_the_byte(contents: list[bytes]) -> None:
    ours, theirs = Pack(), store.PackBuilder()
    for data in contents:
        found, wanted = take(ours, data), theirs.add(data)
        assert found is not None
        assert (found.digest, found.offset, found.size_bytes) == (wanted.digest, wanted.offset, wanted.stored_bytes)
    assert len(ours) == len(theirs) == len(set(contents))
    assert whole(ours) == theirs.finish()


def test_the_services_accept_what_the_client_writes(tmp_path: Path) -> None:
    pack = Pack()
    contents = [b"", b"one", b"two", os.urandom(100_000), b"one"]
    blobs = [take(pack, data) for data in contents]
    path = tmp_path / "pack"
    path.write_bytes(whole(pack))
    directory = {blob.digest: blob for blob in store.verify_pack(path)}
    for data, blob in zip(contents, blobs, strict=True):
        assert blob is not None
        found = directory[blob.digest]
        assert path.read_bytes()[found.offset : found.offset + found.stored_bytes] == data


def test_sizes_at_which_the_writers_turn() -> None:
    assert (TARGET_BYTES, WHOLE_BYTES) == (store.TARGET_BYTES, store.BIG_FILE_BYTES)


def test_a_file_too_big_for_one_blob_leaves_the_pack_as_it_was() -> None:
    pack = Pack()
    take(pack, b"before")
    assert take(pack, bytes(WHOLE_BYTES + 1)) is None
    after = take(pack, b"after")
    assert after is not None
    assert (after.offset, bytes(pack.body()), len(pack)) == (6, b"beforeafter", 2)
    exact = take(pack, bytes(WHOLE_BYTES))
    assert exact is not None
    assert exact.size_bytes == WHOLE_BYTES


def test_chunks_and_blobs_taken_out_leave_a_sound_pack(tmp_path: Path) -> None:
    pack, contents = Pack(), [os.urandom(size) for size in (10, 3000, 1, 70_000)]
    room, at = pack.room(), 0
    for data in contents:
        room[at : at + len(data)] = data
        pack.keep(at, len(data), store.digest_of(data), pytest.fail)
        at += len(data)
    pack.without({store.digest_of(contents[1])})
    path = tmp_path / "pack"
    path.write_bytes(whole(pack))
    assert {blob.digest for blob in store.verify_pack(path)} == {store.digest_of(contents[i]) for i in (0, 2, 3)}
    for data in (contents[0], *contents[2:]):
        blob = pack.place(store.digest_of(data))
        assert bytes(pack.body()[blob.offset :][: blob.size_bytes]) == data
    after = take(pack, b"after")
    assert after is not None
    assert len(pack.body()) == 10 + 1 + 70_000 + 5


@pytest.mark.parametrize("leave", [0, 2, 1 << 20], ids=["one at a time", "three", "all there are"])
@pytest.mark.parametrize("size", [WHOLE_BYTES + 1, 16 << 20, (16 << 20) + 1, 50_000_003])
def test_big_files_are_cut_alike(tmp_path: Path, size: int, leave: int) -> None:
    data = Random(size).randbytes(size)
    path = tmp_path / "big"
    path.write_bytes(data)
    lengths, found = list[int](), list[bytes]()
    with open(path, "rb") as file, closing(cutting.Cut(file.fileno())) as pieces:
        while not pieces.done:
            room = memoryview(bytearray(max(TARGET_BYTES, WHOLE_BYTES + 1) if leave else WHOLE_BYTES + 1))
            with closing(pieces.chunks(room)) as chunks:
                for number, (at, length) in enumerate(chunks):
                    lengths.append(length)
                    found.append(bytes(room[at : at + length]))
                    if number == leave:
                        break
        assert (pieces.digest, pieces.size_bytes) == (store.digest_of(data), size)
    assert lengths == store.cut(data, last=True)
    assert b"".join(found) == data


def test_chunks_move_up_where_others_are_left_out() -> None:
    data, pack = os.urandom(12 << 20), Pack()
    take(pack, b"before")
    with open(os.memfd_create("big"), "w+b", 0) as file:
        file.write(data)
        file.seek(0)
        with closing(cutting.Cut(file.fileno())) as pieces:
            room, kept = pack.room(), list[tuple[int, int]]()
            for number, (at, size) in enumerate(pieces.chunks(room)):
                if number % 3 != 1:
                    digest = store.digest_of(room[at : at + size])
                    pack.keep(at, size, digest, pieces.settle)
                    kept.append((at, size))
            assert pieces.digest == store.digest_of(data)
    assert bytes(pack.body()) == b"before" + b"".join(data[at : at + size] for at, size in kept)


def test_where_cuts_fall_never_changes() -> None:
    """Frozen: a library that cut elsewhere would store everything anew."""
    assert store.cut(Random(1).randbytes(8 << 20), last=True) == FROZEN


def test_a_cleared_pack_is_empty() -> None:
    pack = Pack()
    take(pack, b"x")
    pack.clear()
    assert whole(pack) == store.PackBuilder().finish()
