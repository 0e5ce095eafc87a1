"""Which reads bring many blobs: those of a window are sorted by where they lie, and joined over small gaps.

Files that are asked for in the order of their paths lie in the order in which they were written, in many packs; one
after another they would take a read each. Elsewhere: reading (packs.py).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from services.pfs.domain.files.entries import Extent

GAP_BYTES = 256 << 10  # a smaller hole between two blobs is read along
SPAN_BYTES = 8 << 20  # at most so much in one read, unless one blob is bigger
WINDOW_BLOBS = 1024  # looked at together; of at most SPAN_BYTES


@dataclass
class Span:
    """Bytes of a pack that one read brings. wanted: the numbers in the window of the blobs in it."""

    pack: bytes
    begin: int
    end: int
    wanted: list[int] = field(default_factory=list)


def windows(extents: Iterable[Extent]) -> Iterator[list[Extent]]:
    """Runs of extents that are read together, in order."""
    window, size = list[Extent](), 0
    for extent in extents:
        if window and (size + extent.stored > SPAN_BYTES or len(window) == WINDOW_BLOBS):
            yield window
            window, size = [], 0
        window.append(extent)
        size += extent.stored
    if window:
        yield window


def spans(window: Sequence[Extent]) -> list[Span]:
    """The reads that bring every blob of a window; a blob that is wanted twice is read once."""
    found = list[Span]()
    for number in sorted(range(len(window)), key=lambda number: (window[number].pack, window[number].offset)):
        extent = window[number]
        end, last = extent.offset + extent.stored, found[-1] if found else None
        near = last is not None and last.pack == extent.pack and extent.offset - last.end < GAP_BYTES
        if last is None or not near or end - last.begin > SPAN_BYTES:
            found.append(last := Span(extent.pack, extent.offset, end))
        last.end = max(last.end, end)
        last.wanted.append(number)
    return found
