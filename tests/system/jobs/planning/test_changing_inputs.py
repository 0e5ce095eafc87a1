"""Jobs over inputs that change, of every kind: their datums are those of the inputs, and only what is new runs."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import ceil
from typing import Any

import pytest
from google.protobuf import json_format

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from services.jobs.operations.running.moving import SETS_AT_ONCE
from tests.support.servers import eventually, unique
from tests.system.jobs.hands import Bench, job, repo

Tree = dict[str, Any]


def leaf(source: str, glob: str, **more: Any) -> Tree:
    return {"pfs": {"name": source, "repo": source, "glob": glob, **more}}


def joined(source: str, **more: Any) -> Tree:
    return leaf(source, "/(?)*", joinOn="$1", **more)


ONE_EACH = {"datumSetSpec": {"number": 1}}
KINDS: Mapping[str, Callable[[str, str], Tree]] = {
    "whole": lambda a, b: leaf(a, "/"),
    "everything": lambda a, b: leaf(a, "/**"),
    "union": lambda a, b: {"union": [leaf(a, "/*"), leaf(b, "/*"), leaf(a, "/[ab]*")]},
    "cross": lambda a, b: {"cross": [leaf(a, "/*"), leaf(b, "/*")]},
    "join": lambda a, b: {"join": [joined(a), joined(b, outerJoin=True)]},
    "group": lambda a, b: {"group": [leaf(a, "/(?)*", groupBy="$1"), leaf(b, "/(?)*", groupBy="$1")]},
    "nested": lambda a, b: {"cross": [{"join": [joined(a), joined(b)]}, {"union": [leaf(a, "/a*", name="c")]}]},
    "too deep": lambda a, b: {"join": [{"cross": [joined(a), joined(b)]}]},
}
EDITS: list[tuple[str, dict[str, bytes | None]]] = [
    ("mine", {"/a1": b"1", "/b1": b"1", "/a/x": b"1"}),
    ("other", {"/a1": b"1", "/c1": b"1"}),
    ("mine", {"/a1": b"2"}),
    ("mine", {"/a2": b"1", "/b1": None}),
    ("other", {"/c1": None, "/b1": b"1"}),
    ("mine", {"/a1": None, "/a2": None, "/a/x": None}),
    ("mine", {"/a1": b"2"}),
    ("other", {"/a1": b"3"}),
]


@pytest.mark.parametrize("kind", KINDS)
def test_the_datums_of_a_job_are_those_of_its_inputs_and_what_is_new_of_them_runs(bench: Bench, kind: str) -> None:
    other = replace(bench, source=unique("other"))
    bench.files.CreateRepo(pfs.CreateRepoRequest(repo=repo(other.source)))
    tree = KINDS[kind](bench.source, other.source)
    first = bench.create(input=tree)
    assert bench.ended(first).data_total == 0
    before: dict[str, list[bytes]] = {}
    for where, files in EDITS:
        if where == "other" and other.source not in str(tree):
            continue
        id = (bench if where == "mine" else other).commit(files)
        ran = work(bench, id)
        datums = held(bench, pps.ListDatumRequest(input=wire(tree)))
        assert held(bench, pps.ListDatumRequest(job=job(bench.name, id))) == datums
        assert ran == {datum for datum in datums if datums[datum] != before.get(datum)}
        info = bench.inspect(id)
        assert (info.data_total, info.data_skipped) == (len(datums), len(datums) - len(ran))
        before = datums


def wire(tree: Tree) -> pps.Input:
    return json_format.ParseDict(tree, pps.Input())


def held(bench: Bench, request: pps.ListDatumRequest) -> dict[str, list[bytes]]:
    """Datums with the digests of their files."""
    return {info.datum.id: [file.hash for file in info.data] for info in bench.jobs.ListDatum(request, timeout=120)}


def work(bench: Bench, id: str) -> set[str]:
    """Do all that a job gives. Returns the datums."""
    done = set[str]()

    def ended() -> bool:
        held = bench.hands().lease(0.3)
        if held is not None:
            assert held.job.id == id
            done.update(datum.id for datum in held.datums)
            hands = bench.hands()
            assert hands.complete(hands.results(held, lambda datum: {f"/{datum.id}": b""}))
        return bench.inspect(id).state == pps.JOB_SUCCESS

    eventually(ended, f"job {id} succeeded", seconds=120)
    return done


def test_a_job_of_more_sets_than_fit_in_a_transaction_is_laid_out_and_stopped(bench: Bench) -> None:
    many = 2 * SETS_AT_ONCE + 1
    folders = leaf(bench.source, "/*")
    bench.ended(bench.create(input={"cross": [folders, {"pfs": {**folders["pfs"], "name": "again"}}]}, **ONE_EACH))
    id = bench.commit({f"/{number}": b"x" for number in range(ceil(many**0.5))})
    hands = bench.hands()
    done = [hands.do_one(lambda _: {}) for _ in range(3)]
    assert [(held.index, len(held.datums)) for held in done] == [(0, 1), (1, 1), (2, 1)]
    info = bench.inspect(id)
    assert (info.state, info.data_total, info.data_processed) == (pps.JOB_RUNNING, ceil(many**0.5) ** 2, 3)
    bench.jobs.StopJob(pps.StopJobRequest(job=job(bench.name, id), reason="enough"))
    assert (bench.ended(id).state, bench.output_error(id)) == (pps.JOB_KILLED, "enough")
    after = bench.commit({f"/{number}": None for number in range(1, ceil(many**0.5))})
    assert len(hands.do_one(lambda _: {}).datums) == 1
    assert bench.ended(after).data_processed == 1


def test_nothing_stays_of_datums_whose_meta_commit_was_dropped(bench: Bench) -> None:
    """Nobody vouches for the outputs then: all of them are made again."""
    bench.create()
    hands = bench.hands()
    for files in ({"/0": b"0", "/1": b"1"}, {"/2": b"2"}):
        id = bench.commit(files)
        hands.do_one()
        assert bench.ended(id).state == pps.JOB_SUCCESS
    bench.files.DropCommit(pfs.DropCommitRequest(commit=pfs.Commit(repo=repo(bench.name, "meta"), id=id)))
    id = bench.commit({"/0": None})
    hands.do_one()
    info = bench.ended(id)
    assert (info.state, info.data_total, info.data_processed) == (pps.JOB_SUCCESS, 2, 2)
    assert bench.outputs(id) == ["/1", "/2"]
    assert len(bench.outputs(id, "meta")) == 2
