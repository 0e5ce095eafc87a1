"""Why a datum ran or was skipped, and what a job waits for: as parts, and as a sentence.

Elsewhere: what is run (planning/plans.py), whose rules these are; where the facts are gathered (operations/explaining).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from services.jobs.domain.datums import Datum, DatumState, InputFile
from services.jobs.domain.jobs import Job, JobKey, JobState
from services.jobs.domain.records import Record


class Outcome(IntEnum):
    """Where a datum stands, with the numbers of datamill.explain.v1."""

    WAITING = 1
    PROCESSED = 2
    SKIPPED = 3
    FAILED = 4
    RECOVERED = 5
    GONE = 6


class Why(IntEnum):
    """Reasons, with the numbers of datamill.explain.v1."""

    UNCHANGED = 1
    NO_BASE = 2
    PATH_ADDED = 3
    COMBINATION_CHANGED = 4
    CONTENT_CHANGED = 5
    SALT_CHANGED = 6
    BASE_RECOVERED = 7
    BASE_FAILED = 8
    EVERY_JOB = 9
    PATH_REMOVED = 10


OUTCOMES = {
    DatumState.SUCCESS: Outcome.PROCESSED,
    DatumState.FAILED: Outcome.FAILED,
    DatumState.RECOVERED: Outcome.RECOVERED,
}


@dataclass(frozen=True, slots=True)
class Reason:
    """file: whose it is; before, now: its digests, empty where there was none."""

    why: Why
    file: InputFile | None = None
    before: bytes = b""
    now: bytes = b""


@dataclass(frozen=True, slots=True)
class Explained:
    """A datum of a job. base: the job it was held against; ran_in: the one that ran it."""

    job: JobKey
    id: str
    outcome: Outcome
    reasons: tuple[Reason, ...]
    base: JobKey | None = None
    ran_in: JobKey | None = None
    failure: str = ""
    worker: str = ""


def outcome_of(record: Record, job: str) -> Outcome:
    """Where a datum with a record in a job's index stands."""
    return OUTCOMES[record.state] if record.job == job else Outcome.SKIPPED


def differences(now: Datum, hash: str, before: Record, *, every_job: bool) -> tuple[Reason, ...]:
    """Why a datum that the base job had, too, runs again."""
    changed = tuple(
        Reason(Why.CONTENT_CHANGED, file, old.digest, file.digest)
        for file, old in zip(now, before.inputs, strict=True)
        if file.digest != old.digest and not file.leaf.reference
    )
    if hash != before.hash:
        return changed or (Reason(Why.SALT_CHANGED),)
    if before.state is not DatumState.SUCCESS:
        return (Reason(Why.BASE_RECOVERED if before.state is DatumState.RECOVERED else Why.BASE_FAILED),)
    return (Reason(Why.EVERY_JOB if every_job else Why.UNCHANGED),)


def sentence_of(found: Explained) -> str:
    """All of it in one sentence."""
    ran_in = f"job {found.ran_in}" if found.ran_in else "an earlier job"
    what = {
        Outcome.WAITING: f"is with worker {found.worker}" if found.worker else "is still to run",
        Outcome.PROCESSED: "ran",
        Outcome.SKIPPED: f"was skipped, and what {ran_in} made of it stays,",
        Outcome.FAILED: f"failed ({found.failure or 'for a reason that nobody knows'}); it ran",
        Outcome.RECOVERED: "failed and was recovered by the error command; it ran",
        Outcome.GONE: "is no datum of this job any more, and what it had written is removed,",
    }[found.outcome]
    base, gone = f"job {found.base}" if found.base else "an earlier job", found.outcome is Outcome.GONE
    causes = ", and ".join(dict.fromkeys(_because(reason, base, gone=gone) for reason in found.reasons))
    return f"datum {found.id} {what} because {causes}"


def _because(reason: Reason, base: str, *, gone: bool) -> str:
    path = f"{reason.file.leaf.name}:{reason.file.path}" if reason.file else ""
    combined = "are not combined like this any more" if gone else f"were not combined like this for {base}"
    return {
        Why.UNCHANGED: f"nothing that it depends on has changed since {base}",
        Why.NO_BASE: "there is no earlier job whose results could be kept",
        Why.PATH_ADDED: f"{path} was not there for {base}",
        Why.COMBINATION_CHANGED: f"its files {combined}",
        Why.CONTENT_CHANGED: f"the content of {path} has changed since {base}",
        Why.SALT_CHANGED: f"the pipeline was told to process everything again since {base}",
        Why.BASE_RECOVERED: f"it was only recovered in {base}, and such datums are tried again in each job",
        Why.BASE_FAILED: f"it failed in {base}",
        Why.EVERY_JOB: "the pipeline's reprocessSpec is every_job",
        Why.PATH_REMOVED: f"{path} is there no more",
    }[reason.why]


class Waits(IntEnum):
    """What a job can wait for, with the numbers of datamill.explain.v1."""

    INPUT_OPEN = 1
    INPUT_FINISHING = 2
    JOB_BEFORE = 3
    PLANNING = 4
    WORKERS = 5
    SETS_OPEN = 6
    SET_LEASED = 7
    EGRESS = 8
    VALIDATION = 9
    NEXT_JOB = 10


@dataclass(frozen=True, slots=True)
class Wait:
    """One thing that a job waits for. commit: (project, repo, type, id)."""

    what: Waits
    since: datetime | None = None
    commit: tuple[str, str, str, str] | None = None
    job: Job | None = None
    worker: str = ""
    sets: int = 0
    datums: int = 0
    reason: str = ""


def why_sentence(job: Job, waits: Sequence[Wait], now: datetime) -> str:
    """Where a job stands, in one sentence."""
    if job.final:
        took = f" after {_for(job.finished - job.created)}" if job.finished else ""
        why = f": {job.reason.strip()}" if job.reason and job.state is not JobState.SUCCESS else ""
        return f"job {job.key} waits for nothing: it ended as {job.state.name}{took}{why}"
    parts = [_waits_for(wait, now) for wait in waits]
    return f"job {job.key} is {job.state.name} and waits for {', and for '.join(parts) or 'its turn'}"


def _waits_for(wait: Wait, now: datetime) -> str:
    project, repo, type, id = wait.commit or ("", "", "", "")
    commit = f"{project}/{repo}{'' if type == 'user' else '.' + type}@{id}"
    whose = f", which job {wait.job.key} ({wait.job.state.name}) writes" if wait.job else ""
    text = {
        Waits.INPUT_OPEN: f"input commit {commit} to be finished{whose}",
        Waits.INPUT_FINISHING: f"input commit {commit} to be merged and validated by PFS{whose}",
        Waits.JOB_BEFORE: f"the job before it, {wait.job.key} ({wait.job.state.name})"
        if wait.job
        else "a job before it",
        Waits.PLANNING: "its datums to be found and compared",
        Waits.WORKERS: f"a worker: {wait.reason}",
        Waits.SETS_OPEN: f"{_count(wait.sets, 'set')} of {_count(wait.datums, 'datum')} to be taken by a worker",
        Waits.SET_LEASED: f"worker {wait.worker} with {_count(wait.datums, 'datum')}",
        Waits.NEXT_JOB: f"the next job: {wait.reason}"
        if wait.reason
        else f"the next job to take the place of its service, which worker {wait.worker} runs",
        Waits.EGRESS: f"its outputs to be sent to where egress says{wait.reason and f' ({wait.reason})'}",
        Waits.VALIDATION: f"PFS to merge and validate its output {commit}",
    }[wait.what]
    return text + (f", for {_for(now - wait.since)} now" if wait.since else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _for(span: timedelta) -> str:
    """A duration as people say it."""
    seconds = max(int(span.total_seconds()), 0)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
