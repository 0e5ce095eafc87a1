"""Moves of jobs; records as bytes; log lines as messages."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamill.wire import pps_v2_pb2 as pps
from services.jobs.domain.datums import DatumState, InputFile, Leaf
from services.jobs.domain.jobs import (
    FINAL,
    MOVES,
    PIPELINE_STOPPED,
    PIPELINE_UPDATED,
    TIMED_OUT,
    IllegalMove,
    Job,
    JobKey,
    JobState,
    Stats,
    unrunnable,
)
from services.jobs.domain.logs.lines import LogBatch, LogScope, batch_from, in_parts, subject_of, token, untoken
from services.jobs.domain.records import Ended, Record, names, planned_line, read_planned, read_record, record_line
from services.jobs.spec_reader import read_spec

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JOB = Job(1, JobKey("default", "edges", "a" * 32), NOW, 1, "master", JobState.CREATED, NOW)


@given(st.sampled_from(JobState), st.sampled_from(JobState))
def test_only_moves_of_the_table_happen(now: JobState, to: JobState) -> None:
    job = Job(1, JOB.key, NOW, 1, "master", now, NOW)
    if to is now or to in MOVES[now]:
        moved = job.moved(to, now=NOW)
        assert moved.state is to
        assert (moved.finished is not None) == (to in FINAL)
    else:
        with pytest.raises(IllegalMove):
            job.moved(to, now=NOW)


def test_every_state_that_is_not_final_can_be_killed() -> None:
    assert all(JobState.KILLED in MOVES[state] for state in set(JobState) - FINAL)
    assert not any(MOVES[state] for state in FINAL)


def test_a_job_that_never_ran_starts_when_it_ends() -> None:
    ended = JOB.moved(JobState.KILLED, now=NOW + timedelta(seconds=5), reason="job stopped")
    assert ended.started == ended.finished == NOW + timedelta(seconds=5)
    assert ended.reason == "job stopped"


def test_reasons_are_worded_as_clients_know_them() -> None:
    assert unrunnable(["images", "labels"]) == (
        "unrunnable because the following upstream pipelines failed: images, labels"
    )
    assert TIMED_OUT == " jobtimed out"
    assert PIPELINE_UPDATED == "all jobs killed because pipeline was updated for user unknown_username"
    assert PIPELINE_STOPPED == "all jobs killed because pipeline was stopped for user unknown_username"


@pytest.mark.parametrize(
    ("stopped", "failed", "version", "reason"),
    [
        (False, "", 2, ""),
        (False, "", 1, PIPELINE_UPDATED),
        (False, "", 3, ""),
        (True, "", 2, PIPELINE_STOPPED),
        (False, "no command", 2, "no command"),
        (False, "no command", 1, PIPELINE_UPDATED),
        (False, "no command", 3, ""),
    ],
)
def test_what_a_pipeline_ends_of_its_jobs(stopped: bool, failed: str, version: int, reason: str) -> None:
    info = pps.PipelineInfo(version=2, stopped=stopped, reason=failed)
    info.state = pps.PIPELINE_FAILURE if failed else pps.PIPELINE_RUNNING
    assert read_spec(info).ends(version) == reason


def file(path: str) -> InputFile:
    leaf = Leaf("in", "p", "repo", "master", "", "meta", outer_join=True, empty_files=True)
    return InputFile(leaf, "c" * 32, path, 12, bytes(32), "key", "group")


@given(st.lists(st.text(min_size=1)), st.sampled_from([DatumState.SUCCESS, DatumState.FAILED]), st.text())
def test_a_record_reads_back(paths: list[str], state: DatumState, reason: str) -> None:
    inputs = tuple(map(file, paths))
    took = Stats(timedelta(seconds=1), timedelta(microseconds=7), timedelta(), 5, 6)
    record = Record("aa" * 32, "bb" * 32, inputs, "d" * 32, state, reason, took, tuple(paths))
    ended = Ended(record.id, record.job, state, reason, took, record.outputs)
    line = planned_line(bytes.fromhex(record.id), bytes.fromhex(record.hash), inputs)
    assert names(line) == (record.id, record.hash)
    assert read_record(record_line(line, ended)) == record
    planned = read_planned(line)
    assert (planned.id, planned.hash, planned.inputs) == (record.id, record.hash, inputs)


@given(st.text())
def test_any_name_is_one_token_of_a_subject(name: str) -> None:
    assert not set(token(name)) & set(". *>\t\n")
    assert token(name)
    if name != "_":
        assert untoken(token(name)) == name


@given(st.lists(st.text(max_size=40)), st.integers(50, 400))
def test_parts_keep_every_line_and_stay_small(texts: list[str], most: int) -> None:
    lines = tuple((index, text) for index, text in enumerate(texts))
    batch = LogBatch(LogScope("p", "x", "j", ""), "w", True, False, ("/a",), ("00",), lines)
    parts = list(in_parts(batch, most))
    joined: dict[int, str] = {}
    for part in parts:
        for at, text in part.lines:
            joined[at] = joined.get(at, "") + text
    assert joined == dict(lines)
    for part in parts:
        assert batch_from(part.scope.subject, json.loads(part.payload())) == part


def test_filters_name_inputs_by_path_or_by_hash() -> None:
    batch = LogBatch(LogScope("p", "x", "j", "d"), "w", True, False, ("/a", "/b"), ("00ff", "abcd"), ())
    assert batch.matches(["/a"])
    assert batch.matches(["/a", "abcd"])
    assert batch.matches(["AP8="])
    assert not batch.matches(["/a", "/c"])


def test_a_filter_without_job_or_datum_takes_all_of_them() -> None:
    assert subject_of("p", "x") == "logs.p.x.*.*"
    assert subject_of("p", "x", "j", "d") == LogScope("p", "x", "j", "d").subject
