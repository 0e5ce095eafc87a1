"""What differs between two views, in order of path, directories included.

The maps say which keys differ without opening what is equal, so a comparison costs the change and not the trees.
Elsewhere: questions about one view (read.py).
"""

from collections.abc import Iterator
from itertools import islice

from services.kit.sortedmap.ahead import bring, windows
from services.kit.sortedmap.compare import diff
from services.kit.sortedmap.rows import Row
from services.pfs.domain.files.globs import Glob
from services.pfs.domain.files.paths import at, below, canonical
from services.pfs.operations.files.read import FileStat, Page, Reading, after, file_stat
from services.pfs.storage.content.trees import Overlay

Pair = tuple[FileStat | None, FileStat | None]
"""The new and the old side; None where there is nothing."""
FIRST_LOOKED_AT, MOST_LOOKED_AT = 16, 128  # differences whose directories are brought together


def changes(new: Reading, old: Reading, new_path: str, old_path: str) -> Iterator[Pair]:
    """Differences below the two paths. Raises Collision."""
    new.check()
    old.check()
    path = canonical(new_path)
    if path != canonical(old_path) or new.datum or old.datum:
        return _walked(new, old, new_path, old_path)
    whole = below(path)
    return _mapped(new, old, [whole] if path == "/" else [at(path), whole], whole[0], None)


def matching(new: Reading, old: Reading, glob: Glob) -> Iterator[Pair]:
    """Differences among the files and directories that the pattern matches. Raises Collision."""
    new.check()
    old.check()
    start = glob.prefix or b"/"
    return _mapped(new, old, [(start, after(start))], b"/", glob)


def _mapped(
    new: Reading, old: Reading, spans: list[tuple[bytes, bytes]], top: bytes, glob: Glob | None
) -> Iterator[Pair]:
    """Differences in the spans. top: directories are told from this one on, with its "/"."""
    opened: set[bytes] = set()
    for start, stop in spans:
        for before, after_it in _looked_at(new, old, _by_path(new, old, start, stop), top):
            either = before or after_it
            assert either is not None
            for directory in _above(either.path, top):
                if directory not in opened:
                    opened = {kept for kept in opened if directory.startswith(kept)} | {directory}
                    if glob is None or glob.matches(directory[:-1]):
                        pair = new.directory(directory), old.directory(directory)
                        if pair[0] is None or pair[1] is None or pair[0].digest != pair[1].digest:
                            yield pair
            if glob is None or glob.matches(either.path):
                yield after_it, before


def _looked_at(new: Reading, old: Reading, pairs: Iterator[Pair], top: bytes) -> Iterator[Pair]:
    """The same pairs; where trees are far away, what names their directories is read side by side before."""
    if not new.view.reader.is_far:
        yield from pairs
        return
    many = FIRST_LOOKED_AT
    while some := list(islice(pairs, many)):
        paths = [either.path for pair in some if (either := pair[0] or pair[1])]
        directories = {directory for path in paths for directory in _above(path, top)}
        edges = sorted(directories | {directory[:-1] + b"0" for directory in directories})
        for view in (new.view, old.view):
            for keys in windows(edges):
                bring(view.reader, view.root, keys)
        yield from some
        many = min(2 * many, MOST_LOOKED_AT)


def _by_path(new: Reading, old: Reading, low: bytes, high: bytes) -> Iterator[tuple[FileStat | None, FileStat | None]]:
    """(before, after) of each path whose content differs; another datum tag alone is no difference."""
    path, before, after = b"", None, None
    for key, was, now in _differences(new, old, low, high):
        here = key[: key.index(0)]
        if here != path:
            if _differ(before, after):
                yield before, after
            path, before, after = here, None, None
        before = before or (None if was is None else file_stat(was))
        after = after or (None if now is None else file_stat(now))
    if _differ(before, after):
        yield before, after


def _differences(new: Reading, old: Reading, low: bytes, high: bytes) -> Iterator[tuple[bytes, Row | None, Row | None]]:
    readers = {new.view.reader, old.view.reader}
    reader = next((one for one in readers if isinstance(one, Overlay)), new.view.reader)  # it reads what is stored, too
    if all(one is reader or not isinstance(one, Overlay) for one in readers):
        return diff(reader, old.view.root, new.view.root, low, high)
    return _merged(old.rows(low, high), new.rows(low, high))  # each lies in a memory of its own


def _merged(left: Iterator[Row], right: Iterator[Row]) -> Iterator[tuple[bytes, Row | None, Row | None]]:
    was, now = next(left, None), next(right, None)
    while was is not None or now is not None:
        if now is None or (was is not None and was.key < now.key):
            assert was is not None
            yield was.key, was, None
            was = next(left, None)
        elif was is None or now.key < was.key:
            yield now.key, None, now
            now = next(right, None)
        else:
            if was.logical() != now.logical():
                yield was.key, was, now
            was, now = next(left, None), next(right, None)


def _differ(before: FileStat | None, after: FileStat | None) -> bool:
    if before is None or after is None:
        return before is not after
    return before.digest != after.digest


def _above(path: bytes, top: bytes) -> list[bytes]:
    if not path.startswith(top):
        return []
    found, slash = [], len(top) - 1
    while slash >= 0:
        found.append(path[: slash + 1])
        slash = path.find(b"/", slash + 1)
    return found


def _walked(new: Reading, old: Reading, new_path: str, old_path: str) -> Iterator[Pair]:
    """Two walks merged by literal path."""
    right, left = _everything(new, new_path), _everything(old, old_path)
    now, was = next(right, None), next(left, None)
    while now is not None or was is not None:
        if was is None or (now is not None and now.path < was.path):
            yield now, None
            now = next(right, None)
        elif now is None or was.path < now.path:
            yield None, was
            was = next(left, None)
        else:
            if now.digest != was.digest:
                yield now, was
            now, was = next(right, None), next(left, None)


def _everything(reading: Reading, path: str) -> Iterator[FileStat]:
    return iter(()) if reading.inspect(path) is None else reading.walk(path, Page())
