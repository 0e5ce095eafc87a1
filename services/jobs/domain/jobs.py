"""Jobs: their names, states, counters, and why they end.

Holds for ever: a final state is never left; numbers of states are those of the protocol.
Elsewhere: who moves a job on (duties/driver.py); what it is made of (datums.py).
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import IntEnum


class JobState(IntEnum):
    """Stages of a job, with the protocol's numbers."""

    CREATED = 1
    STARTING = 2
    RUNNING = 3
    FAILURE = 4
    SUCCESS = 5
    KILLED = 6
    EGRESSING = 7
    FINISHING = 8
    UNRUNNABLE = 9


FINAL = frozenset({JobState.SUCCESS, JobState.FAILURE, JobState.KILLED, JobState.UNRUNNABLE})
MOVES: dict[JobState, frozenset[JobState]] = {
    JobState.CREATED: frozenset({JobState.STARTING, JobState.KILLED}),
    JobState.STARTING: frozenset({JobState.RUNNING, JobState.UNRUNNABLE, JobState.KILLED, JobState.FAILURE}),
    JobState.RUNNING: frozenset({JobState.EGRESSING, JobState.FINISHING, JobState.FAILURE, JobState.KILLED}),
    JobState.EGRESSING: frozenset({JobState.FINISHING, JobState.KILLED}),
    JobState.FINISHING: frozenset({JobState.SUCCESS, JobState.FAILURE, JobState.KILLED}),
    **{state: frozenset[JobState]() for state in FINAL},
}

STOPPED = "job stopped"
TIMED_OUT = " jobtimed out"  # clients know it with this space and without the other
DELETED = "job deleted"
COMMIT_REMOVED = "output commit removed"
NOBODY_KNOWN = "unknown_username"  # in place of a name, as long as nobody has to say who they are
PIPELINE_UPDATED = f"all jobs killed because pipeline was updated for user {NOBODY_KNOWN}"
PIPELINE_STOPPED = f"all jobs killed because pipeline was stopped for user {NOBODY_KNOWN}"
PIPELINE_DELETED = f"all jobs killed because pipeline was deleted for user {NOBODY_KNOWN}"


class IllegalMove(Exception):
    """A state that does not follow from the one before."""

    def __init__(self, now: JobState, to: JobState) -> None:
        super().__init__(f"a job does not go from {now.name} to {to.name}")


def advance(now: JobState, to: JobState) -> JobState:
    """The state after a move; the same state again is no error. Raises IllegalMove."""
    if to is not now and to not in MOVES[now]:
        raise IllegalMove(now, to)
    return to


def unrunnable(inputs: list[str]) -> str:
    """Why a job cannot run when these inputs (by name) carry errors."""
    return f"unrunnable because the following upstream pipelines failed: {', '.join(inputs)}"


def datum_failed(datum_id: str) -> str:
    return f"datum {datum_id} failed"


@dataclass(frozen=True, slots=True, order=True)
class JobKey:
    """What a job is called outside."""

    project: str
    pipeline: str
    id: str

    def __str__(self) -> str:
        return f"{self.project}/{self.pipeline}@{self.id}"

    @property
    def owner(self) -> str:
        """The pipeline's name in full."""
        return f"{self.project}/{self.pipeline}"


@dataclass(frozen=True, slots=True)
class Stats:
    """What datums took."""

    download: timedelta = timedelta()
    process: timedelta = timedelta()
    upload: timedelta = timedelta()
    download_bytes: int = 0
    upload_bytes: int = 0

    def plus(self, other: "Stats") -> "Stats":
        return Stats(
            self.download + other.download,
            self.process + other.process,
            self.upload + other.upload,
            self.download_bytes + other.download_bytes,
            self.upload_bytes + other.upload_bytes,
        )


@dataclass(frozen=True, slots=True)
class Counters:
    """How many datums, and what became of them. At the end total = the sum of the others."""

    total: int = 0
    processed: int = 0
    skipped: int = 0
    failed: int = 0
    recovered: int = 0

    def plus(self, other: "Counters") -> "Counters":
        return Counters(
            self.total + other.total,
            self.processed + other.processed,
            self.skipped + other.skipped,
            self.failed + other.failed,
            self.recovered + other.recovered,
        )


@dataclass(frozen=True, slots=True)
class Job:
    """A job. number: order of creation; pipeline_made: as of its spec (domain/specs.py)."""

    number: int
    key: JobKey
    pipeline_made: datetime
    version: int
    output_branch: str
    state: JobState
    created: datetime
    reason: str = ""
    started: datetime | None = None
    finished: datetime | None = None
    restart: int = 0
    counters: Counters = field(default_factory=Counters)
    stats: Stats = field(default_factory=Stats)
    first_failed: str = ""
    """Id of the datum that failed first, while the others still run."""
    closed: bool = False
    """Whether the commits of a final job are known to be finished."""
    traceparent: str = ""
    awaits: int | None = None
    """Number of the job before it whose end the rest of its plan awaits; None when the plan is whole."""

    @property
    def final(self) -> bool:
        return self.state in FINAL

    def moved(self, to: JobState, *, now: datetime, reason: str = "") -> "Job":
        """The job in its next state. Raises IllegalMove."""
        state = advance(self.state, to)
        started = self.started or (now if state is JobState.RUNNING or state in FINAL else None)
        finished = self.finished or (now if state in FINAL else None)
        kept = "" if state is JobState.FINISHING else self.reason  # why its outputs could not be sent is over
        return replace(self, state=state, reason=reason or kept, started=started, finished=finished)
