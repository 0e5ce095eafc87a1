"""Questions about the files of a view: one, a directory's children, everything below, what a pattern matches.

Directories are implied by keys; their size and hash come from sums of the map, so a listing costs what it shows. All
of it blocks and runs on a thread; what gives many answers is an iterator, read in batches by the servicer.
Elsewhere: where views come from (tree_views.py); bytes of files (contents.py); comparing views (diff.py).
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice, takewhile
from typing import NamedTuple

from blake3 import blake3

from services.kit.sortedmap.compare import summary
from services.kit.sortedmap.encoding.chunks import Leaf
from services.kit.sortedmap.rows import Row
from services.kit.sortedmap.tree import ranges, scan
from services.pfs.domain.files.collisions import Collision
from services.pfs.domain.files.file_errors import BadPage, PathNotInCommit
from services.pfs.domain.files.globs import Glob
from services.pfs.domain.files.paths import at, below, canonical
from services.pfs.operations.files.tree_views import TreeView

MOST_A_PAGE = 100_000
ALONE = 8  # rows of one range that are read one by one


class FileStat(NamedTuple):
    """A file or directory. path: a directory's ends in "/". row: of a file."""

    path: bytes
    size: int
    digest: bytes
    datum: str = ""
    row: Row | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a listing is wanted. marker: a stored path that is passed, or b""."""

    marker: bytes = b""
    number: int = 0
    reverse: bool = False

    def check(self) -> None:
        """Raises BadPage."""
        if self.number < 0:
            raise BadPage("number must not be negative")
        if self.reverse and self.number == 0:
            raise BadPage("number must be > 0 when reverse is true")
        if self.number > MOST_A_PAGE:
            raise BadPage(f"cannot return more than {MOST_A_PAGE} files at a time")


Visit = tuple[bytes, Row | None]
"""A path and its row, or a directory's path with "/" and None."""


@dataclass(frozen=True)
class Reading:
    """A view as one caller reads it. datum: only what this datum wrote; "" for everything."""

    view: TreeView
    datum: str = ""

    @property
    def at_hand(self) -> "Reading":
        """The same, for the event loop: what would have to be fetched raises NotAtHand."""
        return replace(self, view=replace(self.view, reader=self.view.reader.at_hand))

    def check(self) -> None:
        """Raises Collision when the tree holds a path that is a file and a directory."""
        trouble = self.view.trouble
        if trouble is not None:
            raise Collision(trouble.text)

    def inspect(self, path: str) -> FileStat | None:
        """The file or directory at a path in any spelling; None when there is none."""
        clean = canonical(path)
        if clean != "/":
            row = next(self.rows(*at(clean)), None)
            if row is not None:
                return file_stat(row)
        return self.directory(clean.rstrip("/").encode() + b"/")

    def directory(self, path: bytes) -> FileStat | None:
        """A directory; None when nothing lies in it. path: with its "/"."""
        low, high = path, path[:-1] + b"0"
        if self.datum:
            digest, size, row = blake3(), 0, None
            for row in self.rows(low, high):
                digest.update(row.key + row.digest)
                size += row.size
            return None if row is None else FileStat(path, size, digest.digest())
        found = summary(self.view.reader, self.view.root, low, high)
        return FileStat(path, found.size_bytes, found.id) if found.rows else None

    def stat(self, visit: Visit) -> FileStat:
        path, row = visit
        if row is not None:
            return file_stat(row)
        found = self.directory(path)
        assert found is not None, "what is visited has files"
        return found

    def children(self, path: str, page: Page) -> Iterator[FileStat]:
        """Of a directory, or the file itself; nothing when the path is missing. Raises BadPage, Collision."""
        page.check()
        self.check()
        clean = canonical(path)
        if own := self._own(clean):
            return self._paged(iter(own), page)
        low, high = below(clean)
        found = self._children_back(low, high, page.marker) if page.reverse else self._children(low, high, page.marker)
        return self._paged(found, page)

    def walk(self, path: str, page: Page, named: str | None = None) -> Iterator[FileStat]:
        """The file or directory, then all below it. Raises BadPage, Collision, PathNotInCommit."""
        page.check()
        self.check()
        clean = canonical(path)
        if own := self._own(clean):
            return self._paged(iter(own), page)
        low, high = below(clean)
        if clean != "/" and next(self.rows(low, high), None) is None:
            raise PathNotInCommit(named or path, self.view.ref)
        visits = self._back(low, high, page.marker) if page.reverse else self._on(low, high, page.marker)
        return self._paged(visits, page)

    def _own(self, clean: str) -> list[Visit]:
        """The file at a path, once for each datum that wrote it."""
        return [] if clean == "/" else [(clean.encode(), row) for row in self.rows(*at(clean))]

    def everything(self) -> Iterator[Visit]:
        """All there is but the root, in order. Raises Collision."""
        self.check()
        return (visit for visit in self._visits(b"/", b"0", None) if visit[0] != b"/")

    def glob(self, glob: Glob, low: bytes = b"", high: bytes = b"") -> Iterator[Visit]:
        """What matches, in order, within low <= path < high (empty: no bound). Raises Collision."""
        self.check()
        match: Callable[[bytes], object] = glob.expression.fullmatch if glob.ways <= 1 else glob.matches
        start, stop = glob.prefix or b"/", after(glob.prefix or b"/")
        for path, row in self._visits(max(start, low), stop, glob.depth, match):
            if high and path >= high:
                return
            if path >= low and (row is not None or match(path[:-1])):
                yield path, row

    def glob_below(self, glob: Glob, low: bytes = b"", high: bytes = b"") -> Iterator[Visit]:
        """What matches and everything below matched directories, once and in order, within low <= path < high.

        A directory that opens before `low` is left out; what lies in it from `low` on is not. Raises Collision.
        """
        self.check()
        open_dirs: Iterable[Visit] = ((path, None) for path in _above(low, b"/") if self._matched(glob, path))
        done = b""
        for path, row in chain(open_dirs, self.glob(glob, low, high)):
            if done and path.startswith(done):
                continue
            if row is not None:
                yield path, row
                continue
            done = path
            for visit in self._visits(max(low, path), path[:-1] + b"0", None):
                if high and visit[0] >= high:
                    break
                if visit[0] >= max(low, path):
                    yield visit

    def _matched(self, glob: Glob, directory: bytes) -> bool:
        return glob.matches(directory[:-1]) and self._has(directory)

    def rows(self, low: bytes, high: bytes | None, *, reverse: bool = False) -> Iterator[Row]:
        """Rows of the datum in a span of keys."""
        found = scan(self.view.reader, self.view.root, low, high, reverse=reverse)
        if not self.datum:
            return found
        suffix = b"\0" + self.datum.encode()
        return (row for row in found if row.key.endswith(suffix))

    def _paged(self, visits: Iterator[Visit], page: Page) -> Iterator[FileStat]:
        if page.marker and page.reverse:
            visits = (visit for visit in visits if visit[0] < page.marker)
        elif page.marker:
            visits = (visit for visit in visits if visit[0] > page.marker)
        return map(self.stat, islice(visits, page.number or None))

    def _visits(
        self, low: bytes, high: bytes, depth: int | None, match: Callable[[bytes], object] | None = None
    ) -> Iterator[Visit]:
        """Files of a span in order, each after the directories that it opens.

        depth: what lies deeper than so many names is passed over; its directory at that depth is still given.
        match: files for which it says no are passed over, before their row is read.
        """
        suffix = b"\0" + self.datum.encode() if self.datum else b""
        parent, position = b"\xff", low
        while True:
            again = None
            for leaf in ranges(self.view.reader, self.view.root, position, high):
                keys, rows = leaf.keys, _Rows(leaf)
                index, stop = bisect_left(keys, position), bisect_left(keys, high)
                while index < stop:
                    key = keys[index]
                    index += 1
                    if suffix and not key.endswith(suffix):
                        continue
                    end = key.index(0)
                    here = key[: key.rindex(b"/", 0, end)]
                    if here != parent:
                        if depth is not None and here.count(b"/") >= depth:
                            here = b"/".join(here.split(b"/")[: depth + 1])
                            yield from _opened(parent, here)
                            parent, position = here, here + b"0"
                            index = bisect_left(keys, position, index - 1)
                            if index < stop:
                                continue
                            again = position
                            break
                        yield from _opened(parent, here)
                        parent = here
                    path = key[:end]
                    if match is None or match(path):
                        yield path, rows[index - 1]
                if again is not None:
                    break
            if again is None:
                return
            position = again

    def _on(self, low: bytes, high: bytes, marker: bytes) -> Iterator[Visit]:
        """A directory, and what lies below it, from just after the marker on."""
        start = max(low, marker + b"\1") if marker else low
        first = len(low) - 1
        for visit in self._visits(start, high, None):
            if len(visit[0]) > first:  # directories above the one walked are not part of the walk
                yield visit

    def _back(self, low: bytes, high: bytes, marker: bytes) -> Iterator[Visit]:
        """The same from just before the marker backwards: a directory comes after what lies in it."""
        stop = min(high, marker + b"\0") if marker else high
        open_dirs = [part for part in _above(marker, low) if part < marker and self._has(part)] if marker else []
        for row in self.rows(low, stop, reverse=True):
            path = row.key[: row.key.index(0)]
            while open_dirs and not path.startswith(open_dirs[-1]):
                yield open_dirs.pop(), None
            for part in _above(path, low):
                if not open_dirs or len(part) > len(open_dirs[-1]):
                    open_dirs.append(part)
            yield path, row
        while open_dirs:
            yield open_dirs.pop(), None

    def _has(self, directory: bytes) -> bool:
        return next(self.rows(directory, directory[:-1] + b"0"), None) is not None

    def _children(self, low: bytes, high: bytes, marker: bytes) -> Iterator[Visit]:
        position: bytes | None = max(low, marker) if marker else low
        while position is not None:
            start, position = position, None
            for row in self.rows(start, high):
                path = row.key[: row.key.index(0)]
                slash = path.find(b"/", len(low))
                if slash < 0:
                    yield path, row
                    continue
                yield path[: slash + 1], None
                position = path[:slash] + b"0"
                break

    def _children_back(self, low: bytes, high: bytes, marker: bytes) -> Iterator[Visit]:
        position: bytes | None = min(high, marker) if marker else high
        inside = marker.find(b"/", len(low)) if marker.startswith(low) else -1
        if inside >= 0 and marker[: inside + 1] < marker and self._has(marker[: inside + 1]):
            yield marker[: inside + 1], None
            position = marker[: inside + 1]
        while position is not None:
            stop, position = position, None
            for row in self.rows(low, stop, reverse=True):
                path = row.key[: row.key.index(0)]
                slash = path.find(b"/", len(low))
                if slash < 0:
                    yield path, row
                    continue
                yield path[: slash + 1], None
                position = path[: slash + 1]
                break


class _Rows:
    """Rows of a range: the first few one by one, then the rest of them together, which costs each of them less."""

    def __init__(self, leaf: Leaf) -> None:
        self._leaf, self._asked = leaf, 0
        self._rest: list[Row] = []

    def __getitem__(self, index: int) -> Row:
        if self._rest:
            return self._rest[index - len(self._leaf.keys)]
        self._asked += 1
        if self._asked > ALONE:
            self._rest = list(self._leaf.rows(index))
            return self._rest[0]
        return self._leaf.row(index)


def file_stat(row: Row) -> FileStat:
    key, _, size, digest, _ = row
    path, _, datum = key.partition(b"\0")
    return FileStat(path, size, digest, datum.decode(), row)


def _opened(before: bytes, now: bytes) -> Iterator[Visit]:
    """The directories that `now` (without its "/") opens after `before`, outermost first."""
    names = now.split(b"/")
    for count in range(1, len(names) + 1):
        directory = b"/".join(names[:count])
        if before != directory and not before.startswith(directory + b"/"):
            yield directory + b"/", None


def _above(path: bytes, top: bytes) -> list[bytes]:
    """The directories above a path that are `top` or below it, outermost first. top: with its "/"."""
    if not path.startswith(top):
        return []
    found, slash = [], len(top) - 1
    while slash >= 0:
        found.append(path[: slash + 1])
        slash = path.find(b"/", slash + 1)
    return list(takewhile(lambda part: len(part) < len(path), found))


def after(prefix: bytes) -> bytes:
    """The first bytes that follow everything that begins with `prefix`."""
    return prefix[:-1] + bytes([prefix[-1] + 1])
