"""Walking over a tree: files in order, each after the directories that it opens.

Files that lie beside each other in one stored range come as a block, by columns, which costs each of them a fraction
of what a file of its own does. All of it blocks and runs on a thread.
Elsewhere: what is asked of a view (read.py); blocks as messages (servicers/wire/file_bytes.py).
"""

from bisect import bisect_left
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from struct import Struct

from services.kit.sortedmap.encoding.chunks import Leaf
from services.kit.sortedmap.packs import Reader
from services.kit.sortedmap.rows import Root, Row
from services.kit.sortedmap.tree import ranges

WORTH_A_BLOCK = 8  # files
MOST_A_BLOCK = 1024
ALONE = 8  # rows of a block that are made one by one
_END = b"\0\0"  # no key holds it: one zero byte stands between a path and a datum tag, which is never empty
_DIGEST = Struct("32s")
Match = Callable[[bytes], object]

Visit = tuple[bytes, Row | None]
"""A path and its row, or a directory's path with "/" and None."""


@dataclass(frozen=True, slots=True)
class Block:
    """Files of one directory and one datum, in order; never empty."""

    leaf: Leaf
    paths: list[bytes]
    at: Sequence[int]
    """Where in the range their rows are, ascending."""
    datum: bytes

    @property
    def _is_run(self) -> bool:
        return self.at[-1] - self.at[0] + 1 == len(self.at)

    @property
    def sizes(self) -> Iterable[int]:
        sizes = self.leaf.sizes
        return sizes[self.at[0] : self.at[-1] + 1] if self._is_run else [sizes[index] for index in self.at]

    @property
    def digests(self) -> list[bytes]:
        digests = self.leaf.digests
        if self._is_run:
            return [digest for (digest,) in _DIGEST.iter_unpack(digests[32 * self.at[0] : 32 * self.at[-1] + 32])]
        return [digests[32 * index : 32 * index + 32] for index in self.at]

    def visits(self) -> Iterator[Visit]:
        """One by one."""
        first = map(self.leaf.row, self.at[:ALONE])
        return zip(self.paths, chain(first, self._rest()), strict=True)

    def _rest(self) -> Iterator[Row]:
        if len(self.at) <= ALONE:
            return
        begin = self.at[ALONE]
        rows = list(self.leaf.rows(begin, self.at[-1] + 1))
        yield from rows if self._is_run else (rows[index - begin] for index in self.at[ALONE:])


def walk(
    reader: Reader, root: Root, low: bytes, high: bytes, *, depth: int | None, match: Match | None, datum: str
) -> Iterator[Visit | Block]:
    """Files with low <= key < high, and the directories that they open.

    depth: what lies deeper than so many names is passed over; its directory at that depth is still given.
    match: files for which it says no are passed over, before their row is read. datum: files of others are, too.
    """
    walking, position = _Walking(depth, match, b"\0" + datum.encode() if datum else b""), low
    while True:
        for leaf in ranges(reader, root, position, high):
            beyond = yield from walking.through(leaf, position, high)
            if beyond is not None:
                position = beyond
                break
        else:
            return


@dataclass
class _Walking:
    """One walk. suffix: which keys count, by how they end. parent: the directory of the last file, without its "/"."""

    depth: int | None
    match: Match | None
    suffix: bytes
    parent: bytes = b"\xff"

    def through(self, leaf: Leaf, low: bytes, high: bytes) -> Generator[Visit | Block, None, bytes | None]:
        """What a stored range holds. Returns where to go on when what follows the range is passed over, too."""
        keys = leaf.keys
        index, stop = bisect_left(keys, low), bisect_left(keys, high)
        tried = index
        while index < stop:
            key = keys[index]
            if not key.endswith(self.suffix):
                index += 1
                continue
            end = key.index(0)
            here = key[: key.rindex(b"/", 0, end)]
            if here != self.parent and (shut := self._shut(here)) is not None:
                yield from self._enter(shut)
                index = bisect_left(keys, shut + b"0", index)
                if index >= stop:
                    return shut + b"0"
                continue
            yield from self._enter(here)
            if index >= tried:
                block, tried = _block(leaf, index, stop, here)
                if block is not None:
                    index = tried
                    if (wanted := _matching(block, self.match)) is not None:
                        yield wanted
                    continue
            path = key[:end]
            if self.match is None or self.match(path):
                yield path, leaf.row(index)
            index += 1
        return None

    def _shut(self, here: bytes) -> bytes | None:
        """The directory in which a directory lies, or which it is, whose files are deeper than is wanted."""
        if self.depth is None or here.count(b"/") < self.depth:
            return None
        return b"/".join(here.split(b"/")[: self.depth + 1])

    def _enter(self, here: bytes) -> Iterator[Visit]:
        """The directories that a directory opens."""
        if here != self.parent:
            yield from _opened(self.parent, here)
            self.parent = here


def one_by_one(found: Iterable[Visit | Block]) -> Iterator[Visit]:
    """The same without blocks."""
    for each in found:
        if isinstance(each, Block):
            yield from each.visits()
        else:
            yield each


def _block(leaf: Leaf, index: int, stop: int, here: bytes) -> tuple[Block | None, int]:
    """The files from `index` on that lie in the directory `here`, as far as they make a block, and the index behind.

    No block: up to the index there is none, for the files are few, of several datums, or have directories among them.
    """
    stop = min(stop, index + MOST_A_BLOCK)
    if not leaf.keys[stop - 1].startswith(here + b"/"):
        stop = bisect_left(leaf.keys, here + b"0", index, stop)
    if stop - index < WORTH_A_BLOCK:
        return None, stop
    tail = leaf.keys[index][leaf.keys[index].index(0) :]
    ended = b"".join((_END.join(leaf.keys[index:stop]), _END))
    paths = ended.split(tail + _END)
    paths.pop()  # what follows the last one
    if len(paths) != stop - index or ended.count(b"/") != len(paths) * (here.count(b"/") + 1):
        return None, stop
    return Block(leaf, paths, range(index, stop), tail[1:]), stop


def _matching(block: Block, match: Match | None) -> Block | None:
    """What of it matches."""
    if match is None:
        return block
    hits = list(filter(match, block.paths))
    if len(hits) == len(block.paths):
        return block
    if not hits:
        return None
    wanted = set(hits)
    return Block(
        block.leaf, hits, [at for at, path in zip(block.at, block.paths, strict=True) if path in wanted], block.datum
    )


def _opened(before: bytes, now: bytes) -> Iterator[Visit]:
    """The directories that `now` (without its "/") opens after `before`, outermost first."""
    names = now.split(b"/")
    for count in range(1, len(names) + 1):
        directory = b"/".join(names[:count])
        if before != directory and not before.startswith(directory + b"/"):
            yield directory + b"/", None
