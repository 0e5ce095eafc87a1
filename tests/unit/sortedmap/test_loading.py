"""Maps built of runs of columns, and of whole ranges of other maps: the same as maps built row by row."""

import itertools
import random
from array import array
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kit.sortedmap import chunking, rows
from services.kit.sortedmap.encoding.chunks import BadRow, Leaf
from services.kit.sortedmap.encoding.places import NO_PACK, PlaceColumns
from services.kit.sortedmap.loading import Loading, Segment, joined
from services.kit.sortedmap.packs import Reader
from services.kit.sortedmap.rows import EMPTY, Place, Root, Row
from services.kit.sortedmap.tree import UnsortedKeys, build, scan
from tests.unit.sortedmap.in_memory import Memory

KEYS = st.lists(st.binary(min_size=1, max_size=3), unique=True, max_size=120).map(sorted)
PACKS = [NO_PACK, b"p" * 16, b"q" * 16]


@pytest.fixture(autouse=True, scope="module")
def small() -> Iterator[None]:
    """Small ranges and nodes, so that small maps have many levels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "ROWS_A_RANGE", 8)
        patch.setattr(rows, "CHILDREN_A_NODE", 4)
        patch.setattr(chunking, "LONGEST_RANGE", 20)
        patch.setattr(chunking, "LONGEST_NODE", 6)
        yield


def row(key: bytes) -> Row:
    value = sum(key)
    pack = PACKS[value % 3]
    place = None if pack == NO_PACK else Place(pack, value * 10, value + key[0] % 2, key[0] % 2)
    return Row(key, 1 + value % 2, 0 if place is None else value, value.to_bytes(32, "big"), place)


def run(keys: Sequence[bytes]) -> Leaf:
    made = [row(key) for key in keys]
    at = [each.place or Place(NO_PACK, 0, 0) for each in made]
    names = list(dict.fromkeys(place.pack for place in at))
    places = PlaceColumns(
        names,
        array("I", [names.index(place.pack) for place in at]),
        array("Q", [place.offset for place in at]),
        array("Q", [place.stored for place in at]),
        bytes(place.codec for place in at),
    )
    sizes = array("Q", [each.size for each in made])
    return Leaf(list(keys), bytes(each.kind for each in made), sizes, b"".join(each.digest for each in made), places)


def built(memory: Memory, keys: Sequence[bytes]) -> Root:
    sink = memory.sink()
    root = build(map(row, keys), sink)
    sink.flush()
    return root


def loaded(memory: Memory, keys: Sequence[bytes], cuts: Sequence[int]) -> Root:
    sink = memory.sink()
    loading = Loading(sink)
    for start, stop in itertools.pairwise((0, *cuts, len(keys))):
        if keys[start:stop]:
            loading.add(run(keys[start:stop]))
    root = loading.finish()
    sink.flush()
    return root


def cuts_of(keys: Sequence[bytes], fractions: Sequence[float]) -> list[int]:
    return sorted(int(fraction * len(keys)) for fraction in fractions)


FRACTIONS = st.lists(st.floats(0, 1), max_size=5)


@given(KEYS, FRACTIONS)
def test_runs_make_the_map_that_rows_make(keys: list[bytes], fractions: list[float]) -> None:
    memory = Memory()
    root = loaded(memory, keys, cuts_of(keys, fractions))
    plain = built(Memory(), keys)
    assert (root.id, root.rows, root.size_bytes) == (plain.id, plain.rows, plain.size_bytes)
    assert list(scan(Reader(memory), root)) == [row(key) for key in keys]


@settings(deadline=None)
@given(KEYS, FRACTIONS, st.booleans())
def test_joined_maps_are_the_map_of_all_rows(keys: list[bytes], fractions: list[float], cut: bool) -> None:
    memory, segments = Memory(), list[Segment]()
    whole = built(memory, keys)
    for start, stop in itertools.pairwise((0, *cuts_of(keys, fractions), len(keys))):
        if cut and keys[start:stop]:  # a part of one map, or a map of its own
            segments.append(Segment(whole, keys[start], keys[stop] if stop < len(keys) else None))
        else:
            segments.append(Segment(loaded(memory, keys[start:stop], ())))
    sink = memory.sink()
    root = joined(Reader(memory), segments, sink)
    sink.flush()
    assert (root.id, root.rows, root.size_bytes) == (whole.id, whole.rows, whole.size_bytes)
    assert list(scan(Reader(memory), root)) == [row(key) for key in keys]


def test_runs_too_long_by_chosen_names_are_cut_alike() -> None:
    keys = [key for key in (number.to_bytes(3, "big") for number in range(1, 4000)) if not rows.ends_chunk(key, 0)]
    memory = Memory()
    assert loaded(memory, keys, (700, 1500)).id == built(Memory(), keys).id
    parts = [Segment(built(memory, keys[:1000])), Segment(built(memory, keys[1000:]))]
    assert joined(Reader(memory), parts, memory.sink()).id == built(Memory(), keys).id


def test_joining_reads_nodes_and_little_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunking, "LONGEST_RANGE", 1000)
    monkeypatch.setattr(chunking, "LONGEST_NODE", 1000)
    keys = sorted(random.Random(1).sample(range(1 << 24), 20_000))
    named = [key.to_bytes(3, "big") for key in keys]
    memory = Memory()
    parts = [Segment(built(memory, named[:10_000])), Segment(built(memory, named[10_000:]))]
    sink, reader = memory.sink(), Reader(memory)
    assert joined(reader, parts, sink).rows == 20_000
    assert reader.fetched < 20_000 / 8 / 4 * 1.7  # as many as there are nodes, of both maps
    assert sink.written_ranges < 20_000 / 8 / 4 * 1.7


def test_what_is_out_of_order_or_uneven_is_refused() -> None:
    loading = Loading(Memory().sink())
    loading.add(run([b"b", b"c"]))
    for keys in ([b"c", b"d"], [b"a"], [b"f", b"e"], [b"f", b"f"]):
        with pytest.raises(UnsortedKeys):
            loading.add(run(keys))
    uneven = run([b"x", b"y"])
    uneven.digests = uneven.digests[:-1]
    with pytest.raises(BadRow):
        loading.add(uneven)
    memory = Memory()
    with pytest.raises(UnsortedKeys):
        joined(Reader(memory), [Segment(built(memory, [b"a", b"c"])), Segment(built(memory, [b"b"]))], memory.sink())
    assert joined(Reader(memory), [], memory.sink()) == Loading(memory.sink()).finish() == EMPTY
