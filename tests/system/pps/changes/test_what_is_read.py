"""What pipelines are made from: branches that follow for them, inputs while they are stopped, inputs of spouts."""

from typing import Any

import grpc
import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from tests.support.servers import unique
from tests.system.chaos.dag import leaf, named, pipeline
from tests.system.pps.changes.test_pipelines import Side, branch, branches, commit, inspect, made, repo
from tests.system.pps.changes.test_staged import Transaction


def following(source: str, **more: str) -> pps.Input:
    return leaf(source, "/*", trigger=pfs.Trigger(commits=1), **more)


def source(side: Side) -> str:
    name = unique("in")
    side.pfs.CreateRepo(pfs.CreateRepoRequest(repo=repo(name)))
    return name


def update(side: Side, request: pps.CreatePipelineRequest) -> None:
    request.update = True
    side.pps.CreatePipeline(request)


def test_a_branch_that_follows_for_a_pipeline_goes_with_it(side: Side) -> None:
    read, name = source(side), unique("p")
    side.pps.CreatePipeline(pipeline(name, "true", following(read)))
    update(side, pipeline(name, "true", following(read, branch="own")))
    assert branches(side, read) == {"master", f"{name}-trigger-1", "own"}
    side.pps.DeletePipeline(pps.DeletePipelineRequest(pipeline=named(name), keep_repo=True))
    assert branches(side, read) == {"master", "own"}, "what a user has named is the user's"


def test_a_branch_that_follows_stays_while_somebody_else_uses_it(side: Side) -> None:
    read, (first, second, third) = source(side), (unique("p"), unique("p"), unique("p"))
    side.pps.CreatePipeline(pipeline(first, "true", following(read)))
    shared = f"{first}-trigger-1"
    side.pps.CreatePipeline(pipeline(second, "true", leaf(read, "/*", branch=shared)))
    side.pps.StopPipeline(pps.StopPipelineRequest(pipeline=named(second)))
    side.pps.DeletePipeline(pps.DeletePipelineRequest(pipeline=named(first)))
    assert shared in branches(side, read), "a pipeline that is stopped reads it when it is started"
    side.pps.StartPipeline(pps.StartPipelineRequest(pipeline=named(second)))

    side.pps.CreatePipeline(pipeline(third, "true", following(read)))
    shared = f"{third}-trigger-1"
    derived = pfs.CreateBranchRequest(branch=pfs.Branch(repo=repo(source(side)), name="mine"))
    derived.provenance.add(repo=repo(read), name=shared)
    side.pfs.CreateBranch(derived)
    side.pps.DeletePipeline(pps.DeletePipelineRequest(pipeline=named(third)))
    assert shared in branches(side, read)


def test_pipelines_that_share_a_branch_take_it_with_them_together(side: Side) -> None:
    project, read = unique("team"), source(side)
    side.pfs.CreateProject(pfs.CreateProjectRequest(project=pfs.Project(name=project)))
    shared = "above-trigger-1"
    for name, tree in (("above", following(read, project="default")), ("below", leaf(read, "/", branch=shared))):
        request = pipeline(name, "true", tree)
        request.pipeline.project.name = project
        request.input.pfs.project = "default"
        side.pps.CreatePipeline(request)
    assert shared in branches(side, read)
    side.pps.DeletePipelines(pps.DeletePipelinesRequest(projects=[pfs.Project(name=project)]))
    assert shared not in branches(side, read)


def test_a_repo_that_a_cron_was_given_stays_what_it_was(side: Side) -> None:
    given, name = unique("notes"), unique("p")
    side.pfs.CreateRepo(pfs.CreateRepoRequest(repo=repo(given), description="of ours"))
    ticks = [pps.Input(cron=pps.CronInput(name=one, repo=at, spec="@never")) for one, at in (("a", given), ("b", ""))]
    side.pps.CreatePipeline(pipeline(name, "true", pps.Input(cross=ticks)))
    made = side.pfs.InspectRepo(pfs.InspectRepoRequest(repo=repo(f"{name}_b")))
    assert made.description == f"Cron tick repo for pipeline {name}."
    assert side.pfs.InspectRepo(pfs.InspectRepoRequest(repo=repo(given))).description == "of ours"
    side.pps.DeletePipeline(pps.DeletePipelineRequest(pipeline=named(name), force=True))
    left = {info.repo.name for info in side.pfs.ListRepo(pfs.ListRepoRequest(type="user"))}
    assert given in left
    assert f"{name}_b" not in left


def test_a_stopped_pipeline_is_not_updated_to_what_cannot_be(side: Side, pfs_channel: grpc.Channel) -> None:
    read, above = made(side)
    below = unique("p")
    side.pps.CreatePipeline(pipeline(below, "true", leaf(above, "/*")))
    side.pps.StopPipeline(pps.StopPipelineRequest(pipeline=named(above)))
    circle = pipeline(above, "true", leaf(below, "/*"))
    before = kept(side, above)
    with pytest.raises(grpc.RpcError, match=f"{above}"):
        update(side, circle)
    with pytest.raises(grpc.RpcError, match=f"{above}"):
        Transaction(side, pfs_channel).create(circle)
    assert kept(side, above) == before
    two = pps.Input(cross=[leaf(read, "/*", name="a"), leaf(read, "/*", name="b", branch="other")])
    with pytest.raises(grpc.RpcError, match="cannot participate in a DAG"):
        update(side, pipeline(above, "true", two))
    assert "other" not in branches(side, read)
    assert kept(side, above) == before
    update(side, pipeline(above, "true", leaf(read, "/")))
    assert inspect(side, above).version == 2
    assert not branch(side, above).direct_provenance
    side.pps.StartPipeline(pps.StartPipelineRequest(pipeline=named(above)))


def kept(side: Side, name: str) -> tuple[Any, ...]:
    info = inspect(side, name)
    return info.version, info.spec_commit, info.details.input, branch(side, name)


def test_what_a_spout_with_a_service_commits_is_made_from_its_input_as_it_is_then(side: Side) -> None:
    read, name = source(side), unique("spout")
    request = pipeline(name, "sleep 1000", leaf(read, "/*"))
    request.spout.service.internal_port = request.spout.service.external_port = 18765
    side.pps.CreatePipeline(request)
    assert above(branch(side, name)) == {read, f"{name}.spec"}
    first = branch(side, name).head.id
    seen = commit(side, read)
    assert branch(side, name).head.id == first, "an input gives it nothing that nobody would finish"
    own = commit(side, name)
    assert made_from(side, name, own) == {read: seen, f"{name}.spec": first}
    update(side, request)
    later = branch(side, name).head.id
    assert made_from(side, name, commit(side, name)) == {read: seen, f"{name}.spec": later}
    with pytest.raises(grpc.RpcError, match="direct provenance"):
        side.pfs.DeleteRepo(pfs.DeleteRepoRequest(repo=repo(read)))
    side.pps.StopPipeline(pps.StopPipelineRequest(pipeline=named(name)))
    side.pps.StartPipeline(pps.StartPipelineRequest(pipeline=named(name)))
    side.pps.DeletePipeline(pps.DeletePipelineRequest(pipeline=named(name)))
    side.pfs.DeleteRepo(pfs.DeleteRepoRequest(repo=repo(read)))


def above(info: Any) -> set[str]:
    return {_shown(one.repo) for one in info.direct_provenance}


def made_from(side: Side, name: str, id: str) -> dict[str, str]:
    asked = pfs.InspectCommitRequest(commit=pfs.Commit(repo=repo(name), id=id), wait=pfs.CommitState.FINISHED)
    info = side.pfs.InspectCommit(asked, timeout=120)
    return {_shown(one.repo): one.id for one in info.direct_provenance}


def _shown(repo: pfs.Repo) -> str:
    return repo.name if repo.type == "user" else f"{repo.name}.{repo.type}"
