"""The short way out for many files: where their bytes lie is asked of the service, and they are read from the packs.

Every blob is held against its hash, since no service looks at it on the way; files that are there already are kept.
Needs the package blake3. Elsewhere: packs in a folder (copying.py) and at URLs (reading.py), writing (landing.py).
"""

from collections.abc import Iterator

from datamill.bulk.fetching.copying import Copies
from datamill.bulk.fetching.landing import Partial, Seen, Told, Writers, is_there
from datamill.bulk.fetching.places import Folders, PathOf
from datamill.bulk.fetching.reading import FromUrls, NotPlain, Part
from datamill.bulk.signed import Signed
from datamill.bulk.store import Reach
from datamill.transport import Calls
from datamill.wire import content_v1_pb2 as content
from datamill.wire import pfs_v2_pb2 as pfs


def fetch(calls: Calls, file: pfs.File, reach: Reach, place: PathOf, seen: Seen) -> int:
    """Write the files at and below a path to where `place` says. Returns how many there are.

    Raises NotPlain, after which another way may begin anew; Corrupt, FileMissing, OSError.
    """
    wanted = [content.Wanted(commit=file.commit, path=file.path)]
    request = content.ResolveFilesRequest(wanted=wanted, with_urls=reach.signed is not None)
    if reach.signed is None and reach.root is None:
        raise NotPlain
    batches = calls.stream(calls.content.ResolveFiles, request)
    told = Told(seen)
    if reach.root is not None:
        files = _copied(batches, Copies(reach.root, told), place)
    else:
        assert reach.signed is not None
        files = _fetched(batches, reach.signed, _Target(place, told))
    told.rest()
    return files


def _copied(batches: Iterator[content.ResolveFilesResponse], copies: Copies, place: PathOf) -> int:
    folders, files = Folders(), 0
    try:
        for batch in batches:
            for found in batch.files:
                path = place(found.path)
                copies.take(path, found.content, may_be_there=folders.may_hold(path))
            files += len(batch.files)
        copies.end()
        return files
    finally:
        copies.close()


def _fetched(batches: Iterator[content.ResolveFilesResponse], signed: Signed, target: "_Target") -> int:
    reader = FromUrls(signed)

    def parts() -> Iterator[Part[_Coming]]:
        for batch in batches:
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

    def __init__(self, path: str, whole: content.Content, partial: Partial | None) -> None:
        self.path, self.size = path, whole.size_bytes
        self.partial = partial
        self.extents = whole.extents[partial.done :] if partial else list(whole.extents)
        self.missing = len(self.extents)


class _Target:
    """Files being written as their bytes come: small ones on threads, big ones here."""

    def __init__(self, place: PathOf, told: Told) -> None:
        self._place, self._told = place, told
        self._folders = Folders()
        self._partials: set[Partial] = set()
        self._writers = Writers(told)
        self._all = 0

    def expect(self, found: content.ResolvedFile) -> _Coming | None:
        """What is to be fetched of a file; None when it is there."""
        path = self._place(found.path)
        self._all += 1
        if self._folders.may_hold(path) and is_there(path, found.content):
            self._told(1, found.content.size_bytes)
            return None
        partial = None
        if len(found.content.extents) > 1:
            partial = Partial(path, found.content)
            self._partials.add(partial)
            self._told(0, partial.at)
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
            coming.partial.write(data, coming.partial.at)
            coming.partial.at += len(data)
            self._told(0, len(data))
        if not coming.missing:
            coming.partial.finish()
            self._partials.discard(coming.partial)
            self._told(1, 0)

    def end(self) -> int:
        self._writers.settle()
        return self._all

    def close(self) -> None:
        self._writers.close()
        for partial in self._partials:
            partial.close()
