"""Pairs of text on things: where they are shown, the four ways to edit them, and that edits are all or none."""

from collections.abc import Callable

import grpc
import pytest

from datamill.wire import admin_v2_pb2 as admin
from datamill.wire import admin_v2_pb2_grpc, metadata_pb2_grpc
from datamill.wire import metadata_pb2 as wire
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from tests.support.servers import unique
from tests.system.pfs.driver import Repo, refused

Edit = wire.Edit
INVALID, UNKNOWN = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNKNOWN
TAKEN = grpc.StatusCode.FAILED_PRECONDITION
Send = Callable[..., None]


@pytest.fixture
def edit(pfs_channel: grpc.Channel) -> Send:
    stub = metadata_pb2_grpc.APIStub(pfs_channel)
    return lambda *edits: stub.EditMetadata(wire.EditMetadataRequest(edits=edits)) and None


def repo_of(one: Repo) -> pfs.RepoPicker:
    name = pfs.RepoPicker.RepoName(project=pfs.ProjectPicker(name="default"), name=one.name, type="user")
    return pfs.RepoPicker(name=name)


def branch_of(one: Repo, name: str = "master") -> pfs.BranchPicker:
    return pfs.BranchPicker(name=pfs.BranchPicker.BranchName(repo=repo_of(one), name=name))


def add(key: str, value: str) -> Edit.AddKey:
    return Edit.AddKey(key=key, value=value)


def test_the_four_ways_to_edit(edit: Send, a: Repo) -> None:
    def shown() -> dict[str, str]:
        return dict(a.api.InspectRepo(pfs.InspectRepoRequest(repo=a.wire)).metadata)

    edit(Edit(repo=repo_of(a), replace=Edit.Replace(replacement={"a": "1", "b": "2"})))
    assert shown() == {"a": "1", "b": "2"}
    edit(Edit(repo=repo_of(a), add_key=add("c", "3")), Edit(repo=repo_of(a), delete_key=Edit.DeleteKey(key="a")))
    assert shown() == {"b": "2", "c": "3"}
    edit(
        Edit(repo=repo_of(a), edit_key=Edit.EditKey(key="b", value="")),
        Edit(repo=repo_of(a), edit_key=Edit.EditKey(key="d", value="4")),
        Edit(repo=repo_of(a), delete_key=Edit.DeleteKey(key="nothing")),
    )
    assert shown() == {"b": "", "c": "3", "d": "4"}
    edit(Edit(repo=repo_of(a), replace=Edit.Replace()))
    assert shown() == {}
    edit()


def test_where_pairs_are_shown(edit: Send, a: Repo, pfs_channel: grpc.Channel) -> None:
    project, pairs = unique("meta"), {"who": "me"}
    a.api.CreateProject(pfs.CreateProjectRequest(project=pfs.Project(name=project)))
    first = a.finish(a.start())
    second = a.finish(a.start())
    replace = Edit.Replace(replacement=pairs)
    tip, root = pfs.CommitPicker(branch_head=branch_of(a)), pfs.CommitPicker.BranchRoot(branch=branch_of(a), offset=0)
    edit(
        Edit(project=pfs.ProjectPicker(name=project), replace=replace),
        Edit(repo=repo_of(a), replace=replace),
        Edit(branch=branch_of(a), replace=replace),
        Edit(commit=tip, replace=replace),
        Edit(commit=pfs.CommitPicker(branch_root=root), add_key=add("root", "yes")),
        Edit(
            commit=pfs.CommitPicker(ancestor=pfs.CommitPicker.AncestorOf(start=tip, offset=1)),
            add_key=add("older", "yes"),
        ),
        Edit(
            commit=pfs.CommitPicker(id=pfs.CommitPicker.CommitByGlobalId(repo=repo_of(a), id=first.commit.id.upper())),
            add_key=add("by id", "yes"),
        ),
        Edit(cluster=wire.ClusterPicker(), edit_key=Edit.EditKey(key=project, value="here")),
    )
    assert dict(a.api.InspectProject(pfs.InspectProjectRequest(project=pfs.Project(name=project))).metadata) == pairs
    (listed,) = [one for one in a.api.ListProject(pfs.ListProjectRequest()) if one.project.name == project]
    assert dict(listed.metadata) == pairs
    (repo,) = [one for one in a.api.ListRepo(pfs.ListRepoRequest()) if one.repo.name == a.name]
    assert dict(repo.metadata) == pairs
    assert dict(a.api.InspectBranch(pfs.InspectBranchRequest(branch=a.branch)).metadata) == pairs
    found = {one.commit.id: dict(one.metadata) for one in a.api.ListCommit(pfs.ListCommitRequest(repo=a.wire))}
    assert found == {second.commit.id: pairs, first.commit.id: {"root": "yes", "older": "yes", "by id": "yes"}}
    cluster = admin_v2_pb2_grpc.APIStub(pfs_channel).InspectCluster(admin.InspectClusterRequest())
    assert cluster.metadata[project] == "here"


def test_a_branch_and_a_project_keep_their_pairs_when_they_are_changed(edit: Send, a: Repo) -> None:
    a.finish(a.start())
    edit(Edit(branch=branch_of(a), add_key=add("k", "v")))
    a.api.CreateBranch(pfs.CreateBranchRequest(branch=a.branch, head=pfs.Commit(repo=a.wire, id="master")))
    assert dict(a.api.InspectBranch(pfs.InspectBranchRequest(branch=a.branch)).metadata) == {"k": "v"}
    project = pfs.Project(name=unique("meta"))
    a.api.CreateProject(pfs.CreateProjectRequest(project=project))
    edit(Edit(project=pfs.ProjectPicker(name=project.name), add_key=add("k", "v")))
    a.api.CreateProject(pfs.CreateProjectRequest(project=project, description="other", update=True))
    info = a.api.InspectProject(pfs.InspectProjectRequest(project=project))
    assert (dict(info.metadata), info.description) == ({"k": "v"}, "other")


def test_all_edits_are_tried_and_none_is_kept_when_one_fails(edit: Send, a: Repo, b: Repo) -> None:
    edit(Edit(repo=repo_of(a), add_key=add("k", "v")))
    nobody = pfs.RepoPicker(name=pfs.RepoPicker.RepoName(project=pfs.ProjectPicker(name="default"), name="nobody"))
    taken = 'add_key target key "k" already exists; use edit_key instead'
    with refused(TAKEN, "apply edits: edit #1: ") as failed:
        edit(
            Edit(repo=repo_of(b), add_key=add("new", "1")),
            Edit(repo=repo_of(a), add_key=add("k", "w")),
            Edit(repo=nobody, add_key=add("k", "w")),
        )
    lines = (failed.value.details() or "").splitlines()
    assert len(lines) == 2
    assert lines[0].endswith(taken)
    assert lines[1].startswith("edit #2: ")
    assert lines[1].endswith("repo default/nobody not found")
    assert not b.api.InspectRepo(pfs.InspectRepoRequest(repo=b.wire)).metadata
    with refused(UNKNOWN, "apply edits: edit #0: "):
        edit(Edit(repo=nobody, add_key=add("k", "w")))
    with refused(UNKNOWN, "not found"):
        edit(Edit(branch=branch_of(a, "none"), add_key=add("k", "w")))
    with refused(UNKNOWN, "not found"):
        edit(Edit(project=pfs.ProjectPicker(name="nobody"), add_key=add("k", "w")))


def test_an_edit_needs_a_target_an_operation_and_keys(edit: Send, a: Repo) -> None:
    for bad in (
        Edit(),
        Edit(repo=repo_of(a)),
        Edit(add_key=add("k", "v")),
        Edit(repo=repo_of(a), add_key=add("", "v")),
        Edit(repo=repo_of(a), edit_key=Edit.EditKey()),
        Edit(repo=repo_of(a), delete_key=Edit.DeleteKey()),
        Edit(repo=repo_of(a), replace=Edit.Replace(replacement={"": "v"})),
    ):
        with refused(INVALID, "validate request: edits[0]."):
            edit(bad)
    for picker, text in (
        (Edit(repo=pfs.RepoPicker(), delete_key=Edit.DeleteKey(key="k")), "repo picker cannot be nil"),
        (Edit(commit=pfs.CommitPicker(), delete_key=Edit.DeleteKey(key="k")), "commit picker cannot be nil"),
        (Edit(branch=pfs.BranchPicker(), delete_key=Edit.DeleteKey(key="k")), "branch picker cannot be nil"),
        (Edit(project=pfs.ProjectPicker(), delete_key=Edit.DeleteKey(key="k")), "project picker cannot be nil"),
    ):
        with refused(UNKNOWN, text):
            edit(picker)
    with refused(UNKNOWN, "pipeline picker cannot be nil"):
        edit(Edit(pipeline=pps.PipelinePicker(), delete_key=Edit.DeleteKey(key="k")))
    name = pps.PipelinePicker.PipelineName(name=a.name)
    with refused(UNKNOWN, "project picker cannot be nil"):
        edit(Edit(pipeline=pps.PipelinePicker(name=name), delete_key=Edit.DeleteKey(key="k")))
    name.project.name = "default"
    with refused(UNKNOWN, f'edit #0: edit pipeline default/{a.name}: pipeline "default/{a.name}" not found'):
        edit(Edit(pipeline=pps.PipelinePicker(name=name), delete_key=Edit.DeleteKey(key="k")))


def test_edits_ignore_an_open_transaction(a: Repo, pfs_channel: grpc.Channel) -> None:
    stub = metadata_pb2_grpc.APIStub(pfs_channel)
    request = wire.EditMetadataRequest(edits=[Edit(repo=repo_of(a), add_key=add("k", "v"))])
    stub.EditMetadata(request, metadata=(("pach-transaction", "0" * 12 + "4" + "0" * 19),))
    assert a.api.InspectRepo(pfs.InspectRepoRequest(repo=a.wire)).metadata["k"] == "v"


def test_a_summary_needs_a_project_and_leaves_out_those_without_repos(a: Repo) -> None:
    empty, full = unique("sum"), unique("sum")
    for name in (empty, full):
        a.api.CreateProject(pfs.CreateProjectRequest(project=pfs.Project(name=name)))
    a.api.CreateRepo(pfs.CreateRepoRequest(repo=pfs.Repo(name="one", project=pfs.Project(name=full))))
    pickers = [pfs.ProjectPicker(name=name) for name in (empty, full)]
    found = a.api.ReposSummary(pfs.ReposSummaryRequest(projects=pickers)).summaries
    assert [(one.project.name, one.user_repo_count) for one in found] == [(full, 1)]
    with refused(UNKNOWN, "project picker cannot be nil"):
        a.api.ReposSummary(pfs.ReposSummaryRequest(projects=[pfs.ProjectPicker()]))
