"""What many keys will ask for, read side by side: one round of reads a level, however many keys there are.

Nothing happens with a source that is near, where reading costs little more than asking for what was read.
Elsewhere: reading side by side (packs.py); who knows what is asked for next (change.py, compare.py, tree.py).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import TypeVar

from services.kit.sortedmap.encoding.chunks import Leaf
from services.kit.sortedmap.packs import Reader
from services.kit.sortedmap.rows import Place, Root

AT_ONCE = 256  # ranges or nodes: decoded, so many take about 10 MB of what a reader keeps
T = TypeVar("T")


def bring(reader: Reader, root: Root, keys: Sequence[bytes], level: int = 0) -> None:
    """Bring the chunks of `level` that the keys fall in, and all above them. keys: ascending, at most AT_ONCE."""
    if not reader.is_far or root.place is None or len(keys) < 2:
        return
    found = [(root.id, root.place, 0, len(keys))]
    while True:
        reader.bring((id, place) for id, place, _, _ in found)
        below = list[tuple[bytes, Place, int, int]]()
        for id, place, start, stop in found:
            chunk = reader.chunk(id, place)
            if isinstance(chunk, Leaf) or chunk.level <= level:
                return  # all of them are of one level
            while start < stop:
                index = min(bisect_left(chunk.keys, keys[start]), len(chunk.keys) - 1)
                end = stop if index == len(chunk.keys) - 1 else bisect_right(keys, chunk.keys[index], start, stop)
                below.append((chunk.children[index].id, chunk.children[index].place, start, end))
                start = end
        found = below


def windows(items: Sequence[T], first: int = AT_ONCE) -> Iterator[Sequence[T]]:
    """Parts of a sequence of at most AT_ONCE; the first ones smaller, for a reader that may not want them all."""
    at, many = 0, first
    while at < len(items):
        yield items[at : at + many]
        at, many = at + many, min(2 * many, AT_ONCE)
