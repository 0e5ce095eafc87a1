"""Moving jobs from state to state: transactions that check where the job stands, and tell of the move."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.orm import Session

from services.jobs.domain.errors import Superseded
from services.jobs.domain.jobs import Counters, Job, JobKey, JobState, Stats
from services.jobs.operations.planning.drafts import Plan
from services.jobs.operations.planning.phases import Awaited
from services.jobs.storage.jobs import JobStore
from services.jobs.storage.ledger import Ledger
from services.jobs.storage.objects import INDEX, PLANS, name_of
from services.jobs.storage.origins import Origins
from services.jobs.storage.seals import Seals
from services.jobs.storage.sets import SetStore
from services.kit.sortedmap.rows import Root
from services.kit.storage.outbox import Outbox

SETS_AT_ONCE = 2_000
"""Rows in one transaction, so that others get a turn."""


def get_job(tx: Session, number: int) -> Job | None:
    return JobStore(tx).get(number)


def find_job(tx: Session, key: JobKey) -> Job | None:
    return JobStore(tx).find(key)


def find_jobs(tx: Session, keys: Sequence[JobKey]) -> dict[JobKey, Job]:
    """Those that are there."""
    found = (JobStore(tx).find(key) for key in keys)
    return {job.key: job for job in found if job is not None}


def unclosed_jobs(tx: Session, project: str, pipeline: str) -> list[Job]:
    return JobStore(tx).unclosed(project, pipeline)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A job to be made."""

    key: JobKey
    pipeline_made: datetime
    version: int
    output_branch: str
    document: bytes
    traceparent: str


def create_jobs(tx: Session, some: Sequence[Wanted], *, now: datetime) -> list[Job]:
    """Make jobs; those that are there already where they are."""
    jobs, found = JobStore(tx), find_jobs(tx, [one.key for one in some])
    made = list[Job]()
    for one in some:
        if one.key not in found:
            jobs.keep_spec(one.key.project, one.key.pipeline, one.pipeline_made, one.version, one.document)
            job = jobs.add(
                one.key,
                pipeline_made=one.pipeline_made,
                version=one.version,
                output_branch=one.output_branch,
                traceparent=one.traceparent,
                now=now,
            )
            found[one.key] = job
            made.append(job)
    _tell_all(tx, made, now)
    return [found[one.key] for one in some]


def move(tx: Session, number: int, to: JobState, *, of: JobState, now: datetime, reason: str = "") -> Job:
    """Take a job from one state to the next. Raises Superseded when it is somewhere else by now."""
    jobs = JobStore(tx)
    job = jobs.get(number)
    if job is None or job.state is not of:
        raise Superseded(f"job {number} is not {of.name} any more")
    moved = job.moved(to, now=now, reason=reason)
    jobs.save(moved)
    _tell(tx, moved, now)
    return moved


def egress_failed(tx: Session, number: int, reason: str) -> None:
    """Keep with a job why its outputs cannot be sent, for as long as that is tried again."""
    jobs = JobStore(tx)
    job = jobs.get(number)
    if job is not None and job.state is JobState.EGRESSING and job.reason != reason:
        jobs.save(replace(job, reason=reason))


def lay_out(tx: Session, number: int, plan: Plan, first: int, *, now: datetime) -> None:
    """Give a job that is to be planned the next of its sets: a large plan has too many for one transaction.

    One that is RUNNING, and awaits its base, gets those of the rest. Raises Superseded.
    """
    jobs, sets = JobStore(tx), SetStore(tx)
    job = jobs.get(number)
    rest = job is not None and job.state is JobState.RUNNING and job.awaits is not None
    begun = jobs.rest(number) if rest else jobs.plan(number)
    if job is None or not (rest or job.state is JobState.STARTING) or (first and begun != plan.key):
        raise Superseded(f"job {number} is planned by somebody else, or by nobody any more")
    begin = jobs.row(number).rest_from if rest else 0
    if first == 0:
        _publish(tx, job, plan, now, rest=rest)
        sets.drop_from(number, begin)
    sets.add(number, plan.ranges[first : first + SETS_AT_ONCE], begin + first)


def run(
    tx: Session, number: int, plan: Plan, *, base: int | None, now: datetime, awaited: Awaited | None = None
) -> Job:
    """STARTING to RUNNING, with the plan's sets. base: the job that the plan took over from.

    awaited: the job whose end decides on the rest of the datums, for which `go_on` brings another plan.
    Raises Superseded, also when the base is gone or goes on: what only it referred to may go any time.
    """
    if len(plan.ranges) <= SETS_AT_ONCE:
        lay_out(tx, number, plan, 0, now=now)
    elif JobStore(tx).plan(number) != plan.key:
        raise Superseded(f"job {number} was planned by somebody else meanwhile")
    job = move(tx, number, JobState.RUNNING, of=JobState.STARTING, now=now)
    if awaited is not None and not awaited.stands(tx):
        raise Superseded(f"job {awaited.job.number}, which job {number} awaits, is not as it was")
    awaits = None if awaited is None else awaited.job.number
    counters = Counters(total=plan.total, skipped=plan.skipped)
    job = replace(job, counters=counters, stats=Stats(), first_failed="", awaits=awaits)
    row = JobStore(tx).row(number)
    row.awaits, row.rest, row.rest_from = awaits, "", len(plan.ranges)
    _take_over(tx, job, plan, base, now)
    return job


def go_on(tx: Session, number: int, plan: Plan, *, base: int | None, now: datetime) -> Job:
    """Give a RUNNING job the rest of its plan, now that its base has ended. base: as of `run`. Raises Superseded."""
    jobs = JobStore(tx)
    if len(plan.ranges) <= SETS_AT_ONCE:
        lay_out(tx, number, plan, 0, now=now)
    job = jobs.get(number)
    if job is None or job.state is not JobState.RUNNING or job.awaits is None or jobs.rest(number) != plan.key:
        raise Superseded(f"job {number} does not await a plan any more")
    job = replace(job, counters=replace(job.counters, total=plan.total, skipped=plan.skipped), awaits=None)
    jobs.row(number).awaits = None
    _take_over(tx, job, plan, base, now)
    _tell(tx, job, now)
    return job


def _take_over(tx: Session, job: Job, plan: Plan, base: int | None, now: datetime) -> None:
    """Keep what a plan says of the base's datums. Raises Superseded."""
    jobs = JobStore(tx)
    if base is not None and jobs.get(base) is None:
        raise Superseded(f"the base of job {job.number} was deleted")
    Ledger(tx).publish(INDEX, [name.hex() for name in plan.packs], job.key, now)
    jobs.save(job)
    jobs.set_root(job.number, plan.root, indexed=False)
    Origins(tx).keep(job.number, plan.origin)


def _publish(tx: Session, job: Job, plan: Plan, now: datetime, *, rest: bool) -> None:
    """Let a plan be that of a job, or the rest of it; one of an earlier try goes."""
    jobs, ledger = JobStore(tx), Ledger(tx)
    if before := jobs.rest(job.number) if rest else jobs.plan(job.number):
        ledger.condemn([name_of(before)], now)
    ledger.publish(PLANS, [name_of(plan.key)] if plan.key else [], job.key, now)
    row = jobs.row(job.number)
    if rest:
        row.rest = plan.key
    else:
        row.plan = plan.key
    tx.flush()


def begun_anew(tx: Session, number: int) -> None:
    """Count that somebody took up a job in the middle, after its process died or something else was in the way.

    A rest that was being laid out then is planned again: `drop_unplanned`.
    """
    job = JobStore(tx).get(number)
    if job is not None and not job.final:
        JobStore(tx).save(replace(job, restart=job.restart + 1))


def drop_unplanned(tx: Session, number: int) -> bool:
    """Take away some of the sets that were laid out for a plan that never came into force. False: there are no more."""
    job = JobStore(tx).get(number)
    if job is None or not (
        job.state is JobState.STARTING or (job.state is JobState.RUNNING and job.awaits is not None)
    ):
        return False
    first = 0 if job.state is JobState.STARTING else JobStore(tx).row(number).rest_from
    return SetStore(tx).drop_some(number, first, SETS_AT_ONCE)


@dataclass(frozen=True, slots=True)
class Progress:
    """A job, and whether any of its sets is not done."""

    job: Job
    left: bool


def progress(tx: Session, number: int) -> Progress | None:
    """None: it does not run any more."""
    job = JobStore(tx).get(number)
    return None if job is None or job.state is not JobState.RUNNING else Progress(job, SetStore(tx).any_left(number))


@dataclass(frozen=True, slots=True)
class Known:
    """What a job knows of its datums when all have run: the index of those that it took over, the records of others."""

    root: Root
    records: tuple[str, ...]


def known(tx: Session, number: int) -> Known:
    return Known(JobStore(tx).root(number), tuple(SetStore(tx).records(number)))


def ran(
    tx: Session, number: int, root: Root, packs: Sequence[bytes], to: JobState, *, now: datetime, reason: str = ""
) -> Job:
    """Take a job on whose datums have all run, with its whole datum index. packs: those of it that are new.

    Raises Superseded.
    """
    job = move(tx, number, to, of=JobState.RUNNING, now=now, reason=reason)
    Ledger(tx).publish(INDEX, [name.hex() for name in packs], job.key, now)
    JobStore(tx).set_root(number, root, indexed=True)
    return job


def end(tx: Session, number: int, to: JobState, *, now: datetime, reason: str) -> Job | None:
    """End a job from outside: kill it. None: it has ended, or is gone."""
    jobs = JobStore(tx)
    job = jobs.get(number)
    if job is None or job.final:
        return None
    ended = job.moved(to, now=now, reason=reason)
    jobs.save(ended)
    SetStore(tx).forget(number)
    _tell(tx, ended, now)
    return ended


def conclude(tx: Session, number: int, error: str, *, now: datetime) -> Job:
    """End a job whose commits are finished, and close it. error: what PFS found wrong with them. Raises Superseded."""
    to = JobState.FAILURE if error else JobState.SUCCESS
    job = move(tx, number, to, of=JobState.FINISHING, now=now, reason=error)
    close(tx, number, now=now)
    return replace(job, closed=True)


def close(tx: Session, number: int, *, now: datetime) -> None:
    """The commits of a final job are finished: nothing is left to do for it, and nobody needs its plan any more."""
    jobs = JobStore(tx)
    job = jobs.get(number)
    if job is not None and job.final:
        jobs.save(replace(job, closed=True))
        plans = [name_of(key) for key in (jobs.plan(number), jobs.rest(number)) if key]
        Ledger(tx).condemn(plans, now)


def remove(tx: Session, job: Job, *, now: datetime) -> None:
    """Forget a job."""
    Seals(tx).remove(job.number)
    JobStore(tx).remove(job.number)
    Ledger(tx).bury(job.key.project, job.key.pipeline)
    _tell(tx, job, now, state="DELETED")


def _tell(tx: Session, job: Job, now: datetime, *, state: str = "") -> None:
    _tell_all(tx, [job], now, state=state)


def _tell_all(tx: Session, jobs: Sequence[Job], now: datetime, *, state: str = "") -> None:
    news = list[tuple[str, str, dict[str, str]]]()
    for job in jobs:
        key = job.key
        facts = {"state": state or job.state.name, "project": key.project, "pipeline": key.pipeline, "id": key.id}
        news.append(("jobs.job.changed", str(key), facts))
    Outbox(tx).add_all(news, at=now)
