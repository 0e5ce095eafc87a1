"""Why a datum ran, and what a job waits for, in words."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.jobs.domain.datums import Datum, DatumState, InputFile, Leaf
from services.jobs.domain.explaining import (
    Explained,
    Outcome,
    Reason,
    Wait,
    Waits,
    Why,
    differences,
    outcome_of,
    sentence_of,
    why_sentence,
)
from services.jobs.domain.jobs import Job, JobKey, JobState, Stats
from services.jobs.domain.records import Record

BASE, NOW = JobKey("default", "edges", "a" * 32), JobKey("default", "edges", "b" * 32)
AT = datetime(2026, 1, 1, tzinfo=UTC)


def file(name: str, digest: bytes, **more: Any) -> InputFile:
    return InputFile(Leaf(name, "default", name, "master", "/*", **more), "c", f"/{name}.png", 1, digest)


def record(inputs: Datum, hash: str, state: DatumState = DatumState.SUCCESS) -> Record:
    return Record("d" * 64, hash, inputs, BASE.id, state, "", Stats(), ())


OLD = (file("left", b"1"), file("right", b"2"), file("model", b"3", reference=True))


@pytest.mark.parametrize(
    ("now", "hash", "state", "every_job", "expected"),
    [
        (OLD, "h", DatumState.SUCCESS, False, [Why.UNCHANGED]),
        (OLD, "h", DatumState.SUCCESS, True, [Why.EVERY_JOB]),
        (OLD, "h", DatumState.RECOVERED, False, [Why.BASE_RECOVERED]),
        (OLD, "h", DatumState.FAILED, True, [Why.BASE_FAILED]),
        (OLD, "other", DatumState.SUCCESS, True, [Why.SALT_CHANGED]),
        ((file("left", b"9"), *OLD[1:]), "other", DatumState.RECOVERED, True, [Why.CONTENT_CHANGED]),
        ((*OLD[:2], file("model", b"9", reference=True)), "h", DatumState.SUCCESS, False, [Why.UNCHANGED]),
        (
            (file("left", b"9"), file("right", b"9"), OLD[2]),
            "other",
            DatumState.SUCCESS,
            False,
            [Why.CONTENT_CHANGED] * 2,
        ),
    ],
)
def test_what_differs(now: Datum, hash: str, state: DatumState, every_job: bool, expected: list[Why]) -> None:
    found = differences(now, hash, record(OLD, "h", state), every_job=every_job)
    assert [reason.why for reason in found] == expected
    changed = [reason for reason in found if reason.why is Why.CONTENT_CHANGED]
    assert all(reason.file in now and reason.before != reason.now == b"9" for reason in changed)


def test_where_a_datum_stands() -> None:
    assert outcome_of(record(OLD, "h", DatumState.RECOVERED), BASE.id) is Outcome.RECOVERED
    assert outcome_of(record(OLD, "h"), BASE.id) is Outcome.PROCESSED
    assert outcome_of(record(OLD, "h"), NOW.id) is Outcome.SKIPPED


@pytest.mark.parametrize(
    ("outcome", "reasons", "more", "expected"),
    [
        (
            Outcome.PROCESSED,
            [Reason(Why.PATH_ADDED, OLD[0])],
            {},
            f"ran because left:/left.png was not there for job {BASE}",
        ),
        (
            Outcome.SKIPPED,
            [Reason(Why.UNCHANGED)],
            {"ran_in": BASE},
            f"was skipped, and what job {BASE} made of it stays, because "
            f"nothing that it depends on has changed since job {BASE}",
        ),
        (
            Outcome.FAILED,
            [Reason(Why.SALT_CHANGED)],
            {"failure": "exit status 1"},
            "failed (exit status 1); it ran because the pipeline was told to process everything again since job "
            f"{BASE}",
        ),
        (
            Outcome.GONE,
            [Reason(Why.PATH_REMOVED, OLD[0]), Reason(Why.PATH_REMOVED, OLD[1])],
            {},
            "is no datum of this job any more, and what it had written is removed, because left:/left.png is there "
            "no more, and right:/right.png is there no more",
        ),
        (
            Outcome.WAITING,
            [Reason(Why.NO_BASE)],
            {"worker": "w-0"},
            "is with worker w-0 because there is no earlier job",
        ),
        (Outcome.GONE, [Reason(Why.COMBINATION_CHANGED)], {}, "its files are not combined like this any more"),
    ],
)
def test_sentences(outcome: Outcome, reasons: list[Reason], more: dict[str, Any], expected: str) -> None:
    assert expected in sentence_of(Explained(NOW, "d" * 64, outcome, tuple(reasons), BASE, **more))


def job(state: JobState, **more: Any) -> Job:
    return Job(1, NOW, AT, 1, "master", state, AT, **more)


@pytest.mark.parametrize(
    ("of", "waits", "expected"),
    [
        (
            job(JobState.SUCCESS, finished=AT + timedelta(seconds=5)),
            [],
            "waits for nothing: it ended as SUCCESS after 5 s",
        ),
        (
            job(JobState.KILLED, finished=AT, reason=" jobtimed out"),
            [],
            "waits for nothing: it ended as KILLED after 0 s: jobtimed out",
        ),
        (job(JobState.CREATED), [], "is CREATED and waits for its turn"),
        (
            job(JobState.RUNNING),
            [Wait(Waits.SET_LEASED, AT, worker="w-0", sets=1, datums=1), Wait(Waits.SETS_OPEN, sets=2, datums=7)],
            "is RUNNING and waits for worker w-0 with 1 datum, for 3 min now, "
            "and for 2 sets of 7 datums to be taken by a worker",
        ),
        (
            job(JobState.STARTING),
            [Wait(Waits.INPUT_OPEN, AT, ("default", "images", "user", "c1"), job=job(JobState.RUNNING))],
            f"input commit default/images@c1 to be finished, which job {NOW} (RUNNING) writes, for 3 min now",
        ),
        (
            job(JobState.RUNNING),
            [Wait(Waits.NEXT_JOB, AT, worker="w-0", sets=1, datums=1)],
            "waits for the next job to take the place of its service, which worker w-0 runs, for 3 min now",
        ),
        (
            job(JobState.FINISHING),
            [Wait(Waits.VALIDATION, None, ("default", "edges", "meta", "c1"))],
            "PFS to merge and validate its output default/edges.meta@c1",
        ),
    ],
)
def test_what_jobs_wait_for(of: Job, waits: list[Wait], expected: str) -> None:
    assert expected in why_sentence(of, waits, AT + timedelta(minutes=3))
