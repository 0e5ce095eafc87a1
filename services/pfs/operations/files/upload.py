"""One stream of writes on its way to becoming a layer: applied as a whole once the stream ends, or not at all.

The event loop only collects what arrives; hashing, cutting and packing happen on a thread, a batch at a time, while
the next batch comes in. Memory is bounded by a batch, a pack and SPILL_OPS writes.
A big file is held against what the commit below has at its path: chunks that are there are not stored again. They were
found in a tree that counts, like those of a copy, so nothing else keeps them (ADR 9).
Elsewhere: what becomes of the layer (landing.py, filesets.py); packs (kit/packs.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from threading import Event

from blake3 import blake3

from services.kit.packs import BIG_FILE_BYTES, Bytes, cut
from services.kit.sortedmap.rows import Row
from services.kit.sortedmap.tree import get, scan
from services.kit.urls.ahead import ahead
from services.kit.urls.port import Source, while_wanted
from services.pfs.domain.files.entries import APPEND, REPLACE, Extent, Op, removal
from services.pfs.domain.files.layers import Draft
from services.pfs.domain.files.paths import BadPath, at, below, check_path, file_path, key_of
from services.pfs.operations.files.stores import Stores
from services.pfs.operations.files.tree_views import TreeView
from services.pfs.operations.finishing.merge import keys_between
from services.pfs.storage.content.layers import Part
from services.pfs.storage.content.packs import NOTHING

BATCH_BYTES = 8 << 20
BATCH_WRITES = 4096
SPILL_OPS = 100_000
CUT_BYTES = 16 << 20  # of a big file's bytes, so many are cut at a time
KNOWN_CHUNKS = 100_000  # of the file that was there before are looked for; they take 30 MB


@dataclass(frozen=True, slots=True)
class Put:
    """Bytes to append to a file, which is made when missing. path: stored form."""

    key: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class Delete:
    """A file, or (recursive) everything below a directory, of one datum. path: canonical. visible: for recursive."""

    path: str
    datum: str
    recursive: bool
    visible: TreeView | None = None


@dataclass(frozen=True, slots=True)
class Copy:
    """What a view holds at and below a path, to be put at `dst`."""

    source: TreeView
    path: str
    source_datum: str
    dst: str
    datum: str
    append: bool


@dataclass(frozen=True, slots=True)
class Fetch:
    """What an address holds, to be appended at `path`; with `recursive`, each thing at `path` and its name."""

    source: Source
    path: str
    datum: str
    recursive: bool
    concurrency: int


Write = Put | Delete | Copy | Fetch


class Upload:
    """The writes so far. `apply` and `finish` block: one caller at a time, on a thread."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._writer = stores.writer()
        self._draft = Draft()
        self._parts: list[Part] = []
        self._key = b""  # the file that bytes are coming in for
        self._pending: list[Bytes] = []
        self._pending_bytes = 0
        self._big: list[Extent] | None = None  # chunks so far, once it is known to be a big file
        self._hasher = blake3()
        self._below: TreeView | None = None
        self._known: Mapping[bytes, Extent] = NOTHING  # chunks of the file that was there before
        self._stopped = Event()

    @property
    def packs(self) -> list[tuple[bytes, int]]:
        """The packs that hold the content, with the number of their blobs; complete after `finish`."""
        return self._writer.packs

    def look_in(self, below: TreeView) -> None:
        """Look there for chunks of big files that come from now on."""
        self._below = below

    def apply(self, writes: Sequence[Write]) -> None:
        """Carry the writes out on the draft, in order. Raises Exhausted, Corrupt."""
        for write in writes:
            if isinstance(write, Put):
                self._put(write)
                continue
            self._close_file()
            if isinstance(write, Delete):
                self._delete(write)
            elif isinstance(write, Copy):
                self._copy(write)
            else:
                self._fetch(write)

    def stop(self) -> None:
        """Let `apply` end soon, from another thread: nobody waits for what comes of it."""
        self._stopped.set()

    def finish(self) -> list[Part]:
        """Store what is still in memory, durably, and say what the layer is made of."""
        self._close_file()
        self._writer.flush()
        if len(self._draft) or not self._parts:
            ops = self._draft.sorted_ops()
            if ops:
                self._parts.append(self._stores.layers.write(ops))
        return self._parts

    def _put(self, write: Put) -> None:
        if write.key != self._key:
            self._close_file()
            self._key = write.key
        self._pending.append(write.data)
        self._pending_bytes += len(write.data)
        if self._pending_bytes >= CUT_BYTES:
            self._cut(last=False)

    def _close_file(self) -> None:
        if not self._key:
            return
        if self._big is not None or self._pending_bytes > BIG_FILE_BYTES:
            self._cut(last=True)
            assert self._big is not None
            self._write(Op(self._key, APPEND, tuple(self._big), self._hasher.digest()))
        elif self._pending_bytes:
            data = self._pending[0] if len(self._pending) == 1 else b"".join(self._pending)
            extent = self._writer.add(data)
            self._write(Op(self._key, APPEND, (extent,), extent.digest))
        else:
            self._write(Op(self._key, APPEND))
        self._key, self._pending, self._pending_bytes, self._big = b"", [], 0, None

    def _cut(self, *, last: bool) -> None:
        """Move chunks of the big file's pending bytes into packs."""
        if self._big is None:
            self._big, self._hasher, self._known = [], blake3(), self._before()
        data = memoryview(b"".join(self._pending))
        start = 0
        for length in cut(data, last=last):
            self._big.append(self._writer.add(data[start : start + length], self._known))
            start += length
        self._hasher.update(data[:start])
        self._pending, self._pending_bytes = [data[start:]], len(data) - start

    def _before(self) -> Mapping[bytes, Extent]:
        """The chunks of what the file was, by digest."""
        below = self._below
        row = None if below is None else get(below.reader, below.root, self._key)
        if below is None or row is None:
            return NOTHING
        return {extent.digest: extent for extent in islice(below.content(row).extents, KNOWN_CHUNKS)}

    def _write(self, op: Op) -> None:
        self._draft.write(op)
        if len(self._draft) >= SPILL_OPS:
            self._parts.append(self._stores.layers.write(self._draft.sorted_ops()))
            self._draft.clear()

    def _delete(self, write: Delete) -> None:
        if not write.recursive:
            self._write(removal(key_of(write.path, write.datum)))
            return
        low, high = below(write.path)
        suffix = b"\0" + write.datum.encode()
        stored = [self._stores.layers.keys(part, low, high) for part in self._parts]
        visible = () if write.visible is None else _keys(write.visible, low, high)
        for key in chain(self._draft.keys(low, high), *stored, visible):
            if key.endswith(suffix):
                self._write(removal(key))

    def _copy(self, write: Copy) -> None:
        kind = APPEND if write.append else REPLACE
        view, prefix = write.source, write.path.rstrip("/").encode()
        spans = [below(write.path)] if write.path == "/" else [at(write.path), below(write.path)]
        for low, high in spans:
            for row in _rows(view, low, high):
                path, _, datum = row.key.partition(b"\0")
                if write.source_datum and datum.decode() != write.source_datum:
                    continue
                content = view.content(row)
                target = write.dst.rstrip("/") + path[len(prefix) :].decode()
                if not target:
                    raise BadPath(write.dst, "a file needs a name")
                self._write(Op(key_of(target, write.datum), kind, content.extents, content.digest))

    def _fetch(self, write: Fetch) -> None:
        for item, pieces in ahead(write.source.items(), write.concurrency):
            path = write.path
            if write.recursive and item.name:
                check_path(item.name)
                path = file_path(f"{write.path}/{item.name}")
            key = key_of(file_path(path), write.datum)
            self._put(Put(key, b""))
            for piece in while_wanted(self._stopped, pieces):
                if piece:
                    self._put(Put(key, piece))
            self._close_file()


def _rows(view: TreeView, low: bytes, high: bytes) -> Iterable[Row]:
    return scan(view.reader, view.root, low, high)


def _keys(view: TreeView, low: bytes, high: bytes) -> Iterable[bytes]:
    return keys_between(view.reader, view.root, low, high)
