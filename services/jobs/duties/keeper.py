"""The leases of the jobs that this process drives: all renewed by one transaction, now and then and at news of an end.

The same look tells which jobs were killed or deleted meanwhile; whoever drives one of these drops it. A job that only
waits costs nothing beside. Elsewhere: driving (driver.py).
"""

import asyncio
import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import inf
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from services.jobs.domain.errors import Superseded
from services.jobs.domain.jobs import Job, JobState
from services.jobs.operations.running import moving
from services.jobs.operations.wakes import waited
from services.jobs.storage.jobs import JobStore
from services.kit.storage.database import Database
from services.kit.storage.leases import LeaseRow, drop_lease, take_lease
from services.kit.time.clock import Clock, fresh_id

log = logging.getLogger(__name__)
DUTY = "job/"
LEASE = timedelta(seconds=9)  # with the longest pause between tries: how soon the work of a dead process goes on
RENEW_EVERY = 2.0
AT_ONCE = 500  # rows in one statement
SURELY = 0.05  # seconds after which a lease that ran out is free, whatever a clock rounds
FRESH_SECONDS = 3.0  # so long after it was renewed a lease needs no other look
FORGET_AFTER = timedelta(hours=1)  # leases that nobody renews: of jobs that are over, from processes that were killed


@dataclass(eq=False)
class Hold:
    """The lease of a job in hand. task: cancelled once another process has it, or the job was killed or deleted."""

    job: Job
    fresh: bool
    """Whether the job was CREATED until now: nothing can have been put on its commits yet."""
    document: bytes
    task: asyncio.Task[Any]
    _keeper: "Keeper"
    seen: float
    """When the lease was known to be ours; the monotonic clock."""
    dropped: bool = False

    async def keep(self) -> None:
        """Be sure that the lease is ours. Raises Superseded."""
        if time.monotonic() - self.seen > FRESH_SECONDS and self.job.number not in await self._keeper.renew([self]):
            raise Superseded(f"another process drives job {self.job.number} by now")

    def drop(self, tx: Session) -> None:
        """Give the lease up with the caller's transaction, the last one of the job."""
        drop_lease(tx, _duty(self.job.number), self._keeper.holder)
        self.dropped = True  # should the transaction fail, the lease runs out


@dataclass
class Keeper:
    """replica: the name of this process, the same after a restart.

    A process takes over at once what a process of its name held; two that run under one name would be a mistake, but
    then, too, only one of them drives a job.
    """

    db: Database
    clock: Clock
    replica: str
    holder: str = field(init=False)
    _held: dict[int, Hold] = field(default_factory=dict)
    _look: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.holder = f"{self.replica} {fresh_id()}"

    async def take_over(self) -> None:
        """Have what an earlier process of this name had."""
        await self.db.run(_take_over, self.replica, self.holder, self.clock.now())

    async def take(self, number: int) -> Hold | None:
        """Take a job in hand, for the task that asks; one that was CREATED is STARTING then.

        None: somebody else has it, or it is over.
        """
        now, task = time.monotonic(), asyncio.current_task()
        assert task is not None
        begun = await self.db.run(_take, number, self.holder, self.clock.now())
        if begun is None:
            return None
        hold = Hold(*begun, task, self, now)
        self._held[number] = hold
        return hold

    async def free_in(self, number: int) -> float:
        """Seconds until somebody else's lease of a job runs out; infinite when nobody else has one, or none can say."""
        try:
            until = await self.db.read(_held_by_others, number, self.holder)
        except Exception:
            log.exception("cannot look at the lease of job %d now", number)
            return inf
        left = inf if until is None else (until - self.clock.now()).total_seconds()
        return left + SURELY if left > 0 else inf

    async def let_go(self, hold: Hold) -> None:
        """The job is in hand no more."""
        self._held.pop(hold.job.number, None)
        if not hold.dropped:
            await self.db.run(drop_lease, _duty(hold.job.number), self.holder)

    def look(self) -> None:
        """A job has ended, perhaps from outside."""
        self._look.set()

    async def run(self) -> None:
        """Renew until cancelled."""
        while True:
            await waited(self._look, RENEW_EVERY)
            try:
                await self.renew(list(self._held.values()))
            except Exception:
                log.exception("leases of jobs cannot be renewed now")

    async def renew(self, held: Collection[Hold]) -> frozenset[int]:
        """Renew leases; jobs that are not to be driven any more are dropped. Returns those that are still ours."""
        now = time.monotonic()
        numbers = [hold.job.number for hold in held]
        found = await self.db.run(_renew, numbers, self.holder, self.clock.now()) if numbers else {}
        for hold in held:
            state = found.get(hold.job.number)
            if state is None or (state is JobState.KILLED and not hold.job.final):
                hold.task.cancel()
            else:
                hold.seen = now
        return frozenset(found)


def _duty(number: int) -> str:
    return f"{DUTY}{number}"


def _held_by_others(tx: Session, number: int, holder: str) -> datetime | None:
    row = tx.get(LeaseRow, _duty(number))
    return None if row is None or row.holder == holder else row.until


def _take_over(tx: Session, replica: str, holder: str, now: datetime) -> None:
    """The leases of an earlier process of this name; what nobody has renewed for long goes."""
    tx.execute(delete(LeaseRow).where(LeaseRow.duty.startswith(DUTY), LeaseRow.until < now - FORGET_AFTER))
    of_it = LeaseRow.holder.startswith(f"{replica} ", autoescape=True)
    tx.execute(update(LeaseRow).where(LeaseRow.duty.startswith(DUTY), of_it).values(holder=holder))


def _take(tx: Session, number: int, holder: str, now: datetime) -> tuple[Job, bool, bytes] | None:
    """The job, whether it was CREATED until now, and the spec it runs with."""
    jobs = JobStore(tx)
    job = jobs.get(number)
    if job is None or job.closed or not take_lease(tx, _duty(number), holder, ttl=LEASE, now=now):
        return None
    document = jobs.spec(job)
    assert document is not None, "a version is kept as long as its jobs"
    if job.state is not JobState.CREATED:
        return job, False, document
    return moving.move(tx, number, JobState.STARTING, of=JobState.CREATED, now=now), True, document


def _renew(tx: Session, numbers: Sequence[int], holder: str, now: datetime) -> dict[int, JobState]:
    """How the jobs stand that are there and still the holder's."""
    found = dict[int, JobState]()
    for first in range(0, len(numbers), AT_ONCE):
        some = numbers[first : first + AT_ONCE]
        ours = (LeaseRow.duty.in_(map(_duty, some)), LeaseRow.holder == holder)
        tx.execute(update(LeaseRow).where(*ours).values(until=now + LEASE))
        held = set(tx.scalars(select(LeaseRow.duty).where(*ours)))
        states = JobStore(tx).states(some)
        found.update((number, state) for number, state in states.items() if _duty(number) in held)
    return found
