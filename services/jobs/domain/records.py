"""Datums as bytes: one JSON document a line in a plan, one in a job's records once it has run.

A record stands alone: it names its inputs in full, the job that ran the datum, what it wrote and what it took.
"""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from services.jobs.domain.datums import Datum, DatumState, InputFile, Leaf
from services.jobs.domain.jobs import Stats

_FLAGS = ("outer_join", "lazy", "empty_files", "s3", "reference")


@dataclass(frozen=True, slots=True)
class Planned:
    """A datum that is to run."""

    id: str
    hash: str
    inputs: Datum


@dataclass(frozen=True, slots=True)
class Record:
    """A datum that has run. job: id of the job that ran it."""

    id: str
    hash: str
    inputs: Datum
    job: str
    state: DatumState
    reason: str
    stats: Stats
    outputs: tuple[str, ...]


def planned_line(id: bytes, hash: bytes, inputs: Datum) -> bytes:
    """A datum in a plan."""
    return _dumped([id.hex(), hash.hex(), _inputs(inputs)]) + b"\n"


def read_planned(line: bytes) -> Planned:
    id, hash, inputs = json.loads(line)
    return Planned(id, hash, _datum(inputs))


def record_line(record: Record) -> bytes:
    """A datum in a job's records."""
    stats = record.stats
    times = [part // timedelta(microseconds=1) for part in (stats.download, stats.process, stats.upload)]
    return _dumped(
        [
            record.id,
            record.hash,
            _inputs(record.inputs),
            record.job,
            int(record.state),
            record.reason,
            [*times, stats.download_bytes, stats.upload_bytes],
            record.outputs,
        ]
    )


def read_record(line: bytes) -> Record:
    id, hash, inputs, job, state, reason, stats, outputs = json.loads(line)
    download, process, upload = (timedelta(microseconds=part) for part in stats[:3])
    took = Stats(download, process, upload, stats[3], stats[4])
    return Record(id, hash, _datum(inputs), job, DatumState(state), reason, took, tuple(outputs))


def _dumped(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _inputs(datum: Datum) -> list[Any]:
    found = []
    for file in datum:
        leaf = file.leaf
        flags = "".join("1" if getattr(leaf, flag) else "0" for flag in _FLAGS)
        where = [leaf.name, leaf.project, leaf.repo, leaf.branch, leaf.repo_type, flags, file.commit]
        found.append([*where, file.path, file.size_bytes, file.digest.hex(), file.join_on, file.group_by])
    return found


def _datum(inputs: list[Any]) -> Datum:
    found = []
    for name, project, repo, branch, repo_type, flags, commit, path, size, digest, join_on, group_by in inputs:
        outer_join, lazy, empty_files, s3, reference = (flag == "1" for flag in flags)
        leaf = Leaf(
            name,
            project,
            repo,
            branch,
            glob="",
            repo_type=repo_type,
            outer_join=outer_join,
            lazy=lazy,
            empty_files=empty_files,
            s3=s3,
            reference=reference,
        )
        found.append(InputFile(leaf, commit, path, size, bytes.fromhex(digest), join_on, group_by))
    return tuple(found)
