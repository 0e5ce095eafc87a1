"""A pipeline whose output goes to another branch from some version on."""

import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from tests.system.jobs.hands import Bench, repo

pytestmark = pytest.mark.parametrize("instance", ["sqlite"], indirect=True, scope="module")


def branch(bench: Bench, name: str, kind: str = "user") -> pfs.BranchInfo:
    asked = pfs.InspectBranchRequest(branch=pfs.Branch(repo=repo(bench.name, kind), name=name))
    info: pfs.BranchInfo = bench.files.InspectBranch(asked)
    return info


def test_the_branch_before_keeps_what_it_has(bench: Bench) -> None:
    """Nobody would finish commits on it any more: whoever waits for all of a set would wait for ever."""
    first = bench.create()
    bench.ended(first)
    bench.create(update=True, outputBranch="v2")
    id = bench.commit({})
    assert bench.ended(id).state == pps.JOB_SUCCESS
    asked = pfs.InspectCommitSetRequest(commit_set=pfs.CommitSet(id=id), wait=True)
    members = [info.commit for info in bench.files.InspectCommitSet(asked, timeout=120)]
    assert sorted(one.repo.type for one in members if one.repo.name == bench.name) == ["meta", "spec", "user"]
    for kind in ("user", "meta"):
        assert branch(bench, "master", kind).head.id == first
        assert branch(bench, "v2", kind).head.id == id
    again = bench.create(update=True)
    assert {branch(bench, "master", kind).head.id for kind in ("user", "meta")} == {again}
    assert branch(bench, "v2").head.id == id
