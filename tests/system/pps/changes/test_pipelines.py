"""Pipelines against a real PFS: what create, update, stop, start and delete leave behind, also after a crash."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

from datamill.wire import metadata_pb2 as metadata
from datamill.wire import metadata_pb2_grpc as metadata_grpc
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pfs_v2_pb2_grpc as pfs_grpc
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import pps_v2_pb2_grpc as pps_grpc
from tests.support.patience import eventually
from tests.support.postgres import Postgres
from tests.support.servers import SERVING, Running, channel, free_port, running, service_command, settings, unique
from tests.system.chaos.dag import leaf, named, pipeline


@dataclass
class Side:
    """PPS over the session's PFS; there is no Jobs here."""

    pfs: Any
    pps: Any
    process: Running
    root: Path


@contextmanager
def started(root: Path, nats_url: str, token: str, pfs_address: str, **more: str) -> Iterator[Side]:
    env = settings("pps", root, nats_url=nats_url, token=token)
    env |= {"PPS_PFS": pfs_address, "PPS_JOBS": f"127.0.0.1:{free_port()}", "PPS_WORKER_PYTHON": sys.executable, **more}
    with running(service_command("pps"), env=env, ready=SERVING) as found, ExitStack() as open_channels:
        to_pfs, to_pps = (open_channels.enter_context(channel(at)) for at in (pfs_address, found[1]))
        yield Side(pfs_grpc.APIStub(to_pfs), pps_grpc.APIStub(to_pps), found, root)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def side(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    nats_url: str,
    service_token: str,
    pfs_address: str,
) -> Iterator[Side]:
    """On both databases; PFS stays the session's."""
    database = {}
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        database["PPS_DATABASE_URL"] = server.schema("pps")
    with started(tmp_path_factory.mktemp("pps"), nats_url, service_token, pfs_address, **database) as found:
        yield found


def repo(name: str, kind: str = "user") -> pfs.Repo:
    return pfs.Repo(name=name, type=kind, project=pfs.Project(name="default"))


def made(side: Side) -> tuple[str, str]:
    """A repo with a file, and a pipeline over it. Returns their names."""
    source, name = unique("in"), unique("p")
    side.pfs.CreateRepo(pfs.CreateRepoRequest(repo=repo(source)))
    side.pps.CreatePipeline(pipeline(name, "true", leaf(source, "/*")))
    return source, name


def inspect(side: Side, name: str) -> pps.PipelineInfo:
    info: pps.PipelineInfo = side.pps.InspectPipeline(pps.InspectPipelineRequest(pipeline=named(name), details=True))
    return info


def branch(side: Side, name: str, kind: str = "user") -> pfs.BranchInfo:
    asked = pfs.InspectBranchRequest(branch=pfs.Branch(repo=repo(name, kind), name="master"))
    info: pfs.BranchInfo = side.pfs.InspectBranch(asked)
    return info


def branches(side: Side, name: str) -> set[str]:
    return {info.branch.name for info in side.pfs.ListBranch(pfs.ListBranchRequest(repo=repo(name)))}


def repos(side: Side, name: str) -> set[str]:
    listed = side.pfs.ListRepo(pfs.ListRepoRequest())
    return {info.repo.type for info in listed if info.repo.name == name}


def commit(side: Side, source: str) -> str:
    started = side.pfs.StartCommit(pfs.StartCommitRequest(branch=pfs.Branch(repo=repo(source), name="master")))
    side.pfs.FinishCommit(pfs.FinishCommitRequest(commit=started))
    return str(started.id)


def test_create_makes_repos_branches_and_one_output_commit(side: Side) -> None:
    source, name = made(side)
    info = inspect(side, name)
    assert (info.version, info.stopped, info.parallelism) == (1, False, 1)
    assert info.details.input.pfs == pps.PFSInput(
        project="default", name=source, repo=source, repo_type="user", branch="master", glob="/*"
    )
    assert len(info.details.salt) == 32
    assert repos(side, name) == {"user", "meta", "spec"}
    for kind in ("user", "meta"):
        found = branch(side, name, kind)
        assert {(one.repo.name, one.repo.type) for one in found.direct_provenance} == {(source, "user"), (name, "spec")}
        assert found.head.id == info.spec_commit.id
    members = side.pfs.InspectCommitSet(pfs.InspectCommitSetRequest(commit_set=pfs.CommitSet(id=info.spec_commit.id)))
    own = [one for one in members if one.commit.id == info.spec_commit.id]
    assert sorted(one.commit.repo.type for one in own if one.commit.repo.name == name) == ["meta", "spec", "user"]


def test_the_same_name_again_is_refused_and_update_makes_a_version(side: Side) -> None:
    source, name = made(side)
    before = inspect(side, name)
    request = pipeline(name, "false", leaf(source, "/"))
    with pytest.raises(grpc.RpcError) as caught:
        side.pps.CreatePipeline(request)
    error: Any = caught.value
    expected = (grpc.StatusCode.ALREADY_EXISTS, f'pipeline "default/{name}" already exists')
    assert (error.code(), error.details()) == expected
    request.update = True
    side.pps.CreatePipeline(request)
    after = inspect(side, name)
    assert (after.version, after.details.input.pfs.glob, after.details.salt) == (2, "/", before.details.salt)
    assert inspect(side, f"{name}^").details.input.pfs.glob == "/*"
    side.pps.RerunPipeline(pps.RerunPipelineRequest(pipeline=named(name), reprocess=True))
    again = inspect(side, name)
    assert again.version == 3
    assert again.details.salt != before.details.salt
    listed = side.pps.ListPipeline(pps.ListPipelineRequest(pipeline=named(name), history=-1))
    assert [info.version for info in listed] == [3, 2, 1]


def test_calls_that_change_one_pipeline_wait_in_line(side: Side) -> None:
    source, name = made(side)

    def change(at: int) -> None:
        request = pipeline(name, f"exit {at}", leaf(source, "/*"))
        request.update = True
        side.pps.CreatePipeline(request)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(change, range(8)))
        assert inspect(side, name).version == 9
        stop, start = pps.StopPipelineRequest(pipeline=named(name)), pps.StartPipelineRequest(pipeline=named(name))
        again = pps.RerunPipelineRequest(pipeline=named(name))
        calls = [(side.pps.StopPipeline, stop), (side.pps.StartPipeline, start), (side.pps.RerunPipeline, again)]
        list(pool.map(lambda one: one[0](one[1]), calls * 2))
        assert inspect(side, name).version == 11
        deletions = [pps.DeletePipelineRequest(pipeline=named(name))] * 3
        list(pool.map(side.pps.DeletePipeline, deletions))
    assert repos(side, name) == set()


def test_a_stopped_pipeline_gets_no_commits_until_it_is_started(side: Side) -> None:
    source, name = made(side)
    side.pps.StopPipeline(pps.StopPipelineRequest(pipeline=named(name)))
    assert inspect(side, name).state == pps.PIPELINE_PAUSED
    head = branch(side, name).head.id
    commit(side, source)
    commit(side, source)
    assert branch(side, name).head.id == head
    side.pps.StartPipeline(pps.StartPipelineRequest(pipeline=named(name)))
    assert branch(side, name).head.id != head
    assert eventually(lambda: inspect(side, name).state != pps.PIPELINE_PAUSED)
    side.pps.StopPipeline(pps.StopPipelineRequest(pipeline=named(name)))
    side.pps.StopPipeline(pps.StopPipelineRequest(pipeline=named(name)))


def test_delete_removes_the_repos_unless_they_are_needed_or_kept(side: Side) -> None:
    _, first = made(side)
    second = unique("p")
    side.pps.CreatePipeline(pipeline(second, "true", leaf(first, "/*")))
    with pytest.raises(grpc.RpcError) as caught:
        side.pps.DeletePipeline(pps.DeletePipelineRequest(pipeline=named(first)))
    assert (caught.value.details() or "").startswith(
        'branch "master" cannot be deleted because it\'s in the direct provenance of'
    )
    assert inspect(side, first).version == 1
    assert repos(side, first) == {"user", "meta", "spec"}
    side.pps.DeletePipeline(pps.DeletePipelineRequest(pipeline=named(second), keep_repo=True))
    assert repos(side, second) == {"user"}
    side.pfs.DeleteRepo(pfs.DeleteRepoRequest(repo=repo(second)))
    side.pps.DeletePipeline(pps.DeletePipelineRequest(pipeline=named(first)))
    assert repos(side, first) == set()
    side.pps.DeletePipeline(pps.DeletePipelineRequest(pipeline=named(first)))
    with pytest.raises(grpc.RpcError, match="not found"):
        side.pps.DeletePipeline(pps.DeletePipelineRequest(pipeline=named(first), must_exist=True))


def test_a_command_that_is_missing_fails_the_pipeline(side: Side) -> None:
    source, name = unique("in"), unique("p")
    side.pfs.CreateRepo(pfs.CreateRepoRequest(repo=repo(source)))
    request = pipeline(name, "true", leaf(source, "/*"))
    del request.transform.cmd[:]
    side.pps.CreatePipeline(request)
    info = eventually(lambda: (found := inspect(side, name)).state == pps.PIPELINE_FAILURE and found)
    assert info
    assert info.reason == "nothing to run: no transform.cmd"


def test_killed_workers_come_back_and_the_service_takes_its_workers_with_it(
    tmp_path: Path, nats_url: str, service_token: str, pfs_address: str
) -> None:
    with started(tmp_path, nats_url, service_token, pfs_address) as side:
        _, name = made(side)
        first = eventually(lambda: workers(tmp_path))
        first[0].kill()
        again = eventually(lambda: [one for one in workers(tmp_path) if one.pid not in {old.pid for old in first}])
        assert again
        assert eventually(lambda: inspect(side, name).state == pps.PIPELINE_RUNNING)
        side.process.kill()
        eventually(lambda: not workers(tmp_path))
    with started(tmp_path, nats_url, service_token, pfs_address) as side:
        assert inspect(side, name).version == 1
        assert eventually(lambda: workers(tmp_path))


def workers(root: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if words[-1:] == ["services.worker"] and "bwrap" in words[0] and any(str(root) in word for word in words):
            found.append(process)
    return found


def pairs(side: Side) -> tuple[str, str, str]:
    """Two pipelines in a project of their own; the first was updated to read the second, which is newer."""
    project, source = unique("team"), unique("in")
    side.pfs.CreateProject(pfs.CreateProjectRequest(project=pfs.Project(name=project)))
    side.pfs.CreateRepo(pfs.CreateRepoRequest(repo=repo(source)))
    below = f'"project": "{project}", "glob": "/*"'
    create(side, project, "below", f'{{"pfs": {{"repo": "{source}", "project": "default", "glob": "/*"}}}}')
    create(side, project, "above", f'{{"pfs": {{"repo": "{source}", "project": "default", "glob": "/*"}}}}')
    create(side, project, "below", f'{{"pfs": {{"repo": "above", {below}}}}}', update=True)
    return project, "above", "below"


def create(side: Side, project: str, name: str, tree: str, *, update: bool = False) -> None:
    text = f'{{"pipeline": {{"name": "{name}", "project": {{"name": "{project}"}}}}, "input": {tree}, '
    text += '"transform": {"cmd": ["true"]}}'
    side.pps.CreatePipelineV2(pps.CreatePipelineV2Request(create_pipeline_request_json=text, update=update))


def test_many_are_deleted_together_or_not_at_all(side: Side) -> None:
    project, above, below = pairs(side)
    outside = unique("p")
    create(side, "default", outside, f'{{"pfs": {{"repo": "{above}", "project": "{project}", "glob": "/"}}}}')
    request = pps.DeletePipelinesRequest(projects=[pfs.Project(name=project)])
    listed = pps.ListPipelineRequest(projects=[pfs.Project(name=project)])
    with pytest.raises(grpc.RpcError):
        side.pps.DeletePipelines(request)
    assert {info.pipeline.name for info in side.pps.ListPipeline(listed)} == {above, below}
    assert len(project_repos(side, project)) == 6
    side.pps.DeletePipeline(pps.DeletePipelineRequest(pipeline=named(outside)))
    gone = side.pps.DeletePipelines(request)
    assert {one.name for one in gone.pipelines} == {above, below}
    assert list(side.pps.ListPipeline(listed)) == []
    assert project_repos(side, project) == []


def project_repos(side: Side, project: str) -> list[str]:
    listed = side.pfs.ListRepo(pfs.ListRepoRequest(projects=[pfs.Project(name=project)]))
    return [f"{info.repo.name}.{info.repo.type}" for info in listed]


@pytest.mark.parametrize(
    ("fields", "code", "text"),
    [
        ('"input": {"pfs": {"repo": "dne", "glob": "/"}}', grpc.StatusCode.NOT_FOUND, "dne[^ ]* not found"),
        (
            '"input": {"cross": [{"pfs": {"repo": "out"}}, {"pfs": {"repo": "SOURCE"}}]}',
            grpc.StatusCode.UNKNOWN,
            "input cannot be named out\ninput must specify a glob",
        ),
        (
            '"input": {"pfs": {"repo": "SOURCE", "glob": "/", "trigger": {"size": "big"}}}',
            grpc.StatusCode.UNKNOWN,
            "invalid trigger size",
        ),
        (
            '"input": {"pfs": {"repo": "SOURCE", "repoType": "meta", "glob": "/"}}',
            grpc.StatusCode.NOT_FOUND,
            "not found",
        ),
        ('"input": {"cross": [{"pfs": null}]}', grpc.StatusCode.UNKNOWN, "no input set"),
        ('"input": {"pfs": {"repo": "SOURCE", "glob": "/["}}', grpc.StatusCode.UNKNOWN, r"glob \(/\[\) invalid"),
        ('"inputs": {}', grpc.StatusCode.INVALID_ARGUMENT, 'did you mean "input"'),
        ('"outputBranch": "a b"', grpc.StatusCode.UNKNOWN, "a b"),
    ],
)
def test_a_rejected_spec_leaves_nothing_behind(side: Side, fields: str, code: grpc.StatusCode, text: str) -> None:
    name, source = unique("p"), unique("in")
    side.pfs.CreateRepo(pfs.CreateRepoRequest(repo=repo(source)))
    fields = fields.replace("SOURCE", source)
    whole = f'{{"pipeline": {{"name": "{name}"}}, "transform": {{"cmd": ["true"]}}, {fields}}}'
    with pytest.raises(grpc.RpcError, match=text) as caught:
        side.pps.CreatePipelineV2(pps.CreatePipelineV2Request(create_pipeline_request_json=whole))
    error: Any = caught.value
    assert error.code() is code
    with pytest.raises(grpc.RpcError, match="not found"):
        inspect(side, name)
    assert repos(side, name) == set()


def test_pairs_that_users_keep_with_a_pipeline(side: Side, pfs_address: str) -> None:
    source, name = made(side)
    picker = pps.PipelinePicker(
        name=pps.PipelinePicker.PipelineName(name=name, project=pfs.ProjectPicker(name="default"))
    )

    def edit(**op: Any) -> None:
        with channel(pfs_address) as opened:
            request = metadata.EditMetadataRequest(edits=[metadata.Edit(pipeline=picker, **op)])
            metadata_grpc.APIStub(opened).EditMetadata(request)

    def pairs() -> dict[str, str]:
        info = side.pps.InspectPipeline(pps.InspectPipelineRequest(pipeline=named(name)))
        listed = {one.pipeline.name: dict(one.metadata) for one in side.pps.ListPipeline(pps.ListPipelineRequest())}
        assert listed[name] == info.metadata
        return dict(info.metadata)

    assert pairs() == {}
    edit(add_key=metadata.Edit.AddKey(key="team", value="vision"))
    with pytest.raises(grpc.RpcError, match="already exists; use edit_key instead"):
        edit(add_key=metadata.Edit.AddKey(key="team", value="other"))
    update = pipeline(name, "false", leaf(source, "/*"))
    update.update = True
    side.pps.CreatePipeline(update)
    assert pairs() == {"team": "vision"}
    edit(replace=metadata.Edit.Replace(replacement={"a": "b"}))
    assert pairs() == {"a": "b"}
    side.pps.DeletePipeline(pps.DeletePipelineRequest(pipeline=named(name)))
    side.pps.CreatePipeline(pipeline(name, "true", leaf(source, "/*")))
    assert pairs() == {}
