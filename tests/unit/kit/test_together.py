"""Many ranges of a store read side by side are the same bytes, by few requests that run at once."""

import os
import random
from pathlib import Path
from threading import Barrier

import pytest

from services.kit.objects.local import LocalObjects
from services.kit.objects.port import ObjectMissing
from services.kit.objects.together import GAP_BYTES, SPAN_BYTES, read_together, requests

SIZE = 3 << 20


def test_any_ranges_are_the_same(tmp_path: Path) -> None:
    objects, draw = LocalObjects(tmp_path), random.Random(2)
    data = {f"index/{name}": os.urandom(SIZE) for name in "ab"}
    for key, content in data.items():
        objects.put(key, content)
    wanted = [(draw.choice(list(data)), draw.randrange(SIZE - 9000), draw.randrange(9000)) for _ in range(200)]
    wanted.append(("index/a", 5, SIZE - 5))
    found = read_together(objects, wanted)
    assert found == [data[key][offset : offset + length] for key, offset, length in wanted]


def test_neighbours_come_with_one_request_and_strangers_do_not() -> None:
    near = [("index/a", at, 1000) for at in range(0, SPAN_BYTES - 1000, 2000)]
    assert len(requests(near)) == 1
    assert len(requests([*near, ("index/b", 0, 10), ("index/a", SPAN_BYTES + 2 * GAP_BYTES, 10)])) == 3
    assert (
        max(asked.end - asked.begin for asked in requests([("a", at, 999) for at in range(0, SIZE, 1000)]))
        <= SPAN_BYTES
    )


def test_requests_run_at_once(tmp_path: Path) -> None:
    """Each waits until all have begun: one after another they would wait for ever."""
    meeting = Barrier(4, timeout=60)

    class Slow(LocalObjects):
        def get_range(self, key: str, offset: int, length: int) -> bytes:
            meeting.wait()
            return super().get_range(key, offset, length)

    objects = Slow(tmp_path)
    for name in "abcd":
        objects.put(f"index/{name}", name.encode() * 9)
    assert read_together(objects, [(f"index/{name}", 1, 2) for name in "abcd"]) == [b"aa", b"bb", b"cc", b"dd"]


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    objects.put("index/a", b"abc")
    with pytest.raises(ObjectMissing):
        read_together(objects, [("index/a", 0, 3), ("index/b", 0, 1)])
