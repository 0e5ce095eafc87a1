"""A spec that is refused leaves nothing behind, be it to create or to update: no repo, branch, commit or row."""

import json
import sqlite3
from contextlib import closing
from typing import Any

import grpc
import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from tests.support.servers import unique
from tests.system.chaos.dag import leaf, pipeline
from tests.system.pps.changes.test_pipelines import Side, repo

UNKNOWN, INVALID = grpc.StatusCode.UNKNOWN, grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND, EXISTS = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.ALREADY_EXISTS
PFS = {"pfs": {"repo": "SOURCE", "glob": "/"}}


def pfs_input(**fields: Any) -> dict[str, Any]:
    return {"input": {"pfs": {**PFS["pfs"], **fields}}}


def sql_egress(**fields: Any) -> dict[str, Any]:
    target = {"url": "postgres://h/d", "fileFormat": {"type": "CSV"}, "secret": {"name": "s", "key": "k"}}
    return {"egress": {"sqlDatabase": {**target, **fields}}}


TARGETS: list[tuple[dict[str, Any], grpc.StatusCode, str]] = [
    ({"egress": {"URL": "ftp://host/place"}}, UNKNOWN, "egress.URL: unrecognized object store: ftp"),
    ({"egress": {"URL": "bucket/place"}}, UNKNOWN, "egress.URL: unrecognized object store"),
    ({"egress": {"URL": "s3://"}}, UNKNOWN, "it names no bucket"),
    ({"egress": {"URL": "gs://bucket/place"}}, UNKNOWN, "this server has no driver for gs"),
    ({"egress": {"URL": "file:///etc"}}, UNKNOWN, "it is in no folder whose files the operator allows"),
    ({"egress": {"objectStorage": {}}}, UNKNOWN, "egress.object_storage: unrecognized object store"),
    ({"egress": {"objectStorage": {"url": "ftp://h/p"}}}, UNKNOWN, "egress.object_storage: unrecognized object store"),
    (sql_egress(url="oracle://h/d"), UNKNOWN, "there are mysql, postgres"),
    (sql_egress(url="mysql://h/d"), UNKNOWN, "this server has no driver for mysql databases"),
    (sql_egress(url="postgres:///d"), UNKNOWN, "it names no host"),
    (sql_egress(url="postgres://h/d?sslkey=/etc/shadow"), UNKNOWN, "the option sslkey is not taken"),
    (sql_egress(fileFormat={"type": "PARQUET"}), UNKNOWN, "unknown file format PARQUET"),
]
BAD: list[tuple[dict[str, Any], grpc.StatusCode, str]] = [
    *TARGETS,
    ({"pipeline": None}, INVALID, "request.Pipeline cannot be nil"),
    ({"pipeline": {}}, UNKNOWN, "request.Pipeline.Name cannot be empty"),
    ({"pipeline": {"name": ""}}, UNKNOWN, "request.Pipeline.Name cannot be empty"),
    ({"pipeline": {"name": "a.b"}}, UNKNOWN, "only alphanumeric characters, underscores, and dashes are allowed"),
    ({"pipeline": {"name": "x" * 52}}, UNKNOWN, "is 1 characters longer than the 51 max"),
    ({"pipeline": {"name": "p", "project": {"name": "q" * 60}}}, UNKNOWN, "characters longer than the 63 max"),
    ({"pipeline": {"name": "NAME", "project": {"name": "nowhere"}}}, NOT_FOUND, "nowhere"),
    ({"pipeline": {"name": "SOURCE"}}, UNKNOWN, "because a repo with the same name already exists"),
    ({"pipeline": {"name": "OLD"}}, EXISTS, "already exists"),
    ({"transform": None}, UNKNOWN, "pipeline must specify a transform"),
    ({"transform": {"cmd": "true"}}, INVALID, "transform.cmd: expected a list"),
    ({"transform": {"cmd": ["a\0b"]}}, INVALID, "zero byte"),
    ({"transform": {"cmd": ["\ud800"]}}, INVALID, "half of a character"),
    ({"transforms": {}}, INVALID, 'did you mean "transform"?'),
    ({"transform": {"cmd": ["true"], "env": {"BIG": "x" * 300_000}}}, UNKNOWN, "BIG and its value have 300,004 bytes"),
    ({"tfJob": {"tfJob": "x"}}, UNKNOWN, "embedding TFJobs in pipelines is not supported yet"),
    ({"datumTries": "-1"}, UNKNOWN, "datumTries must not be negative"),
    ({"datumTries": str(1 << 63)}, INVALID, "datumTries"),
    ({"parallelismSpec": {"constant": "-1"}}, INVALID, "constant"),
    ({"datumTimeout": "1h"}, INVALID, "expected a duration"),
    ({"jobTimeout": "9" * 30 + "s"}, INVALID, "jobTimeout"),
    ({"reprocessSpec": "always"}, UNKNOWN, "ReprocessSpec must be one of 'until_success' or 'every_job'"),
    ({"podSpec": "{", "podPatch": "["}, UNKNOWN, "malformed PodPatch"),
    ({"tolerations": [{"key": "a"}, {}]}, UNKNOWN, "toleration 2/2: cannot omit key/value comparison operator"),
    ({"resourceRequests": {"memory": "256MB"}}, UNKNOWN, 'did you mean "256M"?'),
    ({"outputBranch": "a b"}, UNKNOWN, "a b"),
    ({"egress": {"sqlDatabase": {"url": "postgres://h/d"}}}, UNKNOWN, "egress.sql_database.secret is required"),
    ({"egress": {"URL": "s3://a", "objectStorage": {"url": "s3://b"}}}, UNKNOWN, "URL and objectStorage"),
    ({"spout": {}, **pfs_input()}, UNKNOWN, "spout pipelines (without a service) must not have an input"),
    ({"spout": {}, "s3Out": True}, UNKNOWN, "s3 output is not supported in spouts or services"),
    ({"service": {"type": "x"}}, UNKNOWN, "the following service type x is not allowed"),
    ({"service": {"internalPort": -80}}, UNKNOWN, "service.internalPort must be a port, 1 to 65535, not -80"),
    ({"spout": {"service": {"externalPort": 65536}}}, UNKNOWN, "service.externalPort must be a port"),
    ({"transform": {"cmd": ["true"], "secrets": [{"key": "k"}]}}, UNKNOWN, "transform.secrets[0] must have the name"),
    ({"input": {}}, UNKNOWN, "no input set"),
    ({"input": {**PFS, "cross": [PFS]}}, UNKNOWN, "multiple input types set"),
    ({"input": {"cross": [PFS, PFS]}}, UNKNOWN, "was used more than once"),
    ({"input": {"cross": [PFS, {"pfs": {"repo": "dne", "glob": "/"}}]}}, NOT_FOUND, "not found"),
    (pfs_input(glob=""), UNKNOWN, "input must specify a glob"),
    (pfs_input(glob="/["), UNKNOWN, "invalid"),
    (pfs_input(name="out"), UNKNOWN, "input cannot be named out"),
    (pfs_input(name="größe"), UNKNOWN, "input cannot be named größe: only printable ASCII characters are allowed"),
    (pfs_input(commit="0"), UNKNOWN, "input cannot come from a commit"),
    (pfs_input(branch="a b"), UNKNOWN, "a b"),
    (pfs_input(trigger={"size": "big"}), UNKNOWN, "size"),
    (pfs_input(repo="NAME"), UNKNOWN, "cannot be its own input"),
    ({"input": {"cron": {"name": "tick", "spec": "now and then"}}}, UNKNOWN, "error parsing cron-spec"),
    ({"input": {"cross": [PFS, {"cron": {"name": "tick"}}]}}, UNKNOWN, "Empty spec string"),
    ({"specCommit": {"id": "0" * 32}}, grpc.StatusCode.UNIMPLEMENTED, "specCommit"),
]
TEXTS = [
    ("", "it is no JSON"),
    ("{", "it is no JSON"),
    ("[]", "Create Pipeline Request message"),
    ('{"pipeline": {"name": "p"}, "transform": {"cmd": ["true"]}, "transform": {}}', '"transform" is given twice'),
    ('{"pipeline": {"name": "p"}, "resourceLimits": {"cpu": NaN}}', "NaN is no number"),
    ("[" * 100_000, "too deep"),
]


class Kept:
    """Everything that a spec could leave behind: in PFS, and in the tables of PPS."""

    def __init__(self, side: Side) -> None:
        stub = side.pfs
        self.repos = [
            info.SerializeToString(deterministic=True) for info in stub.ListRepo(pfs.ListRepoRequest(type=""))
        ]
        self.sets = [info.commit_set.id for info in stub.ListCommitSet(pfs.ListCommitSetRequest())]
        with closing(sqlite3.connect(f"file:{side.root}/pps/pps.db?mode=ro", uri=True)) as database:
            self.rows = {
                table: sorted(map(repr, database.execute(f"SELECT {what} FROM {table}")))
                for table, what in {"versions": "*", "pipelines": "project, name, version, doing, stopped"}.items()
            }


def spec_of(fields: dict[str, Any], **names: str) -> str:
    text = json.dumps({"pipeline": {"name": "NAME"}, "transform": {"cmd": ["true"]}, **fields})
    for mark, name in names.items():
        text = text.replace(f'"{mark}"', f'"{name}"')
    return text


def asked(side: Side, text: str, *, update: bool = False, dry: bool = False) -> grpc.RpcError | None:
    request = pps.CreatePipelineV2Request(create_pipeline_request_json=text, update=update, dry_run=dry)
    try:
        side.pps.CreatePipelineV2(request)
    except grpc.RpcError as error:
        return error
    return None


@pytest.fixture(scope="module")
def names(side: Side) -> dict[str, str]:
    """A repo, and a pipeline over it."""
    source, old = unique("in"), unique("old")
    side.pfs.CreateRepo(pfs.CreateRepoRequest(repo=repo(source)))
    side.pps.CreatePipeline(pipeline(old, "true", leaf(source, "/*")))
    return {"SOURCE": source, "OLD": old}


def test_nothing_stays_of_what_cannot_be_created(side: Side, names: dict[str, str]) -> None:
    before, wrong = vars(Kept(side)), []
    for fields, code, sentence in BAD:
        error: Any = asked(side, spec_of(fields, NAME=unique("p"), **names), update=False)
        said = (error.code(), error.details()) if error else (None, "it was taken")
        if said[0] is not code or sentence not in said[1]:
            wrong.append((fields, *said))
        if vars(Kept(side)) != before:
            wrong.append((fields, None, "something stayed"))
    for text, sentence in TEXTS:
        error = asked(side, text, update=False)
        if error is None or error.code() is not INVALID or sentence not in error.details():
            wrong.append((text[:80], error, sentence))
    assert wrong == []
    assert vars(Kept(side)) == before


def test_a_dry_run_tells_of_targets_that_cannot_be(side: Side, names: dict[str, str]) -> None:
    assert asked(side, spec_of({"transform": None}, NAME=unique("p")), dry=True) is None, "it may still be typed"
    for fields, _, sentence in TARGETS:
        error: Any = asked(side, spec_of(fields, NAME=unique("p")), dry=True)
        assert error is not None, fields
        assert sentence in error.details()
    good = spec_of(sql_egress(), NAME=unique("p"))
    assert asked(side, good, dry=True) is None


def test_a_pipeline_stays_as_it_is_when_an_update_is_refused(side: Side, names: dict[str, str]) -> None:
    below = unique("below")
    side.pps.CreatePipeline(pipeline(below, "true", leaf(names["OLD"], "/*")))
    circle = (pfs_input(repo=below), grpc.StatusCode.INTERNAL, "cycle detected")
    before, wrong = vars(Kept(side)), []
    for fields, code, sentence in [*BAD, circle]:
        if "pipeline" in fields:
            continue
        if "specCommit" in fields:
            code, sentence = UNKNOWN, "Cannot update a pipeline and provide a spec commit at the same time"
        error: Any = asked(side, spec_of(fields, NAME=names["OLD"], **names), update=True)
        said = (error.code(), error.details()) if error else (None, "it was taken")
        if said[0] is not code or sentence not in said[1]:
            wrong.append((fields, *said))
    assert wrong == []
    assert vars(Kept(side)) == before
