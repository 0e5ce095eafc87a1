"""Who holds which set: transactions around a message of the queue. The database decides; the queue only nudges."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from sqlalchemy.orm import Session

from services.jobs.domain.jobs import Job, JobKey, JobState
from services.jobs.domain.sets import RENEW_BELOW, DatumSet, SetState
from services.jobs.storage.jobs import JobStore
from services.jobs.storage.sets import SetStore


class Refusal(Enum):
    """Why a message gives no lease."""

    STALE = "stale"
    """Nobody needs the set any more."""
    BUSY = "busy"
    """Somebody holds it."""


@dataclass(frozen=True, slots=True)
class Leased:
    """A set that a worker now holds."""

    job: Job
    set: DatumSet
    plan: str


def lease_set(
    tx: Session,
    number: int,
    index: int,
    version: int,
    *,
    worker: str,
    incarnation: str,
    handle: str,
    now: datetime,
    until: datetime,
) -> Leased | Refusal:
    """Give a set to a worker."""
    jobs, sets = JobStore(tx), SetStore(tx)
    job, found = jobs.get(number), sets.get(number, index)
    if job is None or found is None or found.state is not SetState.OPEN:
        return Refusal.STALE
    if job.state is not JobState.RUNNING or job.version != version:
        return Refusal.STALE
    if found.held(now):
        return Refusal.BUSY
    sets.lease(number, index, worker=worker, incarnation=incarnation, lease=handle, until=until)
    return Leased(job, found, jobs.plan_of(number, index))


def held_by(tx: Session, worker: str, project: str, pipeline: str) -> list[DatumSet]:
    """What a worker holds according to the database."""
    return SetStore(tx).held_by(worker, project, pipeline)


def free_all(tx: Session, sets: list[DatumSet]) -> list[str]:
    """Free sets unless somebody else has them by now. Returns the handles to give back."""
    store, handles = SetStore(tx), []
    for one in sets:
        now = store.get(one.job, one.index)
        if now is not None and now.state is SetState.OPEN and now.lease == one.lease:
            store.free(one.job, one.index)
            handles.append(one.lease)
    return handles


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a lease."""

    held: bool
    reason: str = ""
    job: int = 0
    extend: bool = False
    cancelled: tuple[str, ...] = ()
    """Datums whose present attempt is to be cut short."""


def lease_fate(tx: Session, key: JobKey, index: int, lease: str, now: datetime, ttl: timedelta) -> Fate:
    """Whether a worker still holds a set. ttl: for how long leases are given."""
    job = JobStore(tx).find(key)
    if job is None:
        return Fate(False, "the job was deleted")
    found = SetStore(tx).get(job.number, index)
    if job.final:
        return Fate(False, job.reason or "the job has ended")
    if found is None or job.state is not JobState.RUNNING:
        return Fate(False, "the job began anew")
    if found.state is not SetState.OPEN:
        return Fate(False, "the set is done already")
    if found.lease != lease:
        return Fate(False, "the set was handed out again")
    extend = found.lease_until is None or found.lease_until - now < ttl * RENEW_BELOW
    return Fate(True, job=job.number, extend=extend, cancelled=tuple(found.cancelled.split()))


def told(tx: Session, number: int, index: int, lease: str, datums: Sequence[str]) -> None:
    """The worker knows of these cancellations."""
    found = SetStore(tx).get(number, index)
    if found is not None and found.lease == lease:
        left = [id for id in found.cancelled.split() if id not in datums]
        SetStore(tx).row(number, index).cancelled = " ".join(left)


def extend_lease(tx: Session, number: int, index: int, lease: str, until: datetime) -> None:
    """Let a lease run for its whole time again, if it is still the worker's."""
    found = SetStore(tx).get(number, index)
    if found is not None and found.state is SetState.OPEN and found.lease == lease:
        SetStore(tx).extend(number, index, until)
