"""Datums as bytes: one JSON document a line in a plan, one in a job's records once it has run.

A record stands alone: it names its inputs in full, the job that ran the datum, what it wrote and what it took.
"""

import builtins
import json
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

from services.jobs.domain.datums import Datum, DatumState, InputFile, Leaf
from services.jobs.domain.jobs import Stats

_MICROSECOND = timedelta(microseconds=1)
_ID, _HASH, _END = slice(2, 66), slice(69, 133), -2  # of a line of a plan; what follows its end is "]" and a line end
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


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a datum. job: id of the job that ran it."""

    id: str
    job: str
    state: DatumState
    reason: str
    stats: Stats
    outputs: tuple[str, ...]


class Lines:
    """Lines of a plan, a datum each; what its files have in common is put into words once."""

    def __init__(self) -> None:
        self._heads: dict[tuple[int, str], tuple[str, Leaf]] = {}  # by the id of a leaf, which is kept here

    def line(self, id: bytes, hash: bytes, inputs: Datum) -> bytes:
        """A datum in a plan."""
        files = ",".join([self._file(file) for file in inputs])
        return f'["{id.hex()}","{hash.hex()}",[{files}]]\n'.encode()

    def _file(self, file: InputFile) -> str:
        leaf, commit, path, size, digest, join_on, group_by = file
        found = self._heads.get((builtins.id(leaf), commit))
        if found is None:
            head = _dumped(_leaf(leaf, commit)).decode()[:-1]
            found = self._heads[builtins.id(leaf), commit] = head, leaf
        return f'{found[0]},{quoted(path)},{size},"{digest.hex()}",{quoted(join_on)},{quoted(group_by)}]'


def planned_line(id: bytes, hash: bytes, inputs: Datum) -> bytes:
    """A datum in a plan, alone."""
    return Lines().line(id, hash, inputs)


def read_planned(line: bytes) -> Planned:
    id, hash, inputs = json.loads(line)
    return Planned(id, hash, _datum(inputs))


def names(planned: bytes) -> tuple[str, str]:
    """Id and hash of a datum, of its line in a plan."""
    return planned[_ID].decode(), planned[_HASH].decode()


def record_line(planned: bytes, ended: Ended) -> bytes:
    """A datum in a job's records: its line in the plan, with what became of it."""
    stats = ended.stats
    times = [part // _MICROSECOND for part in (stats.download, stats.process, stats.upload)]
    took = [*times, stats.download_bytes, stats.upload_bytes]
    more = _dumped([ended.job, int(ended.state), ended.reason, took, ended.outputs])
    return b"%b,%b" % (planned[:_END], more[1:])


def read_record(line: bytes) -> Record:
    id, hash, inputs, job, state, reason, stats, outputs = json.loads(line)
    download, process, upload = (timedelta(microseconds=part) for part in stats[:3])
    took = Stats(download, process, upload, stats[3], stats[4])
    return Record(id, hash, _datum(inputs), job, DatumState(state), reason, took, tuple(outputs))


def _dumped(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _leaf(leaf: Leaf, commit: str) -> list[Any]:
    flags = "".join("1" if getattr(leaf, flag) else "0" for flag in _FLAGS)
    return [leaf.name, leaf.project, leaf.repo, leaf.branch, leaf.repo_type, flags, commit]


def _datum(inputs: list[Any]) -> Datum:
    return tuple(
        [
            InputFile(_read_leaf(*leaf), commit, path, size, bytes.fromhex(digest), join_on, group_by)
            for *leaf, commit, path, size, digest, join_on, group_by in inputs
        ]
    )


@lru_cache(256)
def _read_leaf(name: str, project: str, repo: str, branch: str, repo_type: str, flags: str) -> Leaf:
    given: dict[str, Any] = {flag: digit == "1" for flag, digit in zip(_FLAGS, flags, strict=True)}
    return Leaf(name, project, repo, branch, glob="", repo_type=repo_type, **given)
