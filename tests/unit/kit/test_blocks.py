"""Ranges read through blocks are the same bytes, by fewer requests."""

import os
import random
from pathlib import Path
from threading import Barrier

import pytest

from services.kit.errors import Corrupt
from services.kit.objects.blocks import AHEAD, BLOCK_BYTES, TOGETHER, Blocks
from services.kit.objects.local import LocalObjects
from services.kit.objects.port import ObjectMissing

SIZE = 12 * BLOCK_BYTES + 777


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path)


def test_any_range_is_the_same(objects: LocalObjects) -> None:
    data, rng = os.urandom(SIZE), random.Random(7)
    objects.put("index/a", data)
    blocks = Blocks(objects, kept_bytes=4 * BLOCK_BYTES)
    for _ in range(500):
        length = rng.choice([0, 1, 5000, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES])
        offset = rng.randrange(SIZE - length + 1)
        assert blocks.get_range("index/a", offset, length) == data[offset : offset + length]
    assert blocks._kept_bytes <= 4 * BLOCK_BYTES


def test_reading_on_takes_few_requests_and_reading_again_none(objects: LocalObjects) -> None:
    objects.put("index/a", os.urandom(SIZE))
    blocks = Blocks(objects)
    for _ in range(2):
        for offset in range(0, SIZE - 10_000, 10_000):
            blocks.get_range("index/a", offset, 10_000)
        assert blocks.requests <= 2 + SIZE // BLOCK_BYTES // AHEAD + 1


def test_a_small_object_is_read_once(objects: LocalObjects) -> None:
    objects.put("index/a", bytes(9000))
    blocks = Blocks(objects)
    assert [len(blocks.get_range("index/a", at, 3000)) for at in (0, 3000, 6000)] == [3000] * 3
    assert blocks.requests == 1


def test_what_is_not_there_is_said_as_without_blocks(objects: LocalObjects) -> None:
    objects.put("index/a", bytes(BLOCK_BYTES))
    blocks = Blocks(objects)
    for offset, length in [(BLOCK_BYTES - 5, 6), (BLOCK_BYTES, 1), (5 * BLOCK_BYTES, 3)]:
        with pytest.raises(Corrupt, match=f"object index/a ends before byte {offset + length}"):
            blocks.get_range("index/a", offset, length)
    with pytest.raises(ObjectMissing):
        blocks.get_range("index/b", 0, 1)


def test_many_ranges_are_the_same(objects: LocalObjects) -> None:
    draw, data = random.Random(2), {f"index/{name}": os.urandom(SIZE) for name in "abcdefgh"}
    for key, content in data.items():
        objects.put(key, content)
    wanted = [(draw.choice(list(data)), draw.randrange(SIZE - 9000), draw.randrange(9000)) for _ in range(300)]
    wanted += [("index/a", 5, SIZE - 5), ("index/b", 0, 0)]
    blocks = Blocks(objects, kept_bytes=TOGETHER * BLOCK_BYTES)
    assert blocks.get_many(wanted) == [data[key][offset : offset + length] for key, offset, length in wanted]
    assert blocks.requests <= 8 * 13
    assert blocks.get_many([]) == []


def test_blocks_are_read_at_once_and_neighbours_by_one_request(tmp_path: Path) -> None:
    """Each request waits until all have begun: one after another they would wait for ever."""
    meeting = Barrier(4, timeout=60)

    class Slow(LocalObjects):
        def get_up_to(self, key: str, offset: int, length: int) -> bytes:
            meeting.wait()
            return super().get_up_to(key, offset, length)

    objects = Slow(tmp_path)
    for name in "abcd":
        objects.put(f"index/{name}", name.encode() * (2 * BLOCK_BYTES))
    blocks = Blocks(objects)
    wanted = [(f"index/{name}", at, 2) for name in "abcd" for at in (1, BLOCK_BYTES - 1, BLOCK_BYTES + 9)]
    assert blocks.get_many(wanted) == [name * 2 for name in (b"a", b"b", b"c", b"d") for _ in range(3)]
    assert blocks.requests == 4


def test_one_missing_object_among_many_is_said(objects: LocalObjects) -> None:
    objects.put("index/a", b"abc")
    with pytest.raises(ObjectMissing):
        Blocks(objects).get_many([("index/a", 0, 3), ("index/b", 0, 1)])
