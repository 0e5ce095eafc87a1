"""Why a datum ran in a job, was skipped, or went away: its record held against that of the base job.

Elsewhere: what may be a reason (domain/explaining.py); what is held against what when a job is planned
(planning/planner.py).
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from services.jobs.domain.datums import Datum, InputFile
from services.jobs.domain.errors import CommitGone, DatumNotFound, NotPlanned
from services.jobs.domain.explaining import Explained, Outcome, Reason, Why, differences, outcome_of
from services.jobs.domain.jobs import Job, JobKey, JobState
from services.jobs.domain.records import Planned, Record, read_planned, read_record
from services.jobs.domain.sets import DatumSet, SetState
from services.jobs.operations import reading
from services.jobs.operations.running.bases import Running, find_base
from services.jobs.operations.running.tools import Tools
from services.jobs.peers.pfs import CommitRef
from services.jobs.spec_reader import read_document
from services.jobs.storage.jobs import JobStore
from services.jobs.storage.sets import SetStore
from services.kit.sortedmap.tree import get


@dataclass(frozen=True, slots=True)
class _Before:
    """The base job, and what it knew of the datum."""

    job: JobKey | None = None
    record: Record | None = None


async def explain_datum(tools: Tools, job: Job, id: bytes) -> Explained:
    """Raises DatumNotFound, NotPlanned."""
    view = await tools.db.read(reading.datum_view, job.number)
    record = await asyncio.to_thread(reading.find_record, tools.indexes, view, id)
    before = await _before(tools, job, id)
    if record is not None and record.job != job.key.id:
        ran_in, same = replace(job.key, id=record.job), (Reason(Why.UNCHANGED),)
        return Explained(job.key, record.id, Outcome.SKIPPED, same, before.job or ran_in, ran_in)
    if record is not None:
        found = Explained(job.key, record.id, outcome_of(record, job.key.id), (), before.job, job.key, record.reason)
        return replace(found, reasons=await _reasons(tools, job, record.inputs, record.hash, before))
    if job.state in (JobState.CREATED, JobState.STARTING):
        raise NotPlanned(job.key)
    planned, worker = await _planned(tools, job, id)
    if planned is not None:
        reasons = await _reasons(tools, job, planned.inputs, planned.hash, before)
        return Explained(job.key, planned.id, Outcome.WAITING, reasons, before.job, worker=worker)
    if before.record is None or before.job is None:
        raise DatumNotFound(id.hex(), job.key)
    removed = tuple([one async for one in _missing(tools, before.record.inputs, job.key.id)])
    reasons = tuple(Reason(Why.PATH_REMOVED, file, before=file.digest) for file in removed)
    combined = (Reason(Why.COMBINATION_CHANGED),)
    ran_in = replace(job.key, id=before.record.job)
    return Explained(job.key, before.record.id, Outcome.GONE, reasons or combined, before.job, ran_in)


async def _before(tools: Tools, job: Job, id: bytes) -> _Before:
    try:
        base = await find_base(tools.db, tools.pfs, job)
    except CommitGone:
        return _Before()
    if isinstance(base, Running):
        return _Before(base.job.key)
    if base.number is None:
        return _Before()
    found = await tools.db.read(lambda tx: JobStore(tx).get(base.number or 0))
    row = await asyncio.to_thread(get, tools.indexes.reader, base.root, id)
    record = None if row is None else read_record(await asyncio.to_thread(tools.indexes.record, row))
    return _Before(None if found is None else found.key, record)


async def _reasons(tools: Tools, job: Job, now: Datum, hash: str, before: _Before) -> tuple[Reason, ...]:
    """Why a datum runs."""
    if before.job is None:
        return (Reason(Why.NO_BASE),)
    if before.record is not None:
        document = await tools.db.read(reading.document_of, job)
        every = document is not None and read_document(document).every_job
        return differences(now, hash, before.record, every_job=every)
    added = [one async for one in _missing(tools, now, before.job.id)]
    return tuple(Reason(Why.PATH_ADDED, file, now=file.digest) for file in added) or (Reason(Why.COMBINATION_CHANGED),)


async def _missing(tools: Tools, files: Iterable[InputFile], id: str) -> AsyncIterator[InputFile]:
    """Those of the files that the inputs of the job with this id have not."""
    for file in dict.fromkeys(files):
        leaf = file.leaf
        try:
            read = (await tools.pfs.commit(CommitRef(leaf.project, leaf.repo, "user", id))).ref
            batches = tools.pfs.glob(replace(read, type=leaf.repo_type), file.path.rstrip("/") or "/")
            there = [match async for batch in batches for match in batch]
        except CommitGone:  # the pipeline did not read that repo then
            there = []
        if not there:
            yield file


async def _planned(tools: Tools, job: Job, id: bytes) -> tuple[Planned | None, str]:
    """A datum that has not run yet, and the worker that has it."""
    sets = await tools.db.read(_open_sets, job.number)
    wanted = id.hex().encode()

    def find(one: DatumSet, plan: str) -> Planned | None:
        data = tools.indexes.objects.get_range(plan, one.begin, one.length)
        if wanted not in data:
            return None
        return next((read_planned(line) for line in data.splitlines() if wanted in line[:80]), None)

    for one, plan in sets:
        found = await asyncio.to_thread(find, one, plan)
        if found is not None:
            return found, one.worker if one.held(tools.clock.now()) else ""
    return None, ""


def _open_sets(tx: Session, number: int) -> list[tuple[DatumSet, str]]:
    """With the plan object that each is in."""
    jobs = JobStore(tx)
    return [(one, jobs.plan_of(number, one.index)) for one in SetStore(tx).in_state(number, SetState.OPEN)]
