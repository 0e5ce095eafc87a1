"""Ranges read through blocks are the same bytes, by fewer requests."""

import os
import random
from pathlib import Path

import pytest

from services.kit.errors import Corrupt
from services.kit.objects.blocks import AHEAD, BLOCK_BYTES, Blocks
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
