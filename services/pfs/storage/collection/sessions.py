"""Rows of sessions, of the epoch, and of the packs that a session writes; times are the database's.

Whoever publishes what it has written says its session in the same transaction: once the collector took a session away,
nothing of it can begin to count.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, bindparam, delete, func, insert, select, update
from sqlalchemy.orm import Session

from services.kit.errors import Unavailable
from services.kit.storage.database import UtcTime
from services.pfs.storage.collection.collection_tables import EpochRow, SessionRow
from services.pfs.storage.content.content_tables import CONTENT, DYING, LIVE, WRITING, PackRow
from services.pfs.storage.tables import table

SOME = 500
_PACK, _SESSION, _EPOCH = table(PackRow), table(SessionRow), table(EpochRow)
_PUBLISH = (
    update(_PACK)
    .where(_PACK.c.name == bindparam("wanted"), _PACK.c.state == WRITING)
    .values(state=LIVE, kind=bindparam("as_kind"), blobs=bindparam("holding"), at=bindparam("now"))
)
_STATE = select(_PACK.c.state).where(_PACK.c.name == bindparam("wanted"))
_HERE = select(_SESSION.c.id).where(_SESSION.c.id == bindparam("wanted"))


class SessionLost(Unavailable):
    """What was being written cannot count any more."""

    def __init__(self) -> None:
        super().__init__("the file service was away for so long that this call's data was given up; try again")


@dataclass(frozen=True)
class SessionStore:
    """Inside the caller's transaction; never commits it."""

    tx: Session

    def now(self) -> datetime:
        """The database's time."""
        return self.tx.scalars(select(func.current_timestamp(type_=UtcTime))).one()

    def epoch(self) -> int:
        return self.tx.scalar(select(_EPOCH.c.epoch)) or 0

    def times_moved(self) -> int:
        """How often the set of moved packs changed."""
        return self.tx.scalar(select(_EPOCH.c.moves)) or 0

    def moves_changed(self) -> None:
        """Let every process read anew which packs are moved."""
        self.tx.execute(update(_EPOCH).values(moves=_EPOCH.c.moves + 1))

    def begin_epoch(self) -> int:
        """The number of the next collection."""
        row = self.tx.scalars(select(EpochRow).with_for_update()).first()
        if row is None:
            row = EpochRow(id=1, epoch=0, moves=0)
            self.tx.add(row)
        row.epoch += 1
        self.tx.flush()
        return row.epoch

    def open(self, id: str, replica: str, *, ttl: timedelta) -> int:
        """Begin a session, instead of an earlier one of the same replica. Returns the epoch."""
        if replica:
            self.tx.execute(delete(_SESSION).where(_SESSION.c.replica == replica))
        epoch = self.epoch()
        self.tx.add(SessionRow(id=id, replica=replica, until=self.now() + ttl, quiet=epoch))
        return epoch

    def renew(self, id: str, *, ttl: timedelta, quiet: int) -> None:
        """Raises SessionLost."""
        row = self.tx.get(SessionRow, id)
        if row is None:
            raise SessionLost()
        row.until, row.quiet = self.now() + ttl, quiet

    def hold(self, id: str, *, ttl: timedelta) -> None:
        """Keep every collection waiting for `ttl` from now; one that has begun elsewhere condemns nothing any more."""
        until, row = self.now() + ttl, self.tx.get(SessionRow, id)
        if row is None:
            self.begin_epoch()
            self.tx.add(SessionRow(id=id, replica="", quiet=-1, until=until))
        else:
            row.until = until

    def close(self, id: str, unused: Iterable[bytes] = ()) -> None:
        """End a session. unused: names it has reserved and never written to."""
        for some in _batches(unused):
            self.tx.execute(delete(_PACK).where(_PACK.c.name.in_(some), _PACK.c.state == WRITING))
        self.tx.execute(delete(_SESSION).where(_SESSION.c.id == id))

    def check(self, id: str) -> None:
        """Raises SessionLost. The empty id is that of tests and tools that nothing is collected behind."""
        if id and self.tx.execute(_HERE, {"wanted": id}).first() is None:
            raise SessionLost()

    def still_out(self, epoch: int) -> list[str]:
        """Sessions in which calls may be running that began before `epoch`, after those that ran out are gone."""
        self.tx.execute(delete(_SESSION).where(_SESSION.c.until < self.now()))
        return list(self.tx.scalars(select(_SESSION.c.id).where(_SESSION.c.quiet < epoch)))

    def reserve(self, names: Sequence[bytes], session: str, now: datetime) -> None:
        """Note that packs are going to be written."""
        row = {"kind": "", "state": WRITING, "blobs": 0, "at": now, "session": session, "used": 0}
        self.tx.execute(insert(_PACK), [{"name": name, **row} for name in names])

    def give_up(self, names: Collection[bytes], now: datetime) -> None:
        """Those of these packs that are still being written never will count."""
        for some in _batches(names):
            left = update(_PACK).where(_PACK.c.name.in_(some), _PACK.c.state == WRITING)
            self.tx.execute(left.values(state=DYING, at=now))

    def publish(self, kind: str, packs: Iterable[tuple[bytes, int]], session: str, now: datetime) -> None:
        """Let packs of this session count, each with the number of its blobs; of those that count already, nothing.

        Raises SessionLost.
        """
        for name, blobs in packs:
            values = {"wanted": name, "as_kind": kind, "holding": blobs, "now": now}
            if cast("CursorResult[Any]", self.tx.execute(_PUBLISH, values)).rowcount == 1:
                continue
            state = self.tx.execute(_STATE, {"wanted": name}).scalar()
            if state is None and not session:
                row = {"name": name, "kind": kind, "state": LIVE, "blobs": blobs, "at": now, "used": 0}
                self.tx.execute(insert(_PACK), row)
            elif state != LIVE:
                raise SessionLost()

    def use(self, names: Collection[bytes]) -> bool:
        """Note that a caller refers to these content packs by name. False: some do not count (any more)."""
        epoch, found = self.epoch(), 0
        for some in _batches(names):
            live = update(_PACK).where(_PACK.c.name.in_(some), _PACK.c.state == LIVE, _PACK.c.kind == CONTENT)
            found += cast("CursorResult[Any]", self.tx.execute(live.values(used=epoch))).rowcount
        return found == len(names)

    def keep(self, names: Collection[bytes]) -> set[bytes]:
        """The same for those that count; says which they are."""
        epoch, found = self.epoch(), set[bytes]()
        for some in _batches(names):
            live = (_PACK.c.name.in_(some), _PACK.c.state == LIVE, _PACK.c.kind == CONTENT)
            self.tx.execute(update(_PACK).where(*live).values(used=epoch))
            found |= set(self.tx.scalars(select(_PACK.c.name).where(*live)))
        return found


def _batches(names: Iterable[bytes]) -> Iterable[list[bytes]]:
    every = list(names)
    return (every[start : start + SOME] for start in range(0, len(every), SOME))
