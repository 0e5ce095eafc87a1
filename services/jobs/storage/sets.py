"""Rows of datum sets, inside the caller's transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, insert, or_, select, update
from sqlalchemy.orm import Session

from services.jobs.domain.jobs import JobState
from services.jobs.domain.sets import DatumSet, SetState
from services.jobs.storage.tables import HELD, JobRow, LeftRow, SetRow

LAST_INDEX = 2**31 - 1
"""Beyond this databases have no integers for it; callers may ask all the same."""


@dataclass(frozen=True)
class SetStore:
    """Rows of sets; never commits."""

    tx: Session

    def add(self, job: int, ranges: Sequence[tuple[int, int, int]], first: int = 0) -> None:
        """Give a job sets. ranges: (begin, length, datums) in the plan object; first: the number of the first."""
        rows = [
            {
                "job": job, "index": index, "state": int(SetState.OPEN), "begin": begin, "length": length,
                "datums": datums, "worker": "", "incarnation": "", "lease": "", "records": "", "output_files": "",
                "meta_files": "", "doing": "", "cancelled": "",
            }
            for index, (begin, length, datums) in enumerate(ranges, first)
        ]  # fmt: skip
        if rows:
            self.tx.execute(insert(SetRow), rows)

    def drop_from(self, job: int, first: int) -> None:
        """Take this set of a job and all later ones away."""
        self.tx.execute(delete(SetRow).where(SetRow.job == job, SetRow.index >= first))

    def drop_some(self, job: int, first: int, most: int) -> bool:
        """The same for so many of them at most. False: there are no more."""
        some = select(SetRow.index).where(SetRow.job == job, SetRow.index >= first).order_by(SetRow.index).limit(most)
        last = self.tx.scalar(select(func.max(some.subquery().c.index)))
        if last is not None:
            self.tx.execute(delete(SetRow).where(SetRow.job == job, SetRow.index >= first, SetRow.index <= last))
        return last is not None

    def any_to_sweep(self) -> bool:
        return self.tx.scalars(select(LeftRow.job).limit(1)).first() is not None

    def sweep(self, most: int) -> bool:
        """Take away so many sets at most that deleted jobs have left. False: there are none."""
        left = self.tx.scalars(select(LeftRow).order_by(LeftRow.job).limit(1)).first()
        if left is not None and not self.drop_some(left.job, 0, most):
            self.tx.delete(left)
        return left is not None

    def get(self, job: int, index: int) -> DatumSet | None:
        row = self.tx.get(SetRow, (job, index)) if index <= LAST_INDEX else None
        return None if row is None else _to_domain(row)

    def row(self, job: int, index: int) -> SetRow:
        found = self.tx.get(SetRow, (job, index), with_for_update=True)
        assert found is not None
        return found

    def in_state(self, job: int, state: SetState) -> list[DatumSet]:
        rows = select(SetRow).where(SetRow.job == job, SetRow.state == int(state)).order_by(SetRow.index)
        return [_to_domain(row) for row in self.tx.scalars(rows)]

    def above(self, job: int, index: int, limit: int) -> list[DatumSet]:
        """The sets that come after one, so many at most."""
        rows = select(SetRow).where(SetRow.job == job, SetRow.index > index).order_by(SetRow.index).limit(limit)
        return [_to_domain(row) for row in self.tx.scalars(rows)]

    def records(self, job: int) -> list[str]:
        """The records objects of a job's sets, in their order."""
        rows = select(SetRow.records).where(SetRow.job == job, SetRow.records != "").order_by(SetRow.index)
        return list(self.tx.scalars(rows))

    def left(self, job: int, *, most: int) -> int:
        """How many sets are not DONE, counted no further than to `most`."""
        not_done = (int(SetState.OPEN), int(SetState.TAKEN))
        some = select(SetRow.index).where(SetRow.job == job, SetRow.state.in_(not_done)).limit(most)
        return self.tx.scalar(select(func.count()).select_from(some.subquery())) or 0

    def unclaimed(self, job: int, *, most: int, now: datetime) -> int:
        """How many of a job's OPEN sets nobody has, counted no further than to `most`."""
        mine = SetRow.job == job, SetRow.state == int(SetState.OPEN)
        free = or_(SetRow.lease_until.is_(None), SetRow.lease_until <= now)
        some = select(SetRow.index).where(*mine, free).limit(most)
        return self.tx.scalar(select(func.count()).select_from(some.subquery())) or 0

    def any_left(self, job: int) -> bool:
        """Whether there are sets that are not DONE."""
        left = select(SetRow.index).where(SetRow.job == job, SetRow.state < int(SetState.DONE))
        return self.tx.execute(left.limit(1)).first() is not None

    def open_up_to(self, job: int, last: int) -> int:
        """How many of the sets up to this one are OPEN."""
        mine = (SetRow.job == job, SetRow.state == int(SetState.OPEN), SetRow.index <= last)
        return self.tx.scalar(select(func.count()).select_from(SetRow).where(*mine)) or 0

    def open_after(
        self, job: int, after: int, up_to: int | None, most: int, now: datetime
    ) -> tuple[list[int], int | None]:
        """The next OPEN sets that nobody holds, and the last one that was looked at; None when there are no more."""
        rows = select(SetRow.index, SetRow.lease_until).where(SetRow.job == job, SetRow.state == int(SetState.OPEN))
        rows = rows.where(SetRow.index > after).order_by(SetRow.index)
        if up_to is not None:
            rows = rows.where(SetRow.index <= up_to)
        found = self.tx.execute(rows.limit(most)).all()
        free = [index for index, until in found if until is None or until <= now]
        return free, found[-1][0] if found else None

    def free_of(self, job: int, now: datetime) -> tuple[int, int]:
        """How many sets of a job nobody has, and how many datums are in them."""
        free = or_(SetRow.lease_until.is_(None), SetRow.lease_until <= now)
        row = self.tx.execute(
            select(func.count(), func.coalesce(func.sum(SetRow.datums), 0)).where(
                SetRow.job == job, SetRow.state == int(SetState.OPEN), free
            )
        ).one()
        return int(row[0]), int(row[1])

    def held_by(self, worker: str, project: str, pipeline: str, *, job: str = "") -> list[DatumSet]:
        """What a worker has leased and not answered; of the job with this id alone if one is given."""
        rows = (
            select(SetRow)
            .join(JobRow, JobRow.number == SetRow.job)
            .where(SetRow.worker == worker, SetRow.state == int(SetState.OPEN), SetRow.lease != "")
            .where(JobRow.project == project, JobRow.pipeline == pipeline, JobRow.state == int(JobState.RUNNING))
        )
        if job:
            rows = rows.where(JobRow.id == job)
        return [_to_domain(row) for row in self.tx.scalars(rows)]

    def held(self, job: int) -> list[DatumSet]:
        """A job's sets that workers have and have not answered."""
        rows = self.tx.scalars(select(SetRow).where(SetRow.job == job, HELD))
        return sorted(map(_to_domain, rows), key=lambda one: one.index)  # few: else SQLite would rather read all sets

    def lease(self, job: int, index: int, *, worker: str, incarnation: str, lease: str, until: datetime) -> None:
        row = self.row(job, index)
        row.worker, row.incarnation, row.lease, row.lease_until = worker, incarnation, lease, until
        row.doing, row.cancelled = "", ""

    def free(self, job: int, index: int) -> None:
        row = self.row(job, index)
        row.worker, row.incarnation, row.lease, row.lease_until = "", "", "", None

    def extend(self, job: int, index: int, until: datetime) -> None:
        self.row(job, index).lease_until = until

    def forget(self, job: int) -> None:
        """Free everything a job's workers hold; they learn of it when they renew."""
        self.tx.execute(update(SetRow).where(SetRow.job == job, HELD).values(lease="", lease_until=None))


def _to_domain(row: SetRow) -> DatumSet:
    return DatumSet(
        row.job, row.index, SetState(row.state), row.begin, row.length, row.datums, row.worker, row.incarnation,
        row.lease, row.lease_until, row.records, row.output_files, row.meta_files, row.doing, row.cancelled,
    )  # fmt: skip
