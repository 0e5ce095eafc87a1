"""Questions about the files of a view: one, a directory's children, everything below, what a pattern matches.

Directories are implied by keys; their size and hash come from sums of the map, so a listing costs what it shows. All
of it blocks and runs on a thread; what gives many answers is an iterator, read in batches by the servicer.
Elsewhere: where views come from (tree_views.py); bytes of files (contents.py); comparing views (diff.py).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice, takewhile
from typing import NamedTuple

from blake3 import blake3

from services.kit.sortedmap.compare import summary
from services.kit.sortedmap.rows import Row
from services.kit.sortedmap.tree import scan
from services.pfs.domain.files.collisions import Collision
from services.pfs.domain.files.file_errors import BadPage, PathNotInCommit
from services.pfs.domain.files.globs import Glob
from services.pfs.domain.files.paths import at, below, canonical
from services.pfs.operations.files.tree_views import TreeView
from services.pfs.operations.files.visits import Block, Match, Visit, one_by_one, walk

MOST_A_PAGE = 100_000


class FileStat(NamedTuple):
    """A file or directory. path: a directory's ends in "/". row: of a file."""

    path: bytes
    size: int
    digest: bytes
    datum: str = ""
    row: Row | None = None


Found = FileStat | Block


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
        return self._single(self.children_found(path, page))

    def children_found(self, path: str, page: Page) -> Iterator[Found]:
        """The same, as far as it can be in blocks."""
        page.check()
        self.check()
        clean = canonical(path)
        if own := self._own(clean):
            return self._paged(iter(own), page)
        low, high = below(clean)
        if page.reverse:
            return self._paged(self._children_back(low, high, page.marker), page)
        found = self._walk(max(low, page.marker), high, depth=low.count(b"/"))
        return self._paged(_below(found, len(low)), page)

    def walk(self, path: str, page: Page) -> Iterator[FileStat]:
        """The file or directory, then all below it. Raises BadPage, Collision, PathNotInCommit."""
        return self._single(self.walk_found(path, page))

    def walk_found(self, path: str, page: Page) -> Iterator[Found]:
        """The same, as far as it can be in blocks."""
        page.check()
        self.check()
        clean = canonical(path)
        if own := self._own(clean):
            return self._paged(iter(own), page)
        low, high = below(clean)
        if clean != "/" and next(self.rows(low, high), None) is None:
            raise PathNotInCommit(path, self.view.ref)
        if page.reverse:
            return self._paged(self._back(low, high, page.marker), page)
        found = self._walk(max(low, page.marker + b"\1") if page.marker else low, high)
        return self._paged(_below(found, len(low) - 1), page)  # directories above the one walked are no part of it

    def _own(self, clean: str) -> list[Visit]:
        """The file at a path, once for each datum that wrote it."""
        return [] if clean == "/" else [(clean.encode(), row) for row in self.rows(*at(clean))]

    def everything(self) -> Iterator[Visit]:
        """All there is but the root, in order. Raises Collision."""
        self.check()
        return one_by_one(_below(self._walk(b"/", b"0"), 1))

    def glob(self, glob: Glob, low: bytes = b"", high: bytes = b"") -> Iterator[Visit]:
        """What matches, in order, within low <= path < high (empty: no bound). Raises Collision."""
        return one_by_one(self._glob(glob, low, high))

    def glob_found(self, glob: Glob, low: bytes = b"", high: bytes = b"") -> Iterator[Found]:
        """The same, as far as it can be in blocks, with what is known of each."""
        return self._known(self._glob(glob, low, high))

    def _glob(self, glob: Glob, low: bytes, high: bytes) -> Iterator[Visit | Block]:
        self.check()
        match: Match = glob.expression.fullmatch if glob.ways <= 1 else glob.matches
        start, stop = glob.prefix or b"/", after(glob.prefix or b"/")
        found = self._walk(max(start, low), stop, glob.depth, match)
        for each in one_by_one(found) if high else found:
            if isinstance(each, Block):
                yield each
            elif high and each[0] >= high:
                return
            elif each[1] is not None or (each[0] >= low and match(each[0][:-1])):
                yield each

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
            for visit in one_by_one(self._walk(max(low, path), path[:-1] + b"0")):
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

    def _paged(self, found: Iterator[Visit | Block], page: Page) -> Iterator[Found]:
        if not page.marker and not page.number:
            return self._known(found)
        visits = one_by_one(found)
        if page.marker and page.reverse:
            visits = (visit for visit in visits if visit[0] < page.marker)
        elif page.marker:
            visits = (visit for visit in visits if visit[0] > page.marker)
        return map(self.stat, islice(visits, page.number or None))

    def _known(self, found: Iterable[Visit | Block]) -> Iterator[Found]:
        return (each if isinstance(each, Block) else self.stat(each) for each in found)

    def _single(self, found: Iterable[Found]) -> Iterator[FileStat]:
        for each in found:
            if isinstance(each, Block):
                yield from map(self.stat, each.visits())
            else:
                yield each

    def _walk(
        self, low: bytes, high: bytes, depth: int | None = None, match: Match | None = None
    ) -> Iterator[Visit | Block]:
        """Files of a span in order, each after the directories that it opens. depth, match: as for `walk`."""
        view = self.view
        return walk(view.reader, view.root, low, high, depth=depth, match=match, datum=self.datum)

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


def file_stat(row: Row) -> FileStat:
    key, _, size, digest, _ = row
    path, _, datum = key.partition(b"\0")
    return FileStat(path, size, digest, datum.decode(), row)


def _below(found: Iterable[Visit | Block], length: int) -> Iterator[Visit | Block]:
    """Without the directories whose path has at most so many bytes."""
    return (each for each in found if isinstance(each, Block) or len(each[0]) > length)


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
