"""Rows of jobs and of pipeline versions, inside the caller's transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, exists, func, select
from sqlalchemy.orm import Session

from services.jobs.domain.jobs import Counters, Job, JobKey, JobState, Stats
from services.jobs.storage.origins import Origins
from services.jobs.storage.tables import JobRow, LeftRow, SetRow, SpecRow
from services.kit.sortedmap.rows import EMPTY, Place, Root

MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class JobStore:
    """Rows of jobs; never commits."""

    tx: Session

    def get(self, number: int) -> Job | None:
        row = self.tx.get(JobRow, number)
        return None if row is None else to_domain(row)

    def states(self, numbers: Sequence[int]) -> dict[int, JobState]:
        """Of those jobs that are there."""
        rows = self.tx.execute(select(JobRow.number, JobRow.state).where(JobRow.number.in_(numbers)))
        return {row.number: JobState(row.state) for row in rows}

    def find(self, key: JobKey) -> Job | None:
        found = self.tx.scalars(select(JobRow).where(*_named(key))).first()
        return None if found is None else to_domain(found)

    def row(self, number: int) -> JobRow:
        """The row itself, for those that change it."""
        found = self.tx.get(JobRow, number, with_for_update=True)
        assert found is not None
        return found

    def add(
        self, key: JobKey, *, pipeline_made: datetime, version: int, output_branch: str, traceparent: str, now: datetime
    ) -> Job:
        row = JobRow(
            project=key.project,
            pipeline=key.pipeline,
            id=key.id,
            pipeline_made=pipeline_made,
            version=version,
            output_branch=output_branch,
            traceparent=traceparent,
            state=JobState.CREATED,
            reason="",
            created=now,
        )
        self.tx.add(row)
        self.tx.flush()
        return to_domain(row)

    def save(self, job: Job) -> None:
        """Write what may change about a job."""
        row = self.tx.get(JobRow, job.number)  # at hand: it was read to know where the job stands
        assert row is not None
        row.state, row.reason, row.restart, row.closed = job.state, job.reason, job.restart, job.closed
        row.started, row.finished, row.first_failed = job.started, job.finished, job.first_failed
        row.total, row.processed, row.skipped = job.counters.total, job.counters.processed, job.counters.skipped
        row.failed, row.recovered = job.counters.failed, job.counters.recovered
        row.download_us, row.process_us = job.stats.download // MICROSECOND, job.stats.process // MICROSECOND
        row.upload_us = job.stats.upload // MICROSECOND
        row.download_bytes, row.upload_bytes = job.stats.download_bytes, job.stats.upload_bytes
        self.tx.flush()

    def remove(self, number: int) -> None:
        """Its sets go later, some at a time (sets.py)."""
        if self.tx.scalars(select(SetRow.index).where(SetRow.job == number).limit(1)).first() is not None:
            self.tx.add(LeftRow(job=number))
        Origins(self.tx).forget(number)
        self.tx.execute(delete(JobRow).where(JobRow.number == number))

    def of_others(self, project: str, pipeline: str, made: datetime | None, until: int, most: int) -> list[Job]:
        """Jobs up to a number of pipelines of this name but for the one that was made then; oldest first."""
        of_it = [JobRow.project == project, JobRow.pipeline == pipeline, JobRow.number <= until]
        if made is not None:
            of_it.append(JobRow.pipeline_made != made)
        return self.select(*of_it, newest_first=False, number=most)

    def pipelines(self, project: str = "", pipeline: str = "") -> list[tuple[str, str, datetime]]:
        """Every pipeline, or all of a name, that has had jobs which are still known, and when it was made."""
        rows = select(SpecRow.project, SpecRow.pipeline, SpecRow.made).distinct()
        if pipeline:
            rows = rows.where(SpecRow.project == project, SpecRow.pipeline == pipeline)
        return [(row.project, row.pipeline, row.made) for row in self.tx.execute(rows)]

    def drop_specs(self, project: str, pipeline: str, made: datetime | None) -> None:
        """Forget the versions that no job refers to of pipelines of this name but for the one that was made then."""
        used = (*_versions_of_job(), JobRow.version == SpecRow.version)
        of_it = [SpecRow.project == project, SpecRow.pipeline == pipeline, ~exists().where(*used)]
        if made is not None:
            of_it.append(SpecRow.made != made)
        self.tx.execute(delete(SpecRow).where(*of_it))

    def pipelines_with_work(self) -> list[tuple[str, str]]:
        """Pipelines with jobs that are not over, or not tidied up."""
        rows = select(JobRow.project, JobRow.pipeline).where(JobRow.closed.is_(False)).distinct()
        return [(row.project, row.pipeline) for row in self.tx.execute(rows)]

    def unclosed(self, project: str, pipeline: str) -> list[Job]:
        """A pipeline's jobs that are not over, or not tidied up, oldest first."""
        of_it = (JobRow.closed.is_(False), JobRow.project == project, JobRow.pipeline == pipeline)
        return [to_domain(row) for row in self.tx.scalars(select(JobRow).where(*of_it).order_by(JobRow.number))]

    def last_state(self, project: str, pipeline: str) -> int:
        """Of a pipeline's newest job; 0 if it has none. The index begins with whether jobs are over: two looks."""
        found = list[tuple[int, int]]()
        for closed in (True, False):
            of_it = (JobRow.closed.is_(closed), JobRow.project == project, JobRow.pipeline == pipeline)
            newest = select(JobRow.number, JobRow.state).where(*of_it).order_by(JobRow.number.desc()).limit(1)
            found += [(row.number, row.state) for row in self.tx.execute(newest)]
        return max(found)[1] if found else 0

    def select(
        self, *conditions: ColumnElement[bool], newest_first: bool = True, number: int = 0, after: int | None = None
    ) -> list[Job]:
        """Jobs by order of creation. after: number of the last job of the page before."""
        rows = select(JobRow).where(*conditions)
        if after is not None:
            rows = rows.where(JobRow.number < after if newest_first else JobRow.number > after)
        rows = rows.order_by(JobRow.number.desc() if newest_first else JobRow.number)
        return [to_domain(row) for row in self.tx.scalars(rows.limit(number) if number else rows)]

    def of_set(self, id: str) -> list[Job]:
        return self.select(JobRow.id == id, newest_first=False)

    @staticmethod
    def newest_version() -> ColumnElement[int]:
        """Of the pipeline of a job, as far as versions have had jobs; for conditions of `select`."""
        of_it = _versions_of_job()
        return select(func.max(SpecRow.version)).where(*of_it).correlate(JobRow).scalar_subquery()

    def last_number(self) -> int:
        return self.tx.scalar(select(func.max(JobRow.number))) or 0

    def set_root(self, number: int, root: Root, *, indexed: bool) -> None:
        row = self.row(number)
        row.root_id, row.root_rows, row.indexed = root.id, root.rows, indexed
        row.root_pack = None if root.place is None else root.place.pack
        if root.place is not None:
            row.root_offset, row.root_stored = root.place.offset, root.place.stored
        self.tx.flush()

    def root(self, number: int) -> Root:
        """The datum index, as far as it is built; EMPTY before there is a plan."""
        row = self.tx.get(JobRow, number)
        if row is None or row.root_id is None or row.root_pack is None:
            return EMPTY
        return Root(row.root_id, Place(row.root_pack, row.root_offset, row.root_stored), row.root_rows, 0)

    def is_indexed(self, number: int) -> bool:
        row = self.tx.get(JobRow, number)
        return row is not None and row.indexed

    def plan(self, number: int) -> str:
        row = self.tx.get(JobRow, number)
        return "" if row is None else row.plan

    def rest(self, number: int) -> str:
        row = self.tx.get(JobRow, number)
        return "" if row is None else row.rest

    def plan_of(self, number: int, index: int) -> str:
        """The plan object that holds a set."""
        row = self.tx.get(JobRow, number)
        return "" if row is None else row.rest if row.rest and index >= row.rest_from else row.plan

    def keep_spec(self, project: str, pipeline: str, made: datetime, version: int, document: bytes) -> None:
        if self.tx.get(SpecRow, (project, pipeline, made, version)) is None:
            row = SpecRow(project=project, pipeline=pipeline, made=made, version=version, document=document)
            self.tx.add(row)

    def spec(self, job: Job) -> bytes | None:
        """The version that a job runs."""
        row = self.tx.get(SpecRow, (job.key.project, job.key.pipeline, job.pipeline_made, job.version))
        return None if row is None else row.document


def _versions_of_job() -> tuple[ColumnElement[bool], ...]:
    """Of its pipeline, not of another one of the name."""
    of_it = (SpecRow.project == JobRow.project, SpecRow.pipeline == JobRow.pipeline)
    return (*of_it, SpecRow.made == JobRow.pipeline_made)


def in_projects(projects: Sequence[str]) -> ColumnElement[bool]:
    return JobRow.project.in_(projects)


def _named(key: JobKey) -> tuple[ColumnElement[bool], ...]:
    return JobRow.project == key.project, JobRow.pipeline == key.pipeline, JobRow.id == key.id


def to_domain(row: JobRow) -> Job:
    return Job(
        number=row.number,
        key=JobKey(row.project, row.pipeline, row.id),
        pipeline_made=row.pipeline_made,
        version=row.version,
        output_branch=row.output_branch,
        state=JobState(row.state),
        created=row.created,
        reason=row.reason,
        started=row.started,
        finished=row.finished,
        restart=row.restart or 0,
        counters=Counters(row.total or 0, row.processed or 0, row.skipped or 0, row.failed or 0, row.recovered or 0),
        stats=Stats(
            (row.download_us or 0) * MICROSECOND,
            (row.process_us or 0) * MICROSECOND,
            (row.upload_us or 0) * MICROSECOND,
            row.download_bytes or 0,
            row.upload_bytes or 0,
        ),
        first_failed=row.first_failed or "",
        closed=bool(row.closed),
        traceparent=row.traceparent,
        awaits=row.awaits,
    )
