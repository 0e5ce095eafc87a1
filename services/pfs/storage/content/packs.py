"""Content in the object store: written in packs of about 16 MiB, read in ranges that bring many blobs.

Whatever is read whole is checked against its hash. All calls block: run them on a thread. A store that is no folder is
read some windows ahead, and stores full packs while the next one is filled.
Elsewhere: bytes of a pack (kit/packs.py); what is read together (spans.py); which packs count (PackRow,
operations/content.py).
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from types import MappingProxyType

from blake3 import blake3

from services.kit.errors import Corrupt
from services.kit.objects.port import Objects
from services.kit.packs import RAW, BadPack, Blob, Bytes, PackBuilder, decode, pack_key, read_directory
from services.kit.time.clock import fresh_name
from services.pfs.domain.files.entries import Extent
from services.pfs.storage.collection.moves import Moves
from services.pfs.storage.content.spans import Span, spans, windows

AHEAD_WINDOWS, AHEAD_PACKS = 3, 2  # of one reader, of one writer, under way at once
READING = 16  # threads of a process
DIRECTORY_BLOBS = 100_000  # of so many blobs the places are remembered, by pack
_STORING = ThreadPoolExecutor(6, thread_name_prefix="store")  # started when first used
NOTHING: Mapping[bytes, Extent] = MappingProxyType({})
_Blob = tuple[int, memoryview]  # with its number in the window


class ContentStore:
    """Reads content. Safe for several threads."""

    def __init__(self, objects: Objects, moves: Moves | None = None) -> None:
        self.objects, self._moves = objects, moves or Moves()
        self._directories: OrderedDict[bytes, dict[bytes, Blob]] = OrderedDict()
        self._lock = Lock()
        far = objects.root is None
        self._threads = ThreadPoolExecutor(READING, thread_name_prefix="read") if far else None

    def read(self, extents: Iterable[Extent]) -> Iterator[Bytes]:
        """The decoded bytes of each extent, in order. Raises Corrupt."""
        for window, reads in self._fetched(windows(map(self.placed, extents))):
            stored = dict(blob for read in reads for blob in read)
            for number, extent in enumerate(window):
                yield _checked(stored.pop(number), extent)

    def _fetched(self, found: Iterator[list[Extent]]) -> Iterator[tuple[list[Extent], Iterator[list[_Blob]]]]:
        """Windows and what was read for them."""
        if self._threads is None:
            for window in found:
                yield window, (self._span(span, window) for span in spans(window))
            return
        under_way: deque[tuple[list[Extent], list[Future[list[_Blob]]]]] = deque()
        for window in found:
            under_way.append((window, [self._threads.submit(self._span, span, window) for span in spans(window)]))
            if len(under_way) > AHEAD_WINDOWS:
                first, reads = under_way.popleft()
                yield first, (read.result() for read in reads)
        yield from ((window, (read.result() for read in reads)) for window, reads in under_way)

    def _span(self, span: Span, window: Sequence[Extent]) -> list[_Blob]:
        data = memoryview(self.objects.get_range(pack_key(span.pack), span.begin, span.end - span.begin))
        wanted = [(number, window[number].offset - span.begin, window[number].stored) for number in span.wanted]
        sparse = 2 * sum(size for _, _, size in wanted) < len(data)  # then the rest is not kept meanwhile
        blobs = ((number, data[start : start + size]) for number, start, size in wanted)
        return [(number, memoryview(bytes(blob)) if sparse else blob) for number, blob in blobs]

    def placed(self, extent: Extent) -> Extent:
        """Where an extent's bytes lie now, in case its pack was rewritten. Raises Corrupt."""
        pack = self._moves.now_in(extent.pack)
        if pack == extent.pack:
            return extent
        blob = self.directory(pack).get(extent.digest)
        if blob is None:
            raise Corrupt(f"pack {pack.hex()} lacks a blob of pack {extent.pack.hex()}, which it stands for")
        return Extent(pack, blob.offset, blob.stored_bytes, blob.codec, extent.size, extent.digest)

    def digest(self, extents: Iterable[Extent]) -> bytes:
        """BLAKE3-256 of the extents' bytes together."""
        hasher = blake3()
        for data in self.read(extents):
            hasher.update(data)
        return hasher.digest()

    def directory(self, pack: bytes) -> dict[bytes, Blob]:
        """The blobs of a pack by digest. Raises Corrupt."""
        with self._lock:
            if pack in self._directories:
                self._directories.move_to_end(pack)
                return self._directories[pack]
        key = pack_key(pack)
        size = self.objects.size(key)
        if size is None:
            raise Corrupt(f"pack {pack.hex()} is missing from the store")
        blobs = read_directory(lambda offset, length: self.objects.get_range(key, offset, length), size)
        found = {blob.digest: blob for blob in blobs}
        with self._lock:
            self._directories[pack] = found
            while len(self._directories) > 1 and sum(map(len, self._directories.values())) > DIRECTORY_BLOBS:
                self._directories.popitem(last=False)
        return found

    def _range(self, pack: bytes, offset: int, length: int) -> bytes:
        return self.objects.get_range(pack_key(pack), offset, length)


class PackWriter:
    """Puts blobs into packs of its own, each stored durably once it is full or the writer is told to flush."""

    def __init__(self, objects: Objects, name: Callable[[], bytes] = fresh_name) -> None:
        self._objects, self._fresh = objects, name
        self._name, self._pack = b"", PackBuilder()
        self._far, self._under_way = objects.root is None, deque[Future[None]]()
        self.packs: list[tuple[bytes, int]] = []
        """Names of the packs stored so far, and how many blobs each holds."""

    def add(self, data: Bytes, known: Mapping[bytes, Extent] = NOTHING) -> Extent:
        """Take one blob. It can be read once its pack is stored. known: what need not be stored again, by digest.

        Raises Exhausted when the store is full.
        """
        digest = blake3(data).digest()
        if (there := known.get(digest)) is not None:
            return there
        if not len(self._pack):
            self._name = self._fresh()
        blob = self._pack.add(data, digest)
        extent = Extent(self._name, blob.offset, blob.stored_bytes, RAW, len(data), blob.digest)
        if self._pack.full:
            self._send()
        return extent

    def flush(self) -> None:
        """Store what has been collected. Call it once after the last blob."""
        if len(self._pack):
            self._send()
        self._wait(0)

    def _send(self) -> None:
        key, data = pack_key(self._name), self._pack.pieces()
        self.packs.append((self._name, len(self._pack)))
        self._pack = PackBuilder()
        if self._far:
            self._wait(AHEAD_PACKS - 1)
            self._under_way.append(_STORING.submit(self._objects.put, key, data))
        else:
            self._objects.put(key, data)

    def _wait(self, count: int) -> None:
        """Until at most so many packs are under way."""
        while len(self._under_way) > count:
            self._under_way.popleft().result()


def _checked(stored: memoryview, extent: Extent) -> Bytes:
    try:
        return decode(stored, extent.codec, extent.digest)
    except BadPack as problem:
        raise Corrupt(f"content in pack {extent.pack.hex()} is damaged: {problem}") from problem
