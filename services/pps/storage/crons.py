"""Rows of cron inputs, inside the caller's transaction: those of the versions in force, by when to look at them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from services.pps.domain.crons import TICKING, Cron
from services.pps.domain.names import PipelineKey
from services.pps.storage.tables import CronRow, PipelineRow


@dataclass(frozen=True, slots=True)
class Due:
    """A cron and the row that it stands in. at: when it was to be looked at."""

    key: PipelineKey
    place: int
    cron: Cron
    at: datetime


@dataclass(frozen=True)
class CronStore:
    """Never commits."""

    tx: Session

    def put(self, key: PipelineKey, crons: Sequence[Cron], *, look_at: datetime | None) -> None:
        """These are the pipeline's crons from now on."""
        self.remove(key)
        for place, cron in enumerate(crons):
            self.tx.add(
                CronRow(
                    project=key.project,
                    name=key.name,
                    place=place,
                    repo_project=cron.project,
                    repo=cron.repo,
                    spec=cron.spec,
                    start=cron.start,
                    overwrite=cron.overwrite,
                    look_at=look_at,
                )
            )

    def look(self, key: PipelineKey, at: datetime | None) -> None:
        """Look at all of a pipeline's crons then; None: not before somebody says so."""
        mine = CronRow.project == key.project, CronRow.name == key.name
        self.tx.execute(update(CronRow).where(*mine).values(look_at=at))

    def put_off(self, due: Due, at: datetime | None) -> None:
        """Look at a cron again then, unless somebody has said something else meanwhile."""
        row = CronRow.project == due.key.project, CronRow.name == due.key.name, CronRow.place == due.place
        self.tx.execute(update(CronRow).where(*row, CronRow.look_at == due.at).values(look_at=at))

    def first(self, most: int) -> list[Due]:
        """Those of pipelines that tick now which are to be looked at first, in order."""
        rows = (
            select(CronRow)
            .join(PipelineRow, (CronRow.project == PipelineRow.project) & (CronRow.name == PipelineRow.name))
            .where(CronRow.look_at.is_not(None), PipelineRow.state.in_(TICKING), PipelineRow.stopped.is_(False))
            .where(func.length(PipelineRow.doing) == 0)  # not by the index on it: nearly all are empty
            .order_by(CronRow.look_at)
            .limit(most)
        )
        return [_due(row) for row in self.tx.scalars(rows)]

    def remove(self, key: PipelineKey) -> None:
        self.tx.execute(delete(CronRow).where(CronRow.project == key.project, CronRow.name == key.name))


def _due(row: CronRow) -> Due:
    assert row.look_at is not None, "only such rows are asked for"
    cron = Cron(row.repo_project, row.repo, row.spec, row.start, row.overwrite)
    return Due(PipelineKey(row.project, row.name), row.place, cron, row.look_at)
