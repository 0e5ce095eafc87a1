"""Results of sets: the first answer for a set counts, whatever happens in between.

Three steps, each of which can be repeated: TAKEN with the first answer (from here on no other counts), its files are
attached to the commits, DONE with its counters. A set found TAKEN after a crash goes on at the second step.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.orm import Session

from services.jobs.domain.datums import DatumState
from services.jobs.domain.jobs import Counters, Job, JobState, Stats
from services.jobs.domain.records import Ended, Record, read_record
from services.jobs.domain.sets import DatumSet, SetState
from services.jobs.operations.running.bases import commits_of
from services.jobs.operations.running.tools import Tools, line_of
from services.jobs.peers.pfs import FileSetGone, Pfs
from services.jobs.storage.jobs import JobStore
from services.jobs.storage.ledger import Ledger
from services.jobs.storage.objects import RECORDS, Indexes, read_directory, records_key
from services.jobs.storage.sets import SetStore
from services.kit.sortedmap.rows import Row
from services.kit.storage.outbox import Outbox

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tally:
    """What a set adds to its job."""

    counters: Counters
    stats: Stats
    first_failed: str


def tally(records: Sequence[Ended | Record]) -> Tally:
    """Sum up a set."""
    states = [record.state for record in records]
    stats = Stats()
    for record in records:
        stats = stats.plus(record.stats)
    failed = next((record.id for record in records if record.state is DatumState.FAILED), "")
    counters = Counters(
        processed=states.count(DatumState.SUCCESS),
        failed=states.count(DatumState.FAILED),
        recovered=states.count(DatumState.RECOVERED),
    )
    return Tally(counters, stats, failed)


def take_results(
    tx: Session,
    number: int,
    index: int,
    *,
    records: str,
    output_files: str,
    meta_files: str,
    worker: str,
    now: datetime,
) -> bool:
    """Let this answer be the one that counts. False: another one came first, or the job needs none any more.

    Raises ObjectGivenUp.
    """
    job, sets = JobStore(tx).get(number), SetStore(tx)
    found = sets.get(number, index)
    if job is None or found is None or job.state is not JobState.RUNNING or found.state is not SetState.OPEN:
        return False
    Ledger(tx).publish(RECORDS, [records], job.key, now)
    row = sets.row(number, index)
    row.state, row.records, row.worker = SetState.TAKEN, records, worker
    row.output_files, row.meta_files, row.lease_until = output_files, meta_files, None
    return True


def count_results(tx: Session, number: int, index: int, added: Tally, *, now: datetime) -> bool:
    """Count a TAKEN set, once. True: it was the last of the job."""
    jobs, sets = JobStore(tx), SetStore(tx)
    job, found = jobs.get(number), sets.get(number, index)
    if job is None or found is None or found.state is not SetState.TAKEN:
        return False
    sets.row(number, index).state = SetState.DONE
    row = jobs.row(number)
    more, stats = job.counters.plus(added.counters), job.stats.plus(added.stats)
    failed = job.first_failed or added.first_failed
    jobs.save(replace(job, counters=more, stats=stats, first_failed=failed))
    tx.flush()
    last = not sets.any_left(number)
    if last:
        Outbox(tx).add("jobs.job.changed", str(job.key), at=now, facts={"state": JobState(row.state).name})
    return last


def reopen(tx: Session, number: int, index: int, *, now: datetime) -> None:
    """Let a TAKEN set run again: its file sets are gone before they were attached."""
    found = SetStore(tx).get(number, index)
    if found is not None and found.state is SetState.TAKEN:
        Ledger(tx).condemn([found.records], now)
        row = SetStore(tx).row(number, index)
        row.state, row.records, row.output_files, row.meta_files, row.lease = SetState.OPEN, "", "", "", ""


def taken_sets(tx: Session, number: int) -> list[DatumSet]:
    return SetStore(tx).in_state(number, SetState.TAKEN)


async def attach(pfs: Pfs, job: Job, *, output_files: str, meta_files: str) -> bool:
    """Put a set's files on the job's commits. False: they are gone."""
    output, meta = commits_of(job)
    wanted = [(output, output_files), (meta, meta_files)]
    try:
        await asyncio.gather(*(pfs.add_file_set(ref, files) for ref, files in wanted if files))
    except FileSetGone as gone:
        log.warning("file set %s of job %s is gone: the set runs again", gone, job.key)
        return False
    return True


async def settle(tools: Tools, job: Job, one: DatumSet) -> bool:
    """Bring a TAKEN set to DONE: attach its files, count it. False: its files are gone and it runs again."""
    if not await attach(tools.pfs, job, output_files=one.output_files, meta_files=one.meta_files):
        await _take_back(tools, job, one)
        await tools.db.run(reopen, one.job, one.index, now=tools.clock.now())
        await tools.queue.put(line_of(job), one.job, [one.index])
        return False

    await count(tools, job, one.index, tally(await asyncio.to_thread(_records, tools.indexes, one)))
    return True


def _records(indexes: Indexes, one: DatumSet) -> list[Record]:
    """What became of the datums of a set. Blocks."""
    key, objects = records_key(bytes.fromhex(one.records)), indexes.objects
    return [read_record(objects.get_range(key, *_span(row))) for row in read_directory(objects, one.records)]


async def _take_back(tools: Tools, job: Job, one: DatumSet) -> None:
    """Let the job's commits be without a set of whose two file sets one was attached: it may write other files now."""
    records, (output, meta) = await asyncio.to_thread(_records, tools.indexes, one), commits_of(job)
    await tools.pfs.delete(output, [(path, record.id) for record in records for path in record.outputs])
    places = [(f"/{top}/{record.id}/", record.id) for record in records for top in ("meta", "pfs")]
    await tools.pfs.delete(meta, places)


async def count(tools: Tools, job: Job, index: int, added: Tally) -> None:
    """Count a set whose files are attached; wake the driver after the last one."""
    if await tools.db.run(count_results, job.number, index, added, now=tools.clock.now()):
        tools.wakes.wake(str(job.key))


def _span(row: Row) -> tuple[int, int]:
    assert row.place is not None
    return row.place.offset, row.place.stored
