"""Whether the packs that entries name hold what the entries say.

Blobs of one pack that follow one another are compared at once; only if something differs each is looked at by itself.
Elsewhere: whether the packs count (operations/content.py); the columns themselves (domain/files/batches.py).
"""

from array import array
from collections import OrderedDict
from itertools import pairwise
from typing import NamedTuple

from services.pfs.domain.files.batches import DIGEST, Batch, is_uniform
from services.pfs.domain.files.entries import NO_BYTES_DIGEST, Content, Extent, size_of
from services.pfs.domain.files.file_errors import BadEntry
from services.pfs.storage.content.packs import ContentStore

BLOBS_KEPT = 100_000


class _Blobs(NamedTuple):
    """A pack's blobs by where they begin, those that are stored as they are."""

    digests: dict[int, bytes]
    sizes: dict[int, int]


class Checking:
    """For one stream. All calls block."""

    def __init__(self, store: ContentStore) -> None:
        self._store = store
        self._known: OrderedDict[bytes, _Blobs] = OrderedDict()

    def check(self, batch: Batch) -> None:
        """Raises BadEntry, Corrupt."""
        which, count = batch.which, len(batch)
        cuts = [] if is_uniform(which) else [at for at, (a, b) in enumerate(pairwise(which), 1) if a != b]
        for start, stop in pairwise((0, *cuts, count)):
            same = self._nothing(batch, start, stop) if which[start] == 0 else self._blobs_are(batch, start, stop)
            for at in range(start, start if same else stop):
                if at not in batch.removed:
                    self._each(batch.keys[at], batch.content(at))

    def _nothing(self, batch: Batch, start: int, stop: int) -> bool:
        """Whether these entries are plainly of no bytes."""
        empty = batch.digests[DIGEST * start : DIGEST * stop] == NO_BYTES_DIGEST * (stop - start)
        return empty and not batch.chunked and not any(batch.sizes[start:stop])

    def _blobs_are(self, batch: Batch, start: int, stop: int) -> bool:
        """Whether these entries, of one pack, are plainly its blobs."""
        there, inside = self._blobs(batch.packs[batch.which[start]]), slice(start, stop)
        offsets, sizes = batch.offsets[inside], batch.sizes[inside]
        try:
            digests = b"".join(map(there.digests.__getitem__, offsets))
            held = array("Q", map(there.sizes.__getitem__, offsets))
        except KeyError:
            return False
        same = digests == batch.digests[DIGEST * start : DIGEST * stop] and held == sizes == batch.stored[inside]
        return same and batch.codecs[inside] == bytes(stop - start)

    def _blobs(self, pack: bytes) -> _Blobs:
        found = self._known.get(pack)
        if found is None:
            plain = [blob for blob in self._store.directory(pack).values() if blob.codec == 0 and blob.stored_bytes]
            found = self._known[pack] = _Blobs(
                {blob.offset: blob.digest for blob in plain}, {blob.offset: blob.stored_bytes for blob in plain}
            )
            while len(self._known) > 1 and sum(len(blobs.sizes) for blobs in self._known.values()) > BLOBS_KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(pack)
        return found

    def _each(self, key: bytes, content: Content) -> None:
        size, digest, extents = content
        held = size_of(extents)
        if held != size:
            raise BadEntry(f"{_named(key)}: its extents hold {held} bytes, not {size}")
        if not extents and digest != NO_BYTES_DIGEST:
            raise BadEntry(f"{_named(key)}: it is empty, but its digest is not that of nothing")
        if len(extents) == 1 and extents[0].digest != digest:
            raise BadEntry(f"{_named(key)}: its digest is not that of its only extent")
        for extent in extents:
            self._extent(key, extent)

    def _extent(self, key: bytes, extent: Extent) -> None:
        blob = self._store.directory(extent.pack).get(extent.digest)
        if blob is None or (blob.offset, blob.stored_bytes, blob.codec) != extent[1:4]:
            raise BadEntry(f"{_named(key)}: pack {extent.pack.hex()} holds no such blob at byte {extent.offset}")
        if extent.size == 0 or (extent.codec == 0 and extent.size != extent.stored):
            raise BadEntry(f"{_named(key)}: the extent at byte {extent.offset} does not say its true size")


def _named(key: bytes) -> str:
    return "file " + key.partition(b"\0")[0].decode()
