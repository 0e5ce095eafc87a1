"""The short way out for many files: where their bytes lie is asked of the service, and they are read from the packs.

Every blob is held against its hash, since no service looks at it on the way; files that are there already are kept.
Needs the package blake3. Elsewhere: reading from packs (reading.py), writing files (landing.py).
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from datamill.bulk.fetching.landing import Partial, Writers, is_there
from datamill.bulk.fetching.places import inside
from datamill.bulk.fetching.reading import FromFolder, FromUrls, NotPlain, Part
from datamill.bulk.store import Reach
from datamill.errors import Corrupt
from datamill.transport import Calls
from datamill.wire import content_v1_pb2 as content
from datamill.wire import pfs_v2_pb2 as pfs

TELL_FILES, TELL_BYTES = 200, 4 << 20  # progress is told once so much was done

Seen = Callable[[int, int], None]
PathOf = Callable[[str], Path]
"""Where a path of the commit goes. Raises Corrupt."""


def below(folder: Path, top: str) -> PathOf:
    """Files go into a folder, their paths taken from `top` on."""

    def place(path: str) -> Path:
        found = inside(folder, path, top)
        if found is None:
            raise Corrupt(f"the server sent {path!r} as a file")
        return found

    return place


def fetch(calls: Calls, file: pfs.File, reach: Reach, place: PathOf, seen: Seen) -> int:
    """Write the files at and below a path to where `place` says. Returns how many there are.

    Raises NotPlain, after which another way may begin anew; Corrupt, FileMissing, OSError.
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
    target = _Target(place, seen)

    def parts() -> Iterator[Part[_Coming]]:
        for batch in calls.stream(calls.content.ResolveFiles, request):
            reader.learn(batch.packs)
            for found in batch.files:
                coming = target.expect(found)
                if coming is not None:
                    yield coming, None  # also for a file that has no bytes
                    yield from ((coming, extent) for extent in coming.extents)

    try:
        for coming, data in reader.read(parts()):
            target.take(coming, data)
        return target.end()
    finally:
        target.close()
        reader.close()


class _Coming:
    """A file that is being fetched. missing: extents of it that have not come."""

    def __init__(self, path: Path, whole: content.Content, partial: Partial | None) -> None:
        self.path, self.size = path, whole.size_bytes
        self.partial = partial
        self.extents = whole.extents[partial.done :] if partial else list(whole.extents)
        self.missing = len(self.extents)


class _Target:
    """Files being written: small ones on threads, big ones here."""

    def __init__(self, place: PathOf, seen: Seen) -> None:
        self._place, self._seen = place, seen
        self._made: set[Path] = set()
        self._partials: set[Partial] = set()
        self._writers = Writers(self._count)
        self._files = self._bytes = self._all = 0

    def expect(self, found: content.ResolvedFile) -> _Coming | None:
        """What is to be fetched of a file; None when it is there."""
        path = self._place(found.path)
        if path.parent not in self._made:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(path.parent)
        self._all += 1
        if is_there(path, found.content):
            self._count(1, found.content.size_bytes)
            return None
        partial = None
        if len(found.content.extents) > 1:
            partial = Partial(path, found.content)
            self._partials.add(partial)
            self._count(0, sum(extent.size_bytes for extent in found.content.extents[: partial.done]))
        return _Coming(path, found.content, partial)

    def take(self, coming: _Coming, data: bytes | None) -> None:
        """The next bytes of a file; None before the first of them."""
        if data is not None:
            coming.missing -= 1
        if coming.partial is None:
            if not coming.missing:
                self._writers.write(coming.path, data or b"")
            return
        if data is not None:
            coming.partial.write(data)
            self._count(0, len(data))
        if not coming.missing:
            coming.partial.finish()
            self._partials.discard(coming.partial)
            self._count(1, 0)

    def end(self) -> int:
        self._writers.settle()
        self._tell()
        return self._all

    def close(self) -> None:
        self._writers.close()
        for partial in self._partials:
            partial.close()

    def _count(self, files: int, size: int) -> None:
        self._files += files
        self._bytes += size
        if self._files >= TELL_FILES or self._bytes >= TELL_BYTES:
            self._tell()

    def _tell(self) -> None:
        self._seen(self._files, self._bytes)
        self._files = self._bytes = 0
