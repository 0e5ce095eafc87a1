"""Cron inputs: ticks on time and after a pause, by hand, over kills; what their repos hold and when these go."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import grpc
import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from tests.support.patience import eventually
from tests.system.jobs.conftest import Instance
from tests.system.jobs.hands import Bench, pipeline, repo


def commits(bench: Bench, name: str) -> list[pfs.CommitInfo]:
    """Those with a tick, oldest first."""
    found = bench.files.ListCommit(pfs.ListCommitRequest(repo=repo(name), origin_kind=pfs.OriginKind.USER))
    return list(found)[::-1]


def files(bench: Bench, commit: pfs.Commit) -> list[str]:
    found = bench.files.GlobFile(pfs.GlobFileRequest(commit=commit, pattern="/*"), timeout=120)
    return [info.file.path.strip("/") for info in found]


def head(bench: Bench, name: str) -> list[str]:
    return files(bench, pfs.Commit(branch=pfs.Branch(repo=repo(name), name="master")))


def gone(bench: Bench, name: str) -> bool:
    return name not in {info.repo.name for info in bench.files.ListRepo(pfs.ListRepoRequest())}


def ago(**more: float) -> str:
    return (datetime.now(UTC) - timedelta(**more)).replace(microsecond=0).isoformat()


def test_missed_ticks_are_made_up_for_one_commit_each(bench: Bench, instance: Instance) -> None:
    """Ten have been missed at the start; the next one is a day off. No kill makes one twice."""
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(days=10, hours=1)
    cron = {"name": "tick", "spec": "@every 24h", "start": start.isoformat()}
    bench.create(input={"cron": cron}, transform={"cmd": ["sleep", "1"]})
    ticked = f"{bench.name}_tick"
    eventually(lambda: len(commits(bench, ticked)) >= 4)
    instance.restart("pps")
    eventually(lambda: len(commits(bench, ticked)) >= 10)
    names = [(start + timedelta(days=day)).strftime("%Y-%m-%dT%H:%M:%SZ") for day in range(1, 11)]
    eventually(lambda: head(bench, ticked) == names)
    instance.restart("pps")
    asked = pps.RunCronRequest(pipeline=pipeline(bench.name))
    bench.pipelines.RunCron(asked, wait_for_ready=True, timeout=120)
    eventually(lambda: len(head(bench, ticked)) == 11)
    assert len(commits(bench, ticked)) == 11
    listed = bench.jobs.ListJob(pps.ListJobRequest(pipeline=pipeline(bench.name), history=-1), timeout=120)
    assert len(list(listed)) == 12
    told = bench.pipelines.InspectPipeline(pps.InspectPipelineRequest(pipeline=pipeline(bench.name), details=True))
    assert (told.details.input.cron.repo, told.details.input.cron.project) == (ticked, "default")
    bench.pipelines.DeletePipeline(pps.DeletePipelineRequest(pipeline=pipeline(bench.name), keep_repo=True))
    assert gone(bench, ticked)
    assert not gone(bench, bench.name)


def test_a_tick_may_take_the_place_of_those_before(bench: Bench) -> None:
    """The file is an input of datums; a pipeline that is stopped ticks again when it is started."""
    cron = {"name": "tick", "spec": "@every 1s", "overwrite": True, "start": ago(seconds=5)}
    tree = {"cross": [{"pfs": {"name": "in", "repo": bench.source, "glob": "/*"}}, {"cron": cron}]}
    bench.commit({"/a": b"a"})
    bench.create(input=tree)
    ticked = f"{bench.name}_tick"
    eventually(lambda: len(commits(bench, ticked)) >= 6)
    held = bench.hands().lease()
    assert held is not None
    assert [one.name for one in held.datums[0].inputs] == ["tick", "in"]
    bench.pipelines.StopPipeline(pps.StopPipelineRequest(pipeline=pipeline(bench.name)))
    before = len(commits(bench, ticked))
    bench.pipelines.StartPipeline(pps.StartPipelineRequest(pipeline=pipeline(bench.name)))
    eventually(lambda: len(commits(bench, ticked)) > before + 2)
    found = [info.commit for info in commits(bench, ticked)[:-1]]
    names = [files(bench, commit) for commit in found]
    assert all(len(one) == 1 for one in names)
    times = [datetime.fromisoformat(one[0]) for one in names]
    assert [later - earlier for earlier, later in pairwise(times)] == [timedelta(seconds=1)] * (len(times) - 1)


def test_crons_by_hand(bench: Bench) -> None:
    """Two crons tick in two commit sets; the repos are kept over updates; without a cron there is nothing to run."""
    bench.create()
    asked = pps.RunCronRequest(pipeline=pipeline(bench.name))
    with pytest.raises(grpc.RpcError, match="pipeline doesn't have a cron input"):
        bench.pipelines.RunCron(asked)
    with pytest.raises(grpc.RpcError, match="not found"):
        bench.pipelines.RunCron(pps.RunCronRequest(pipeline=pipeline("nobody")))
    crons = [{"cron": {"name": name, "spec": " @never "}} for name in ("one", "two")]
    bench.create(input={"cross": crons}, update=True)
    bench.pipelines.RunCron(asked)
    names = [f"{bench.name}_{name}" for name in ("one", "two")]
    ids = {info.commit.id for name in names for info in commits(bench, name)}
    assert len(ids) == 2
    eventually(lambda: len({*head(bench, names[0]), *head(bench, names[1])}) == 1)
    held = bench.hands(version=2).do_one()
    assert (held.job.id in ids, len(held.datums)) == (True, 1)
    bench.create(input={"cross": crons}, update=True)
    assert [len(commits(bench, name)) for name in names] == [1, 1]
    text = json.dumps({"pipeline": {"name": names[0]}, "transform": {"cmd": ["true"]}, "input": crons[0]})
    with pytest.raises(grpc.RpcError, match="a repo with the same name already exists"):
        bench.pipelines.CreatePipelineV2(pps.CreatePipelineV2Request(create_pipeline_request_json=text))
