"""The short way out for many files: where their bytes lie is asked of the service, and they are read from the packs.

Every blob is held against its hash, since no service looks at it on the way. Needs the package blake3.
Elsewhere: reading from packs (reading.py).
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from datamill.bulk.local import inside
from datamill.bulk.reading import FromFolder, FromUrls, NotPlain, Part
from datamill.bulk.store import Reach
from datamill.errors import Corrupt
from datamill.transport import Calls
from datamill.wire import content_v1_pb2 as content
from datamill.wire import pfs_v2_pb2 as pfs

TELL_FILES, TELL_BYTES = 200, 4 << 20  # progress is told once so much was done

Seen = Callable[[int, int], None]


def fetch(calls: Calls, file: pfs.File, reach: Reach, folder: Path, below: str, seen: Seen) -> int:
    """Write the files at and below a path into `folder`, their paths taken from `below` on. Returns how many.

    Raises NotPlain, after which another way may begin anew; Corrupt, FileMissing.
    """
    reader: FromFolder | FromUrls
    if reach.signed is not None:
        reader = FromUrls(reach.signed)
    elif reach.root is not None:
        reader = FromFolder(reach.root)
    else:
        raise NotPlain
    wanted = [content.Wanted(commit=file.commit, path=file.path)]
    request = content.ResolveFilesRequest(wanted=wanted, with_urls=reach.signed is not None)

    def parts() -> Iterator[Part[content.ResolvedFile]]:
        for batch in calls.stream(calls.content.ResolveFiles, request):
            reader.learn(batch.packs)
            for found in batch.files:
                yield found, None  # also for a file that has no bytes
                yield from ((found, extent) for extent in found.content.extents)

    folder.mkdir(parents=True, exist_ok=True)
    target = _Target(folder, below, seen)
    try:
        for found, data in reader.read(parts()):
            if data is None:
                target.begin(found)
            else:
                target.write(data)
        return target.end()
    finally:
        target.close()
        reader.close()


class _Target:
    """Files being written, one after another."""

    def __init__(self, folder: Path, below: str, seen: Seen) -> None:
        self._folder, self._below, self._seen = folder, below, seen
        self._made: set[Path] = set()
        self._handle = -1
        self._count = self._files = self._bytes = 0

    def begin(self, found: content.ResolvedFile) -> None:
        self.close()
        path = inside(self._folder, found.path, self._below)
        if path is None:
            raise Corrupt(f"the server sent {found.path!r} as a file")
        if path.parent not in self._made:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(path.parent)
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        self._count += 1
        self._files += 1
        if self._files >= TELL_FILES or self._bytes >= TELL_BYTES:
            self._tell()

    def write(self, data: bytes) -> None:
        self._bytes += len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._handle, view) :]

    def end(self) -> int:
        self._tell()
        return self._count

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _tell(self) -> None:
        self._seen(self._files, self._bytes)
        self._files = self._bytes = 0
