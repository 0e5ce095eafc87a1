"""Content packs of which less than half is referred to: what is goes into a new pack, and a row says where.

Commits keep naming the old pack, so that nothing of them changes; readers look for the blob's digest in the new one.
Elsewhere: index packs (repack_index.py); reading through moves (storage/content/packs.py, storage/collection/moves.py).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from services.kit.packs import TARGET_BYTES, Blob
from services.pfs.domain.files.entries import Extent
from services.pfs.operations.collection.collect import Pack
from services.pfs.operations.collection.marking import Marks
from services.pfs.operations.files.stores import Stores
from services.pfs.storage.collection.sessions import SessionStore
from services.pfs.storage.content.content_tables import CONTENT, LIVE, MOVING, PackRow
from services.pfs.storage.tables import table

WORTH_IT = 0.5  # a pack is rewritten when less than this part of it is referred to
_PACK = table(PackRow)


@dataclass(frozen=True)
class Sparse:
    """A pack, and the blobs of it that are referred to; none of an index pack, which has ranges."""

    name: bytes
    live: tuple[Blob, ...]
    live_bytes: int
    body_bytes: int


@dataclass(frozen=True)
class Moved:
    """What was rewritten into one new pack."""

    kind: str
    new: bytes
    blobs: int
    old: tuple[Sparse, ...]


def sparse(stores: Stores, packs: Iterable[Pack], marks: Marks) -> Iterator[Sparse]:
    """The packs that are worth rewriting. Blocks. Raises Corrupt."""
    for pack in packs:
        if pack.kind != CONTENT or pack.name not in marks.content:
            continue
        referred = marks.blobs(pack.name)
        if len(referred) >= pack.blobs:
            continue
        directory = stores.content.directory(pack.name).values()
        live = tuple(sorted((blob for blob in directory if blob.offset in referred), key=lambda blob: blob.offset))
        live_bytes, body = sum(blob.stored_bytes for blob in live), sum(blob.stored_bytes for blob in directory)
        if live_bytes < min(WORTH_IT * body, TARGET_BYTES):
            yield Sparse(pack.name, live, live_bytes, body)


def rewrite(stores: Stores, packs: Iterable[Sparse]) -> Iterator[Moved]:
    """Write new packs, each of whole old ones. Blocks. Raises Corrupt, Exhausted."""
    return (_rewritten(stores, group) for group in groups(packs))


def groups(packs: Iterable[Sparse]) -> Iterator[list[Sparse]]:
    """Packs that fit into a new one together."""
    group, size = list[Sparse](), 0
    for pack in packs:
        if group and size + pack.live_bytes > TARGET_BYTES:
            yield group
            group, size = [], 0
        group.append(pack)
        size += pack.live_bytes
    if group:
        yield group


def _rewritten(stores: Stores, group: Sequence[Sparse]) -> Moved:
    writer = stores.writer()
    for old in group:
        extents = [Extent(old.name, at.offset, at.stored_bytes, at.codec, 0, at.digest) for at in old.live]
        for data in stores.content.read(extents):
            writer.add(data)
    writer.flush()
    ((new, blobs),) = writer.packs
    return Moved(CONTENT, new, blobs, tuple(group))


def publish(tx: Session, moved: Moved, session: str, epoch: int, now: datetime) -> list[bytes]:
    """Let readers look into the new pack. Returns which old ones are moved: a caller may have named one meanwhile."""
    if SessionStore(tx).epoch() != epoch:  # another collection has begun
        return []
    names = [old.name for old in moved.old]
    unused = (_PACK.c.name.in_(names), _PACK.c.state == LIVE, _PACK.c.used < epoch)
    mine = list(tx.scalars(select(_PACK.c.name).where(*unused)))
    if mine:
        SessionStore(tx).publish(moved.kind, [(moved.new, moved.blobs)], session, now)
        moving = update(_PACK).where(_PACK.c.name.in_(mine))
        tx.execute(moving.values(state=MOVING, moved_to=moved.new, used=epoch, at=now))
        earlier = update(_PACK).where(_PACK.c.moved_to.in_(mine))  # so that one step always leads to the blobs
        tx.execute(earlier.values(moved_to=moved.new))
        SessionStore(tx).moves_changed()
    return mine
