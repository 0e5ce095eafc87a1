"""The steps of a collection, each a transaction of its own; any of them may be the last before a crash.

    begin       a new epoch: from now on the graves are dug anew, and sessions that ran out are gone
    (wait)      until no call is running that began before: whoever holds a reference now has found it since
    Snapshot    the packs there are and all that is referred to, graves included; what is not is nobody's for good
    condemn     those packs are DYING, unless a caller named one meanwhile: it may not be named any more
    doomed      what has been DYING for the time that callers outside may go on reading: objects go, then rows

Elsewhere: why nothing is lost (docs/adr/0009, tests/unit/pfs/upkeep/test_gc_model.py); who runs this
(duties/collector.py); packs that are mostly garbage (repack.py).
"""

from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, delete, or_, select, update
from sqlalchemy.orm import Session

from services.kit.objects.port import Objects
from services.kit.packs import PACKS, pack_key
from services.kit.sortedmap.rows import Root
from services.pfs.operations.collection.marking import Marker, Marks, roots
from services.pfs.storage.collection.collection_tables import GraveRow, SessionRow
from services.pfs.storage.collection.sessions import SOME, SessionStore
from services.pfs.storage.content.content_tables import (
    CONTENT,
    DYING,
    INDEX,
    LIVE,
    MOVED,
    MOVING,
    WRITING,
    LayerRow,
    PackRow,
)
from services.pfs.storage.content.filesets import FileSetStore
from services.pfs.storage.content.incoming import incoming_key
from services.pfs.storage.content.layers import Part
from services.pfs.storage.content.ranges import index_key
from services.pfs.storage.tables import CommitRow, table

UPLOAD_TIME = timedelta(days=1)  # that a process has for one object
AT_ONCE = 8  # objects that a store far away is asked about
SET_MARGIN = timedelta(minutes=1)  # by which the clocks of processes may differ over when a file set expires
_PACK, _LAYER, _COMMIT = table(PackRow), table(LayerRow), table(CommitRow)


@dataclass(frozen=True)
class Begun:
    """What the beginning has cleared away."""

    epoch: int
    file_sets: int
    layers: int
    abandoned: int
    """Packs that were being written by sessions that are gone, or by callers for too long."""


@dataclass(frozen=True)
class Pack:
    """A pack that counts."""

    name: bytes
    kind: str
    blobs: int


@dataclass(frozen=True)
class Snapshot:
    """What there is. unsettled: packs that counted too short a time to be judged."""

    packs: list[Pack]
    moved: list[bytes]
    unsettled: int
    trees: list[Root]
    parts: list[Part] = field(default_factory=list)


def begin(tx: Session, *, hold: timedelta, now: datetime) -> Begun:
    """Begin a collection. hold: how long callers may take to name a pack that they have written."""
    sessions = SessionStore(tx)
    epoch = sessions.begin_epoch()
    tx.execute(delete(SessionRow).where(SessionRow.until < sessions.now()))
    tx.execute(delete(GraveRow))
    abandoned = update(_PACK).where(
        _PACK.c.state == WRITING,
        or_(
            _PACK.c.session.is_not(None) & _PACK.c.session.not_in(select(SessionRow.id)),
            _PACK.c.session.is_(None) & (_PACK.c.at < now - hold),
        ),
    )
    carried_out = select(_COMMIT.c.number).where(_COMMIT.c.finished.is_not(None), _COMMIT.c.error == "")
    return Begun(
        epoch,
        FileSetStore(tx).forget_expired(now - SET_MARGIN),
        _count(tx, delete(_LAYER).where(_LAYER.c.commit.in_(carried_out))),
        _count(tx, abandoned.values(state=DYING, at=now)),
    )


def still_out(tx: Session, epoch: int) -> list[str]:
    """Sessions in which calls run that began before the collection."""
    return SessionStore(tx).still_out(epoch)


def snapshot(tx: Session, marker: Marker, *, lately: bool, hold: timedelta, now: datetime) -> Snapshot:
    """All packs that may be judged, and all that is referred to. lately: see marking.roots."""
    rows = tx.execute(select(_PACK.c.name, _PACK.c.kind, _PACK.c.blobs, _PACK.c.state, _PACK.c.session, _PACK.c.at))
    packs, moved, unsettled = list[Pack](), list[bytes](), 0
    for name, kind, blobs, state, session, at in rows:
        if state == MOVED:
            moved.append(name)
        elif state == LIVE and session is None and at >= now - hold:
            unsettled += 1
        elif state == LIVE:
            packs.append(Pack(name, kind, blobs))
    trees, parts = roots(tx, marker, lately=lately)
    return Snapshot(packs, moved, unsettled, trees, parts)


def unreached(found: Snapshot, marks: Marks) -> tuple[list[Pack], list[bytes]]:
    """Packs that nothing refers to, and rows of moved packs that nothing names any more."""
    gone = [one for one in found.packs if one.name not in (marks.index if one.kind == INDEX else marks.content)]
    return gone, [name for name in found.moved if name not in marks.content and name not in marks.index]


def condemn(tx: Session, packs: Collection[bytes], moved: Collection[bytes], epoch: int, now: datetime) -> set[bytes]:
    """Let packs die that nothing refers to. Returns those that do: a caller may have named one meanwhile."""
    dying = set[bytes]()
    if SessionStore(tx).epoch() != epoch:  # another collection has begun, and has cleared graves that this one needs
        return dying
    for some in _batches(packs):
        live = (_PACK.c.name.in_(some), _PACK.c.state == LIVE, _PACK.c.used < epoch)
        mine = set(tx.scalars(select(_PACK.c.name).where(*live)))
        tx.execute(update(_PACK).where(_PACK.c.name.in_(mine)).values(state=DYING, at=now))
        dying |= mine
    for some in _batches(moved):
        gone = (_PACK.c.name.in_(some), _PACK.c.state == MOVED)
        if _count(tx, delete(_PACK).where(*gone)):
            SessionStore(tx).moves_changed()
    return dying


@dataclass(frozen=True)
class Doomed:
    """Packs whose objects can go. kept: rows stay, to say where their blobs are. held: how many must wait still."""

    gone: list[tuple[bytes, str]]
    kept: list[tuple[bytes, str]]
    held: int


def doomed(tx: Session, epoch: int, *, hold: timedelta, now: datetime) -> Doomed:
    """What was condemned, or moved before this epoch, so long ago that nobody reads it any more."""
    gone, kept, held = list[tuple[bytes, str]](), list[tuple[bytes, str]](), 0
    rows = select(_PACK.c.name, _PACK.c.kind, _PACK.c.state, _PACK.c.at, _PACK.c.used)
    for name, kind, state, at, used in tx.execute(rows.where(_PACK.c.state.in_((DYING, MOVING)))):
        if at > now - hold or (state == MOVING and used >= epoch):
            held += 1
        else:
            (gone if state == DYING else kept).append((name, kind))
    return Doomed(gone, kept, held)


def delete_objects(objects: Objects, packs: Iterable[tuple[bytes, str]]) -> int:
    """Delete packs from the store. Blocks. Returns the bytes that they took. May be repeated."""

    def one(key: str) -> int:
        size = objects.size(key)  # most names that a killed process had reserved were never used
        if size is not None:
            objects.delete(key)
        return size or 0

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="collect") as pool:
        return sum(pool.map(one, (key for name, kind in packs for key in _keys(name, kind))))


def drop_unfinished(objects: Objects, hold: timedelta, now: datetime) -> int:
    """Give up uploads that were cut off: packs of callers that can count no more, and parts of what we were storing."""
    mine = objects.drop_sendings("", now - max(hold, UPLOAD_TIME))
    return mine + objects.drop_sendings(PACKS, now - hold)


def stored_bytes(objects: Objects, packs: Iterable[tuple[bytes, str]]) -> int:
    """What packs take in the store. Blocks."""
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="collect") as pool:
        return sum(pool.map(lambda key: objects.size(key) or 0, (key for pack in packs for key in _keys(*pack))))


def forget(tx: Session, gone: Sequence[tuple[bytes, str]], kept: Sequence[tuple[bytes, str]]) -> None:
    """The objects of these packs are deleted."""
    for some in _batches([name for name, _ in gone]):
        tx.execute(delete(_PACK).where(_PACK.c.name.in_(some), _PACK.c.state == DYING))
    for some in _batches([name for name, _ in kept]):
        tx.execute(update(_PACK).where(_PACK.c.name.in_(some), _PACK.c.state == MOVING).values(state=MOVED))


def _keys(name: bytes, kind: str) -> list[str]:
    if kind == INDEX:
        return [index_key(name)]
    if kind == CONTENT:
        return [pack_key(name), incoming_key(name)]
    return [pack_key(name), index_key(name)]  # it was never published


def _batches(names: Collection[bytes]) -> Iterable[list[bytes]]:
    every = list(names)
    return (every[start : start + SOME] for start in range(0, len(every), SOME))


def _count(tx: Session, statement: Any) -> int:
    return cast("CursorResult[Any]", tx.execute(statement)).rowcount
