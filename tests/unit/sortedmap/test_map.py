"""The persistent map against a dictionary: any history, the invariants, and what it may open and write."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kit.sortedmap import chunking, rows
from services.kit.sortedmap.change import apply
from services.kit.sortedmap.compare import Summary, diff, summary
from services.kit.sortedmap.encoding import codec
from services.kit.sortedmap.encoding.chunks import BadRow, Leaf, Node
from services.kit.sortedmap.encoding.codec import CorruptRange
from services.kit.sortedmap.packs import PackSink, Reader
from services.kit.sortedmap.rows import EMPTY, Place, Removed, Root, Row
from services.kit.sortedmap.tree import UnsortedKeys, build, get, scan
from tests.unit.sortedmap.in_memory import Memory


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small ranges and nodes, so that small maps have many levels."""
    _make_small(monkeypatch)


def _make_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "ROWS_A_RANGE", 8)
    monkeypatch.setattr(rows, "CHILDREN_A_NODE", 4)
    monkeypatch.setattr(chunking, "LONGEST_RANGE", 20)
    monkeypatch.setattr(chunking, "LONGEST_NODE", 6)


def row(key: bytes, value: int = 0) -> Row:
    return Row(key, 1 + value % 3, value, value.to_bytes(32, "big"), Place(b"p" * 16, value * 10, value))


def made(memory: Memory, content: dict[bytes, int]) -> Root:
    sink = memory.sink()
    root = build((row(key, content[key]) for key in sorted(content)), sink)
    sink.flush()
    return root


def changed(memory: Memory, root: Root, edits: dict[bytes, int | None]) -> tuple[Root, PackSink, Reader]:
    sink, reader = memory.sink(), Reader(memory)
    asked = [Removed(key) if value is None else row(key, value) for key, value in sorted(edits.items())]
    after = apply(reader, root, asked, sink)
    sink.flush()
    return after, sink, reader


KEYS = st.one_of(
    st.binary(max_size=3),
    st.integers(0, 400).map(lambda number: b"/d%02d/f%03d\x00default" % (number % 7, number)),
)
HISTORIES = st.lists(st.dictionaries(KEYS, st.one_of(st.none(), st.integers(0, 50)), max_size=120), max_size=6)


@settings(max_examples=150, deadline=None)
@given(HISTORIES, KEYS, KEYS)
def test_any_history_equals_a_dictionary(history: list[dict[bytes, int | None]], one: bytes, other: bytes) -> None:
    low, high = sorted((one, other))
    with pytest.MonkeyPatch.context() as patch:
        _make_small(patch)
        memory, content, root = Memory(), dict[bytes, int](), EMPTY
        for edits in history:
            before, root_before = dict(content), root
            for key, value in edits.items():
                content.pop(key, None) if value is None else content.__setitem__(key, value)
            root, _, _ = changed(memory, root, edits)
            _check_contents(memory, root, content, low, high)
            _check_diff(memory, root_before, root, before, content, low, high)


def _check_contents(memory: Memory, root: Root, content: dict[bytes, int], low: bytes, high: bytes) -> None:
    reader, wanted = Reader(memory), [row(key, content[key]) for key in sorted(content)]
    fresh = made(memory, content)
    assert root.id == fresh.id
    assert (root.rows, root.size_bytes) == (len(content), sum(content.values()))
    assert list(scan(reader, root)) == wanted
    assert list(scan(reader, root, reverse=True)) == wanted[::-1]
    inside = {key: value for key, value in content.items() if low <= key < high}
    assert list(scan(reader, root, low, high)) == [row(key, inside[key]) for key in sorted(inside)]
    assert summary(reader, root, low, high) == Summary(len(inside), sum(inside.values()), made(memory, inside).id)
    for key in (low, high):
        found = get(reader, root, key)
        assert found == (row(key, content[key]) if key in content else None)


def _longest(reader: Reader, root: Root) -> int:
    return max(len(leaf.keys) for leaf in _leaves(reader, root))


def _leaves(reader: Reader, root: Root) -> Iterator[Leaf]:
    assert root.place is not None
    pending = [(root.id, root.place)]
    while pending:
        chunk = reader.chunk(*pending.pop())
        if isinstance(chunk, Node):
            pending += [(child.id, child.place) for child in chunk.children]
            assert [child.key for child in chunk.children] == sorted(child.key for child in chunk.children)
        else:
            yield chunk


def _check_diff(
    memory: Memory, a: Root, b: Root, old: dict[bytes, int], new: dict[bytes, int], low: bytes, high: bytes
) -> None:
    def wanted(keys: set[bytes]) -> list[tuple[bytes, Row | None, Row | None]]:
        differing = sorted(key for key in keys if old.get(key) != new.get(key))
        return [
            (key, row(key, old[key]) if key in old else None, row(key, new[key]) if key in new else None)
            for key in differing
        ]

    keys = old.keys() | new.keys()
    assert list(diff(Reader(memory), a, b)) == wanted(set(keys))
    assert list(diff(Reader(memory), a, b, low, high)) == wanted({key for key in keys if low <= key < high})


def test_over_long_ranges_keep_one_id_whatever_the_history(small: None) -> None:
    """Keys chosen never to be a boundary make one endless range, which is cut again."""
    chosen = [key for key in (b"k%05d" % number for number in range(4000)) if rows.key_hash(key) & 7][:600]
    memory, shuffled = Memory(), chosen[:]
    random.Random(1).shuffle(shuffled)
    root, content = EMPTY, dict[bytes, int]()
    for at in range(0, len(shuffled), 37):
        part: dict[bytes, int | None] = dict.fromkeys(shuffled[at : at + 37], at)
        content |= dict.fromkeys(shuffled[at : at + 37], at)
        root, _, _ = changed(memory, root, part)
        assert root.id == made(memory, content).id
    assert _longest(Reader(memory), root) <= 20
    for at in range(0, len(chosen), 53):
        for key in chosen[at : at + 53]:
            del content[key]
        root, _, _ = changed(memory, root, dict.fromkeys(chosen[at : at + 53]))
        assert root.id == made(memory, content).id
    assert root == EMPTY


def big(count: int) -> dict[bytes, int]:
    return {b"/class_%05d/IMG_%05d.jpg\x00default" % divmod(number, 1000): number for number in range(count)}


def test_a_small_change_opens_and_writes_little_whatever_the_size() -> None:
    opened: dict[int, int] = {}
    for count in (10_000, 200_000):
        memory = Memory()
        content = big(count)
        root = made(memory, content)
        key = sorted(content)[count // 2]
        after, sink, reader = changed(memory, root, {key: 7})
        levels = 1 + Reader(memory).chunk(root.id, root.place or Place(b"", 0, 0)).level
        assert sink.written_ranges <= levels
        opened[count] = reader.fetched
        looking = Reader(memory)
        assert [found[0] for found in diff(looking, root, after)] == [key]
        assert looking.fetched <= 2 * levels + 1
        assert sink.written_bytes < 20_000
    assert opened[200_000] < 3 * opened[10_000]


def test_scattered_changes_are_stored_as_deltas_on_one_base() -> None:
    memory, content = Memory(), big(20_000)
    root = made(memory, content)
    full = sum(map(len, memory.packs.values()))
    keys = sorted(content)
    for turn in range(4):
        edits: dict[bytes, int | None] = dict.fromkeys(keys[turn * 7 :: 500], 90000 + turn)
        root, sink, _ = changed(memory, root, edits)
        content |= dict.fromkeys(edits, 90000 + turn)
        assert sink.written_bytes < full / 8
        assert root.id == made(Memory(), content).id
    assert {leaf.base is not None for leaf in _leaves(Reader(memory), root)} == {True, False}


def test_directory_totals_open_two_ranges_and_digests_ignore_neighbours() -> None:
    memory, content = Memory(), big(50_000)
    root = made(memory, content)
    low, high = b"/class_00023/", b"/class_000230"
    reader = Reader(memory)
    found = summary(reader, root, low, high)
    assert found[:2] == (1000, sum(range(23_000, 24_000)))
    assert sum(isinstance(chunk, Leaf) for chunk, _ in reader._kept.values()) in (1, 2)
    neighbours = {key: value for key, value in content.items() if key < b"/class_00030" or key > b"/class_00040"}
    other = made(memory, {**neighbours, b"/class_00022/zzz\x00default": 1})
    assert summary(Reader(memory), other, low, high) == found
    alone = made(memory, {key: value for key, value in content.items() if low <= key < high})
    assert alone.id == found.id


def test_an_edit_that_changes_nothing_keeps_root_and_places() -> None:
    memory, content = Memory(), big(3_000)
    root = made(memory, content)
    key = sorted(content)[5]
    after, sink, _ = changed(memory, root, {key: content[key], b"/not there": None})
    assert after == root
    assert sink.written_ranges == 0


def test_bytes_that_are_not_the_range_are_named_with_their_place() -> None:
    memory = Memory()
    root = made(memory, big(100))
    assert root.place is not None
    pack = bytearray(memory.packs[root.place.pack])
    for at in range(0, len(pack), 13):
        memory.packs[root.place.pack] = bytes(pack[:at]) + bytes([pack[at] ^ 0xFF]) + bytes(pack[at + 1 :])
        found = _scanned_or_refused(memory, root)
        assert found in ("refused", [(key, *row(key, value).logical()) for key, value in sorted(big(100).items())])


def _scanned_or_refused(memory: Memory, root: Root) -> object:
    """Places are no part of an id, so damage in them alone is found by the blob's own hash, not here."""
    try:
        return [(found.key, *found.logical()) for found in scan(Reader(memory), root)]
    except CorruptRange as error:
        assert root.place is not None
        assert f"pack {root.place.pack.hex()}, offset {root.place.offset}" in str(error)  # noqa: PT017
        return "refused"


@pytest.mark.parametrize("keys", [[b"b", b"a"], [b"a", b"a"]])
def test_keys_out_of_order_are_refused(keys: list[bytes]) -> None:
    memory = Memory()
    with pytest.raises(UnsortedKeys, match="must ascend"):
        build((row(key) for key in keys), memory.sink())
    root = made(memory, {b"x": 1})
    with pytest.raises(UnsortedKeys, match="must ascend"):
        apply(Reader(memory), root, [row(key) for key in keys], memory.sink())


def test_ids_are_frozen() -> None:
    """The format's promise: these hold in every release."""
    assert rows.key_hash(b"/a\x00default") == 16512729835566806066
    assert made(Memory(), {}).id.hex() == "c267db11b088809250e6d95ed4e2f209a813838f7d06c7a974379c40a04367c6"
    assert made(Memory(), big(1_000)).id.hex() == "cfb9976f9192c0df483a49da45619d450d1eac1b1b1a04a08d6c33aaab4c4420"
    assert codec.MAGIC == b"DMr1"


@pytest.mark.parametrize(
    "bad",
    [
        Row(b"k", 255, 1, bytes(32)),
        Row(b"k", 1, -1, bytes(32)),
        Row(b"k", 1, 1 << 64, bytes(32)),
        Row(b"k", 1, 1, bytes(31)),
    ],
)
def test_rows_that_cannot_be_stored_are_refused(bad: Row) -> None:
    memory = Memory()
    with pytest.raises(BadRow, match="a row among"):
        build([bad], memory.sink())
    with pytest.raises(BadRow, match="a row among"):
        apply(Reader(memory), made(memory, {b"x": 1}), [bad], memory.sink())


def test_keys_that_are_all_boundaries_end_in_one_root(small: None) -> None:
    """Keys chosen to be boundaries at several levels make chunks of one item; the levels above still get fewer."""
    chosen = [key for key in (b"k%06d" % number for number in range(40_000)) if not rows.key_hash(key) & 127][:200]
    memory, content = Memory(), dict.fromkeys(chosen, 1)
    root = made(memory, content)
    assert [found.key for found in scan(Reader(memory), root)] == chosen
    del content[chosen[100]]
    after, _, _ = changed(memory, root, {chosen[100]: None})
    assert after.id == made(memory, content).id


def test_a_small_cache_reads_the_same_and_stays_small() -> None:
    memory, content = Memory(), big(20_000)
    root = made(memory, content)
    reader = Reader(memory, limit_bytes=200_000)
    for _ in range(2):
        assert [found.key for found in scan(reader, root)] == sorted(content)
        assert reader._kept_bytes <= 200_000
    assert reader.fetched > 70


def test_a_history_of_single_edits_shares_all_else() -> None:
    """Reused ranges keep id and place: a change brings only the chunks on its own path."""
    memory, content = Memory(), big(30_000)
    root = made(memory, content)
    places = _places(memory, root)
    for turn, key in enumerate(random.Random(3).sample(sorted(content), 20)):
        root, sink, _ = changed(memory, root, {key: 1_000_000 + turn})
        after = _places(memory, root)
        assert len(after - places) == sink.written_ranges <= 4
        places = after


def _places(memory: Memory, root: Root) -> set[tuple[bytes, Place]]:
    assert root.place is not None
    found, pending, reader = set[tuple[bytes, Place]](), [(root.id, root.place)], Reader(memory)
    while pending:
        found.add(pending[-1])
        chunk = reader.chunk(*pending.pop())
        pending += [(child.id, child.place) for child in chunk.children] if isinstance(chunk, Node) else []
    return found
