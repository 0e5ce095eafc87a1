"""Reading everything that counts and holding it against its hashes: content packs whole, then every tree and layer.

What is damaged is taken from another copy of the store when there is one, after that was checked; else the files that
it is part of are named. All of it blocks.
Elsewhere: what is asked and told (servicers/upkeep.py).
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.kit.errors import Corrupt
from services.kit.objects.port import ObjectMissing, Objects
from services.kit.packs import BadPack, decode, pack_key, read_directory, verify_bytes
from services.kit.sortedmap.encoding.chunks import Leaf, Node
from services.kit.sortedmap.packs import Reader
from services.kit.sortedmap.rows import Place, Root
from services.kit.time.clock import fresh_name
from services.pfs.domain.commits import Commit
from services.pfs.domain.files.entries import CHUNKED, Extent
from services.pfs.operations.files.stores import Stores
from services.pfs.storage.commit_rows import COMMITS, commit_of
from services.pfs.storage.content.content_tables import CONTENT, LIVE, LayerRow, PackRow
from services.pfs.storage.content.incoming import incoming_key
from services.pfs.storage.content.layers import Inline, Part, Spilled, Whole, decode_parts
from services.pfs.storage.content.ranges import index_key
from services.pfs.storage.content.trees import content_of, root_of
from services.pfs.storage.tables import CommitRow

DECODED_BYTES = 32 << 20
TELL_PACKS = 50
COPIES_AT_HAND = 4


@dataclass(frozen=True)
class Progress:
    packs: int
    of_packs: int
    size_bytes: int


@dataclass(frozen=True)
class Damaged:
    """A pack that is not what it should be."""

    pack: bytes
    key: str
    reason: str
    repaired: bool


@dataclass(frozen=True)
class DamagedFile:
    """A file that cannot be read in full; path "": of a part of the commit's tree."""

    commit: Commit
    path: str
    pack: bytes


@dataclass
class Found:
    """The end."""

    packs: int = 0
    blobs: int = 0
    size_bytes: int = 0
    commits: int = 0
    damaged: int = 0
    repaired: int = 0


Event = Progress | Damaged | DamagedFile | Found


def packs_to_scrub(tx: Session) -> list[bytes]:
    """Content packs that count, in the order of their names."""
    rows = select(PackRow.name).where(PackRow.kind == CONTENT, PackRow.state == LIVE)
    return list(tx.scalars(rows.order_by(PackRow.name)))


def trees_to_scrub(tx: Session) -> list[tuple[Commit, list[Part]]]:
    """All commits with a tree or with layers that are not carried out yet."""
    found = list[tuple[Commit, list[Part]]]()
    for row in tx.execute(COMMITS.order_by(CommitRow.number)):
        commit = commit_of(row)
        if commit.root is not None:
            found.append((commit, []))
        elif commit.finished is None or commit.error:
            layers = tx.scalars(select(LayerRow.parts).where(LayerRow.commit == commit.number))
            parts = [part for data in layers for part in decode_parts(data)]
            if parts:
                found.append((commit, parts))
    return found


def counts(tx: Session, pack: bytes) -> bool:
    """Whether a pack counts still: one that was collected meanwhile is not damaged."""
    row = tx.get(PackRow, pack)
    return row is not None and row.state == LIVE


@dataclass
class Scrub:
    """One scrub. other: the copy to repair from. counts: asks whether a pack counts still."""

    stores: Stores
    other: Objects | None
    rate_bytes: int
    counts: Callable[[bytes], bool]
    found: Found = field(default_factory=Found)
    _bad: dict[bytes, set[bytes] | None] = field(default_factory=dict)
    """Digests of damaged blobs by pack; None: nothing of the pack can be told."""
    _sound: set[bytes] = field(default_factory=set)
    """Places in index packs below which all is well."""
    _tried: set[bytes] = field(default_factory=set)
    """Damaged index packs."""
    _began: float = field(default_factory=time.monotonic)

    def contents(self, packs: list[bytes]) -> Iterator[Event]:
        """Look at every blob."""
        for number, name in enumerate(packs):
            if number % TELL_PACKS == 0:
                yield Progress(number, len(packs), self.found.size_bytes)
            self.found.packs += 1
            reason = self._look(name)
            if reason and self.counts(name):
                yield self._damaged(name, pack_key(name), reason, self._repaired_content(name))

    def trees(self, commits: Iterable[tuple[Commit, list[Part]]]) -> Iterator[Event]:
        """Look at every tree and layer, and name the files that damaged packs are part of; the end comes last."""
        self._source = _Counted(self)
        self._reader = Reader(self._source, limit_bytes=DECODED_BYTES)
        for commit, parts in commits:
            self.found.commits += 1
            yield from self._tree(commit, root_of(commit.root, commit.size_bytes))
            for part in parts:
                if isinstance(part, Whole):
                    yield from self._tree(commit, part.root)
                else:
                    yield from self._layer(commit, part)
        yield self.found

    def _look(self, name: bytes) -> str:
        """What is wrong with a content pack, or ""."""
        try:
            data = self.stores.objects.get(pack_key(name))
        except ObjectMissing:
            self._bad[name] = None
            return "it is missing"
        self.spent(len(data))
        try:
            self.found.blobs += len(verify_bytes(data))
        except BadPack as problem:
            self._bad[name] = _bad_blobs(memoryview(data))
            return str(problem)
        return ""

    def _repaired_content(self, name: bytes) -> bool:
        if self.other is None:
            return False
        try:
            data = self.other.get(pack_key(name))
            verify_bytes(data)
        except Corrupt:
            return False
        self._replace(pack_key(name), data)
        del self._bad[name]
        return True

    def _damaged(self, pack: bytes, key: str, reason: str, repaired: bool) -> Damaged:
        self.found.damaged += 1
        self.found.repaired += repaired
        return Damaged(pack, key, reason, repaired)

    def _tree(self, commit: Commit, root: Root) -> Iterator[Event]:
        if root.place is not None:
            yield from self._below(commit, root.id, root.place)

    def _below(self, commit: Commit, id: bytes, place: Place) -> Iterator[Event]:
        key = place.pack + place.offset.to_bytes(8, "big")
        if key in self._sound:
            return
        trouble = 0
        try:
            chunk = self._reader.chunk(id, place)
        except Corrupt as problem:
            bad = self.stores.trees.places.pack(getattr(problem, "place", place))
            yield from self._bad_index(commit, bad, str(problem))
            try:
                chunk = self._reader.chunk(id, place)
            except Corrupt:
                return
        events = self._node(commit, chunk) if isinstance(chunk, Node) else self._leaf(commit, chunk)
        for event in events:
            trouble += 1
            yield event
        if not trouble:
            self._sound.add(key)

    def _node(self, commit: Commit, node: Node) -> Iterator[Event]:
        for child in node.children:
            yield from self._below(commit, child.id, child.place)

    def _leaf(self, commit: Commit, leaf: Leaf) -> Iterator[Event]:
        for index, (kind, place) in enumerate(zip(leaf.kinds, leaf.places.all(), strict=True)):
            if place is None:
                continue
            path = leaf.keys[index].partition(b"\0")[0].decode()
            if kind == CHUNKED:
                yield from self._chunked(commit, leaf, index, place, path)
            elif self._bad:
                digest = leaf.digests[32 * index : 32 * index + 32]
                yield from self._extents(
                    commit, path, [Extent(place.pack, place.offset, place.stored, place.codec, 0, digest)]
                )

    def _chunked(self, commit: Commit, leaf: Leaf, index: int, place: Place, path: str) -> Iterator[Event]:
        for again in (False, True):
            try:
                extents = content_of(leaf.row(index), self._source.read).extents
            except Corrupt as problem:
                if again:
                    yield DamagedFile(commit, path, place.pack)
                else:
                    yield from self._bad_index(commit, self.stores.trees.places.pack(place), str(problem))
                continue
            yield from self._extents(commit, path, extents)
            return

    def _layer(self, commit: Commit, part: Inline | Spilled) -> Iterator[Event]:
        try:
            for op in self.stores.layers.read(part):
                yield from self._extents(commit, op.key.partition(b"\0")[0].decode(), op.pieces)
        except Corrupt as problem:
            if isinstance(part, Spilled):
                yield from self._bad_index(commit, part.name, str(problem))
            yield DamagedFile(commit, "", part.name if isinstance(part, Spilled) else b"")

    def _extents(self, commit: Commit, path: str, extents: Iterable[Extent]) -> Iterator[Event]:
        for extent in extents:
            pack = self.stores.content.placed(extent).pack
            if pack in self._bad and ((blobs := self._bad[pack]) is None or extent.digest in blobs):
                yield DamagedFile(commit, path, pack)
                return

    def _bad_index(self, commit: Commit, pack: bytes, reason: str) -> Iterator[Event]:
        """An index pack is damaged: told once; named with each commit as long as it is."""
        if not self.counts(pack):
            return
        repaired = False
        if pack not in self._tried:
            self._tried.add(pack)
            repaired = self._repaired_index(pack)
            yield self._damaged(pack, index_key(pack), reason, repaired)
        if not repaired:
            yield DamagedFile(commit, "", pack)

    def _repaired_index(self, pack: bytes) -> bool:
        """Take the copy's, which every range of it is held against as it is read again."""
        if self.other is None:
            return False
        try:
            data = self.other.get(index_key(pack))
        except Corrupt:
            return False
        try:
            if self.stores.objects.get(index_key(pack)) == data:
                return False
        except Corrupt:
            pass
        self._replace(index_key(pack), data)
        return True

    def _replace(self, key: str, data: bytes) -> None:
        beside = incoming_key(fresh_name())
        self.stores.objects.put(beside, data)
        self.stores.objects.move(beside, key)  # readers find the one or the other

    def spent(self, size_bytes: int) -> None:
        """So much was read: wait when it was too fast."""
        self.found.size_bytes += size_bytes
        if self.rate_bytes:
            due = self._began + self.found.size_bytes / self.rate_bytes
            time.sleep(max(0.0, due - time.monotonic()))


@dataclass(frozen=True)
class _Counted:
    """Reads ranges from the store itself, at the scrub's rate."""

    scrub: Scrub

    def read(self, place: Place) -> bytes:
        places = self.scrub.stores.trees.places
        at = places.now(place)
        try:
            data = self._read(at)
        except ObjectMissing:
            if (moved := places.now(place)) == at:
                raise
            data = self._read(moved)  # it was rewritten: no collection waits for a scrub
        self.scrub.spent(len(data))
        return data

    def _read(self, at: Place) -> bytes:
        return self.scrub.stores.objects.get_range(index_key(at.pack), at.offset, at.stored)


def _bad_blobs(data: memoryview) -> set[bytes] | None:
    try:
        blobs = read_directory(lambda offset, length: bytes(data[offset : offset + length]), len(data))
    except BadPack:
        return None
    bad = set[bytes]()
    for blob in blobs:
        try:
            decode(data[blob.offset : blob.offset + blob.stored_bytes], blob.codec, blob.digest)
        except BadPack:
            bad.add(blob.digest)
    return bad
