"""Collecting what nothing refers to any more: steps that are transactions; any of them may be the last before a crash.

Looked at are only pipelines that have lost jobs since the last time, with the jobs that they have left. What none of
these refers to nobody can find any more: a job takes over from another one in a transaction that sees it there still.
What was reserved long ago and never published is given up. Objects go first, rows after them.
Elsewhere: who runs this (duties/collector.py); what is referred to (marking.py).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from services.jobs.operations.upkeep.marking import Held, held
from services.jobs.storage.ledger import Kept, Ledger
from services.jobs.storage.objects import KINDS, key_of
from services.kit.objects.port import Objects
from services.kit.storage.leases import drop_lease, take_lease

DUTY = "collecting"
LEASE = timedelta(minutes=2)
TO_BE_USED = timedelta(hours=1)
"""So long a name that was reserved may wait for its object at least; far longer than one is good for."""


@dataclass(frozen=True)
class Snapshot:
    """A pipeline that has lost jobs. graves: their rows; objects: what may go; left: what its other jobs hold."""

    graves: list[int]
    objects: list[Kept]
    left: Held


@dataclass
class Report:
    """unreferenced: found now; waiting: kept until `hold` is over; deleted: also what was found before."""

    pipelines: int = 0
    abandoned: int = 0
    unreferenced: list[Kept] = field(default_factory=list)
    waiting: int = 0
    deleted: int = 0
    deleted_bytes: int = 0
    unreferenced_bytes: int = 0


def lease(tx: Session, holder: str, now: datetime, *, ttl: timedelta = LEASE) -> bool:
    """Be the one who may delete; also for who must not have anything deleted. False: somebody else is."""
    return take_lease(tx, DUTY, holder, ttl=ttl, now=now)


def release(tx: Session, holder: str) -> None:
    drop_lease(tx, DUTY, holder)


def give_up(tx: Session, hold: timedelta, now: datetime) -> int:
    """What was reserved and never used is to be deleted. Returns how many."""
    return Ledger(tx).give_up(now - max(hold, TO_BE_USED), now)


def snapshots(tx: Session) -> list[Snapshot]:
    """Every pipeline that has lost jobs, all at one moment."""
    ledger = Ledger(tx)
    return [Snapshot(graves, ledger.live(*owner), held(tx, owner)) for owner, graves in ledger.graves().items()]


def condemn(tx: Session, found: Snapshot, names: Sequence[str], now: datetime) -> None:
    """Nothing refers to these objects of the pipeline."""
    Ledger(tx).condemn(names, now)
    Ledger(tx).close_graves(found.graves)


def doomed(tx: Session, hold: timedelta, now: datetime) -> tuple[list[Kept], int]:
    """What was condemned so long ago that nobody reads it any more, and how many must wait still."""
    dying = Ledger(tx).dying()
    gone = [one for one, at in dying if at <= now - hold]
    return gone, len(dying) - len(gone)


def forget(tx: Session, gone: Sequence[Kept]) -> None:
    """The objects are deleted."""
    Ledger(tx).forget([one.name for one in gone])


def delete_objects(objects: Objects, gone: Iterable[Kept]) -> int:
    """Delete objects from the store; returns the bytes that they took. Blocks; may be repeated."""
    freed = 0
    for one in gone:
        for key in _keys(one):
            freed += objects.size(key) or 0
            objects.delete(key)
    return freed


def stored_bytes(objects: Objects, some: Iterable[Kept]) -> int:
    """What objects take in the store. Blocks."""
    return sum(objects.size(key) or 0 for one in some for key in _keys(one))


def _keys(one: Kept) -> list[str]:
    return [key_of(kind, one.name) for kind in ([one.kind] if one.kind else KINDS)]
