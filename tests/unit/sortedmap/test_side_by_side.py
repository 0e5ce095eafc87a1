"""Over a source that is far away, reads are made side by side: their rounds are bounded by the map's depth."""

import random
from collections.abc import Sequence

import pytest

from services.kit.sortedmap import chunking, rows
from services.kit.sortedmap.change import apply
from services.kit.sortedmap.compare import diff
from services.kit.sortedmap.packs import Reader
from services.kit.sortedmap.rows import Place, Removed, Root, Row
from services.kit.sortedmap.tree import build, get_many, scan
from tests.unit.sortedmap.in_memory import Memory

ROWS = 6000
KEYS = [b"/d%03d/f%04d\x00default" % (number // 100, number) for number in range(ROWS)]


class Far(Memory):
    """Counts after how many answers something waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.rounds = 0

    def read(self, place: Place) -> bytes:
        self.rounds += 1
        return super().read(place)

    def many(self, places: Sequence[Place]) -> list[bytes]:
        self.rounds += 1
        return list(map(super().read, places))

    def reader(self) -> Reader:
        self.rounds = 0
        return Reader(self, many=self.many)


def row(key: bytes, value: int) -> Row:
    return Row(key, 1, value, value.to_bytes(32, "big"), Place(b"p" * 16, value * 10, value))


def _changed(far: Far, reader: Reader, root: Root, keys: Sequence[bytes], value: int) -> Root:
    sink = far.sink()
    changed = apply(reader, root, [row(key, value) for key in sorted(keys)], sink)
    sink.flush()
    return changed


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Far:
    """Small ranges and nodes, so that there are some 750 ranges in six levels."""
    monkeypatch.setattr(rows, "ROWS_A_RANGE", 8)
    monkeypatch.setattr(rows, "CHILDREN_A_NODE", 4)
    monkeypatch.setattr(chunking, "LONGEST_RANGE", 100)
    monkeypatch.setattr(chunking, "LONGEST_NODE", 50)
    return Far()


@pytest.fixture
def root(far: Far) -> Root:
    sink = far.sink()
    built = build((row(key, number) for number, key in enumerate(KEYS)), sink)
    sink.flush()
    return built


def _levels(far: Far, root: Root) -> int:
    assert root.place is not None
    return 1 + far.reader().chunk(root.id, root.place).level


@pytest.mark.parametrize("many", [10, 60, 200])
def test_changing_and_comparing_wait_by_depth_and_not_by_changes(far: Far, root: Root, many: int) -> None:
    levels, keys = _levels(far, root), random.Random(5).sample(KEYS, 2 * many)
    changed = _changed(far, far.reader(), root, keys[:many], ROWS + 1)
    assert far.rounds <= levels
    again = _changed(far, far.reader(), changed, keys[many:], ROWS + 2)
    assert far.rounds <= levels + 1, "the bases of ranges that are stored as differences take one round more"
    found = list(diff(far.reader(), root, again))
    assert [key for key, _, _ in found] == sorted(keys)
    assert far.rounds <= 2 * levels + 2 * 6, "a few windows of ranges, each with bases, that begin small"


def test_looking_up_many_keys_waits_by_depth(far: Far, root: Root) -> None:
    keys = random.Random(6).sample(KEYS, 200)
    reader = far.reader()
    assert [found and found.key for found in get_many(reader, root, [*keys, b"/none"])] == [*keys, None]
    assert far.rounds <= _levels(far, root)


def test_who_reads_on_waits_for_many_ranges_at_once(far: Far, root: Root) -> None:
    reader = far.reader()
    assert [found.key for found in scan(reader, root)] == KEYS
    assert reader.fetched > 700
    assert far.rounds < 100
    reader = far.reader()
    assert next(scan(reader, root, KEYS[3000])).key == KEYS[3000]
    assert reader.fetched < 3 * _levels(far, root), "who wants one row brings little more"


def test_boundaries_that_go_away_are_followed_one_by_one(far: Far, root: Root) -> None:
    """What cannot be known before is read when it is needed: the result is the same."""
    gone = [key for key in KEYS if not rows.key_hash(key) & 7][::3]
    sink = far.sink()
    after = apply(far.reader(), root, [Removed(key) for key in gone], sink)
    sink.flush()
    assert [found.key for found in scan(far.reader(), after)] == sorted(set(KEYS) - set(gone))
