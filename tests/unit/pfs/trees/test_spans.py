"""Reads that bring blobs: each of them, and few reads for those near one another, in whatever order they are asked."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from services.pfs.domain.files.entries import Extent
from services.pfs.storage.content.spans import GAP_BYTES, SPAN_BYTES, WINDOW_BLOBS, spans, windows

MIB = 1 << 20
PLACES = st.tuples(st.integers(0, 2), st.integers(0, 40 * MIB), st.integers(1, 10 * MIB))


def blob(pack: int, offset: int, size: int) -> Extent:
    return Extent(bytes([pack]) * 16, offset, size, 0, size, bytes(32))


@given(st.lists(PLACES, max_size=30))
def test_every_blob_is_in_a_read_of_its_window(places: list[tuple[int, int, int]]) -> None:
    extents = [blob(*place) for place in places]
    found = list(windows(extents))
    assert [extent for window in found for extent in window] == extents
    for window in found:
        assert len(window) == 1 or sum(extent.stored for extent in window) <= SPAN_BYTES
        reads = spans(window)
        assert sorted(number for read in reads for number in read.wanted) == list(range(len(window)))
        for read in reads:
            assert read.end - read.begin <= SPAN_BYTES or len(window) == 1
            for extent in (window[number] for number in read.wanted):
                assert (extent.pack, True) == (read.pack, read.begin <= extent.offset)
                assert extent.offset + extent.stored <= read.end


def test_small_blobs_of_many_packs_take_a_read_for_each_pack_in_any_order() -> None:
    extents = [blob(pack, 100 * number, 100) for number in range(WINDOW_BLOBS // 8) for pack in range(8)]
    for order in (extents, Random(1).sample(extents, len(extents))):
        (window,) = windows(order)
        assert [(read.begin, read.end) for read in spans(window)] == [(0, 100 * WINDOW_BLOBS // 8)] * 8


def test_holes_are_read_along_when_they_are_small_and_a_blob_that_is_wanted_twice_once() -> None:
    window = [blob(1, 0, 10), blob(1, 9 + GAP_BYTES, 10), blob(1, 0, 10), blob(1, 19 + 2 * GAP_BYTES + 1, 5)]
    assert [(read.begin, read.wanted) for read in spans(window)] == [(0, [0, 2, 1]), (20 + 2 * GAP_BYTES, [3])]
