"""A zip that is written from front to back, a piece at a time; sizes and checks follow each file's bytes.

Files are packed lightly, and those whose beginning would not shrink not at all. Elsewhere: which files (archives.py).
"""

import zipfile
import zlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain, islice

from services.kit.errors import Exhausted
from services.kit.packs import Bytes
from services.kit.sortedmap.rows import Row
from services.pfs.domain.files.entries import Content
from services.pfs.domain.files.file_errors import SeveralFiles
from services.pfs.operations.files.read import file_stat
from services.pfs.operations.files.stores import Stores
from services.pfs.operations.files.tree_views import TreeView

LIGHTLY, NOT_AT_ALL = 1, 0
SAMPLE_BYTES = 32 << 10
WORTH = 0.9  # of the sample is what is left at most
PIECE_BYTES = 256 << 10
BATCH_FILES = 256  # looked at together, so that their reads can be joined
MOST_FILES = 200_000  # a zip ends in a list of its files, which is kept until then
MODE = 0o644 << 16
EARLIEST = datetime(1980, 1, 1, tzinfo=UTC)  # what a zip can say


class Full(Exhausted):
    def __init__(self) -> None:
        super().__init__(f"an archive holds {MOST_FILES} files at most; the others are missing")


class Zip:
    """Blocks; for one thread at a time."""

    def __init__(self, stores: Stores) -> None:
        self._stores, self._sink = stores, _Sink()
        self._file = zipfile.ZipFile(self._sink, "w", zipfile.ZIP_DEFLATED, allowZip64=True)
        self._count = 0

    def add(self, folder: str, view: TreeView, rows: Iterable[Row]) -> Iterator[bytes]:
        """Write these files below `folder`; gives what can be sent. Raises Corrupt, SeveralFiles, Full."""
        rows, last, modified = iter(rows), b"", view.committed
        while batch := [(file_stat(row).path, view.content(row)) for row in islice(rows, BATCH_FILES)]:
            data = self._stores.content.read(extent for _, content in batch for extent in content.extents)
            for path, content in batch:
                if path == last:
                    raise SeveralFiles()
                self._count += 1
                if self._count > MOST_FILES:
                    raise Full()
                last = path
                yield from self._one(_info(folder + path.decode(), modified, content), data, len(content.extents))

    def _one(self, info: zipfile.ZipInfo, data: Iterator[Bytes], extents: int) -> Iterator[bytes]:
        pieces = islice(data, extents)
        first = memoryview(next(pieces, b""))
        setattr(info, "_compresslevel", _level(first))  # noqa: B010 - its public name came with Python 3.13
        with self._file.open(info, "w") as file:
            for view in chain((first,), map(memoryview, pieces)):
                for start in range(0, len(view), PIECE_BYTES):
                    file.write(view[start : start + PIECE_BYTES])
                    yield from self._sink.filled()
        yield from self._sink.filled()

    def note(self, name: str, text: str) -> None:
        """Put a short text in, which is sent with what follows."""
        self._file.writestr(name, text)

    def close(self) -> list[bytes]:
        """The zip's last bytes."""
        self._file.close()
        return [self._sink.taken()]


class _Sink:
    """What the zip was written to and has not left yet. It cannot be wound back."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def write(self, data: bytes) -> int:
        self._pending += data
        return len(data)

    def flush(self) -> None:
        """Nothing waits anywhere else."""

    def close(self) -> None:
        """It holds nothing that must be given back."""

    def filled(self) -> Iterator[bytes]:
        """All there is, once it is worth sending."""
        if len(self._pending) >= PIECE_BYTES:
            yield self.taken()

    def taken(self) -> bytes:
        data = bytes(self._pending)
        self._pending.clear()
        return data


def _info(name: str, modified: datetime | None, content: Content) -> zipfile.ZipInfo:
    said = max(EARLIEST, (modified or EARLIEST).astimezone(UTC)).timetuple()
    info = zipfile.ZipInfo(name, (said.tm_year, said.tm_mon, said.tm_mday, said.tm_hour, said.tm_min, said.tm_sec))
    info.compress_type, info.file_size, info.external_attr = zipfile.ZIP_DEFLATED, content.size, MODE
    return info


def _level(beginning: memoryview) -> int:
    sample = beginning[:SAMPLE_BYTES]
    return LIGHTLY if len(zlib.compress(sample, LIGHTLY)) <= WORTH * len(sample) else NOT_AT_ALL
