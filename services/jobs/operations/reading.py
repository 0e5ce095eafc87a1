"""Reading jobs and datums: lists with their filters and pages, and the datum index of a job that may still run."""

import heapq
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import ColumnElement, literal
from sqlalchemy.orm import Session

from services.jobs.domain.jobs import Job, JobKey
from services.jobs.domain.records import Record, read_record
from services.jobs.storage.jobs import JobStore, in_projects
from services.jobs.storage.objects import Indexes, read_directory, read_entries, row_of
from services.jobs.storage.sets import SetStore
from services.jobs.storage.tables import JobRow
from services.kit.sortedmap.rows import Root, Row
from services.kit.sortedmap.tree import get, scan

PAGE = 200
ID_BYTES = 32


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs. history: versions of a job's pipeline to go back, negative for all; marker: exclusive.

    version: of the pipeline in force; None: the newest that has had a job.
    """

    pipeline: tuple[str, str] | None = None
    version: int | None = None
    projects: tuple[str, ...] = ()
    history: int = -1
    marker: datetime | None = None
    reverse: bool = False


def list_jobs(tx: Session, wanted: JobFilter, after: int | None, number: int) -> list[Job]:
    """A page of jobs, newest first, or oldest first when reverse. after: the last job of the page before."""
    conditions: list[ColumnElement[bool]] = []
    if wanted.pipeline is not None:
        project, name = wanted.pipeline
        conditions += [JobRow.project == project, JobRow.pipeline == name]
    if wanted.history >= 0:
        newest = JobStore.newest_version() if wanted.version is None else literal(wanted.version)
        conditions.append(newest - JobRow.version <= wanted.history)
    if wanted.projects:
        conditions.append(in_projects(wanted.projects))
    if wanted.marker is not None:
        conditions.append(JobRow.created > wanted.marker if wanted.reverse else JobRow.created < wanted.marker)
    return JobStore(tx).select(*conditions, newest_first=not wanted.reverse, number=number, after=after)


def last_number(tx: Session) -> int:
    """Of the job that was made last."""
    return JobStore(tx).last_number()


def jobs_since(tx: Session, project: str, pipeline: str, number: int) -> list[Job]:
    """A pipeline's jobs that were made after the one of this number, oldest first, however they stand."""
    made = (JobRow.number > number, JobRow.project == project, JobRow.pipeline == pipeline)
    return JobStore(tx).select(*made, newest_first=False)


def jobs_of_set(tx: Session, id: str) -> list[Job]:
    return JobStore(tx).of_set(id)


def document_of(tx: Session, job: Job) -> bytes | None:
    """The spec that a job runs with."""
    return JobStore(tx).spec(job)


def documents_of(tx: Session, key: JobKey, ids: Collection[str]) -> dict[str, bytes]:
    """The specs of a pipeline's jobs, by their ids; none of those that are gone."""
    jobs, found = JobStore(tx), dict[str, bytes]()
    for id in ids:
        job = jobs.find(replace(key, id=id))
        if job is not None and (document := jobs.spec(job)) is not None:
            found[id] = document
    return found


@dataclass(frozen=True, slots=True)
class DatumView:
    """The datums of a job so far: what it took over, and what its sets have added since."""

    root: Root
    added: tuple[str, ...]


def datum_view(tx: Session, number: int) -> DatumView:
    jobs = JobStore(tx)
    if jobs.is_indexed(number):
        return DatumView(jobs.root(number), ())
    return DatumView(jobs.root(number), tuple(SetStore(tx).records(number)))


def find_record(indexes: Indexes, view: DatumView, id: bytes) -> Record | None:
    """One datum. Blocks."""
    for name in view.added:
        for row in read_directory(indexes.objects, name):
            if row.key == id:
                return read_record(indexes.record(row))
    row_in_root = get(indexes.reader, view.root, id)
    return None if row_in_root is None else read_record(indexes.record(row_in_root))


def records_page(indexes: Indexes, rows: Iterator[Row], most: int = PAGE) -> Sequence[Record]:
    """The next records of an iteration; none at its end. Blocks."""
    found = []
    for row in rows:
        found.append(read_record(indexes.record(row)))
        if len(found) == most:
            break
    return found


def rows_of(indexes: Indexes, view: DatumView, marker: bytes, *, reverse: bool) -> Iterator[Row]:
    """Rows with ids after the marker, ascending; or before it (all without one), descending when reverse. Blocks."""
    low = marker + b"\x00" if marker and not reverse else b""
    high = marker if marker and reverse else None
    rows = scan(indexes.reader, view.root, low, high, reverse=reverse)
    found = (entry for name in view.added for entry in read_entries(indexes.objects, name))
    more = sorted(
        (entry for entry in found if low <= entry[:ID_BYTES] and (high is None or entry[:ID_BYTES] < high)),
        reverse=reverse,
    )
    return heapq.merge(rows, map(row_of, more), key=lambda row: row.key, reverse=reverse)
