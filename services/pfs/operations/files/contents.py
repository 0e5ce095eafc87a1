"""The bytes of files: one file's, or many, one after the other or as a tar stream.

Elsewhere: which files (read.py); reading and checking blobs (storage/content/packs.py).
"""

import tarfile
from collections.abc import Iterable, Iterator
from itertools import islice

from services.kit.packs import Bytes
from services.kit.sortedmap.rows import Row
from services.pfs.domain.errors import Malformed
from services.pfs.domain.files.entries import Content, Extent
from services.pfs.domain.files.file_errors import FileNotFound, NotARegularFile, SeveralFiles
from services.pfs.domain.files.globs import SPECIAL, compile_glob
from services.pfs.domain.files.paths import at, canonical
from services.pfs.domain.keys import CommitRef
from services.pfs.operations.files.read import FileStat, Reading, file_stat
from services.pfs.operations.files.stores import Stores
from services.pfs.operations.files.visits import Visit

MESSAGE_BYTES = 2 << 20  # what one answer of a stream carries, at most
PIECE_BYTES = 256 << 10
RUN_BYTES = 4 << 20  # a store far away is asked for so much together
_BATCH_FILES = 256  # how many files of a tar are looked at together, so that their reads can be joined


def only_file(reading: Reading, pattern: str, asked: CommitRef, low: str = "", high: str = "") -> FileStat:
    """The one regular file that a pattern selects. Raises FileNotFound, NotARegularFile, SeveralFiles, BadGlob."""
    if not low and not high and SPECIAL.isdisjoint(pattern) and "\\" not in pattern:
        found = list(map(file_stat, reading.rows(*at(canonical(pattern)))))
        if not found and reading.inspect(pattern) is not None:
            raise NotARegularFile()
    else:
        visits = reading.glob(compile_glob(pattern), low.encode(), high.encode())
        first, second = next(visits, None), next(visits, None)
        if first is not None and first[1] is None:
            raise NotARegularFile()
        found = [file_stat(row) for _, row in filter(None, (first, second)) if row is not None]
        if second is not None and len(found) < 2:
            raise SeveralFiles()
    if not found:
        raise FileNotFound(pattern, asked)
    if len(found) > 1:
        raise SeveralFiles()
    return found[0]


def file_bytes(stores: Stores, content: Content, offset: int = 0) -> Iterator[bytes]:
    """A file's bytes from `offset` on, in pieces of at most MESSAGE_BYTES. Raises Malformed, Corrupt."""
    if offset < 0:
        raise Malformed("offset must not be negative")
    skip, first = offset, 0
    while first < len(content.extents) and skip >= content.extents[first].size:
        skip, first = skip - content.extents[first].size, first + 1
    for data in stores.content.read(islice(content.extents, first, None)):
        view = memoryview(data)[skip:]
        skip = 0
        for start in range(0, len(view), MESSAGE_BYTES):
            yield bytes(view[start : start + MESSAGE_BYTES])


def part_bytes(stores: Stores, content: Content, first: int, size: int) -> Iterator[Bytes]:
    """`size` bytes of a file from `first` on, in pieces of at most PIECE_BYTES, for readers that may be slow.

    A few MiB of it are in memory at a time.  Raises Corrupt.
    """
    last, begin = first + size, 0
    wanted: list[tuple[Extent, int]] = []
    for extent in content.extents:
        if begin < last and begin + extent.size > first:
            wanted.append((extent, begin))
        begin += extent.size
    for run in _runs(wanted, RUN_BYTES if stores.objects.root is None else 0):
        for (_, begin), data in zip(run, stores.content.read(extent for extent, _ in run), strict=True):
            view = memoryview(data)[max(0, first - begin) : last - begin]
            for start in range(0, len(view), PIECE_BYTES):
                yield view[start : start + PIECE_BYTES]


def _runs(extents: list[tuple[Extent, int]], most: int) -> Iterator[list[tuple[Extent, int]]]:
    """Neighbours that are read together: one at least, and of `most` bytes at most."""
    run, size = list[tuple[Extent, int]](), 0
    for extent, begin in extents:
        if run and size + extent.size > most:
            yield run
            run, size = [], 0
        run.append((extent, begin))
        size += extent.size
    if run:
        yield run


def pieces(stores: Stores, reading: Reading, rows: Iterable[Row]) -> Iterator[tuple[str, bytes]]:
    """Path and bytes of each file, a big one in several pieces of at most MESSAGE_BYTES. Raises Corrupt."""
    rows = iter(rows)
    while batch := [(file_stat(row).path.decode(), reading.view.content(row)) for row in islice(rows, _BATCH_FILES)]:
        data = stores.content.read(extent for _, content in batch for extent in content.extents)
        for path, content in batch:
            if not content.extents:
                yield path, b""
            for extent in content.extents:
                whole = next(data)
                for start in range(0, extent.size, MESSAGE_BYTES):
                    yield path, bytes(whole[start : start + MESSAGE_BYTES])


def tar(stores: Stores, reading: Reading, visits: Iterable[Visit]) -> Iterator[bytes]:
    """A tar stream of these files and directories, in pieces of about MESSAGE_BYTES."""
    pending = bytearray()
    for piece in _tar_pieces(stores, reading, visits):
        if len(pending) + len(piece) > MESSAGE_BYTES and pending:
            yield bytes(pending)
            pending.clear()
        if len(piece) >= MESSAGE_BYTES:
            yield from (bytes(piece[at : at + MESSAGE_BYTES]) for at in range(0, len(piece), MESSAGE_BYTES))
        else:
            pending += piece
    yield bytes(pending) + bytes(2 * tarfile.BLOCKSIZE)


def _tar_pieces(stores: Stores, reading: Reading, visits: Iterable[Visit]) -> Iterator[Bytes]:
    batch: list[tuple[bytes, Content | None]] = []
    for path, row in visits:
        batch.append((path, None if row is None else reading.view.content(row)))
        if len(batch) == _BATCH_FILES:
            yield from _tar_batch(stores, batch)
            batch = []
    yield from _tar_batch(stores, batch)


def _tar_batch(stores: Stores, batch: list[tuple[bytes, Content | None]]) -> Iterator[Bytes]:
    data = stores.content.read(extent for _, content in batch if content for extent in content.extents)
    for path, content in batch:
        yield _header(path, content)
        if content is not None:
            for _ in content.extents:
                yield next(data)
            yield bytes(-content.size % tarfile.BLOCKSIZE)


def _header(path: bytes, content: Content | None) -> bytes:
    info = tarfile.TarInfo(path.decode())
    info.mode = info.uid = info.gid = 0
    info.mtime = 0
    if content is None:
        info.type = tarfile.DIRTYPE
    else:
        info.size = content.size
    return info.tobuf(tarfile.GNU_FORMAT)
