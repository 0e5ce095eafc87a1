"""Checks of the whole, the list of work in flight, several replicas of one clock, and deleting everything."""

import signal
import sqlite3
from pathlib import Path

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import taskapi_pb2 as taskapi
from tests.support.servers import SERVING, channel, eventually, running, service_command, settings
from tests.system.pfs.driver import Repo, at, finished, head, link, put, refused

UNKNOWN = grpc.StatusCode.UNKNOWN


def troubles(repo: Repo, **request: object) -> list[str]:
    return [one.error for one in repo.api.Fsck(pfs.FsckRequest(**request))]  # type: ignore[arg-type]


def test_a_sound_instance_has_nothing_to_say(a: Repo, b: Repo, pfs_channel: grpc.Channel) -> None:
    c = Repo(pfs_channel)
    link(b, a)
    link(c, b)
    first = finished(a)
    assert troubles(a) == []
    finished(a)
    old = pfs.Commit(repo=a.wire, id=first)
    a.api.CreateBranch(pfs.CreateBranchRequest(branch=a.branch, head=old))  # rewound
    assert troubles(a) == []
    b.api.CreateBranch(
        pfs.CreateBranchRequest(branch=b.branch, head=pfs.Commit(repo=b.wire, id=first), provenance=[a.branch])
    )
    assert troubles(a) == []
    never = pfs.PropagationSpec(never=True)
    link(c, b, branch_propagation_specs=[pfs.BranchPropagationSpec(branch=b.branch, propagation_spec=never)])
    finished(a)
    assert troubles(a) == []
    a.api.DeleteBranch(pfs.DeleteBranchRequest(branch=a.branch, force=True))
    assert troubles(a) == []


@pytest.mark.parametrize(
    ("harm", "text"),
    [
        (
            "UPDATE branches SET head = 999 WHERE repo_number = {b}",
            "head commit of branch {B}@master could not be found",
        ),
        (
            "DELETE FROM commit_edges",
            "parent branch {A}@master commit is not in direct provenance of head of branch {B}",
        ),
        ("UPDATE commits SET parent = {commit} WHERE repo_number = {b} AND parent IS NOT NULL", "disagree about their"),
        ("UPDATE commits SET parent = 999 WHERE parent IS NOT NULL", "parent of commit"),
        ("UPDATE branch_edges SET upstream = 999", "in the provenance or subvenance of {B}@master could not be found"),
        (
            "UPDATE branch_edges SET upstream = downstream",
            "branch {B}@master derives from branch {B}@master of its own",
        ),
        ("UPDATE commit_edges SET upstream = 999", "a commit in the provenance or subvenance of"),
        ("UPDATE commit_edges SET upstream = downstream", "is in its own provenance"),
        ("UPDATE commits SET finishing = NULL WHERE finished IS NOT NULL", "is finished but was never closed"),
        ("INSERT INTO branch_edges SELECT upstream, downstream, 0, 0 FROM branch_edges", "is in its own subvenance"),
        ("UPDATE commits SET forgotten = 1", "head commit of branch {B}@master is a forgotten commit"),
        ("DELETE FROM packs", "tree of commit"),
        ("DELETE FROM repos WHERE number = {b}", "repo of commit"),
        ("UPDATE triggers SET source = 999", "of the trigger of {A}@follower could not be found"),
    ],
)
def test_what_is_broken_is_named(tmp_path: Path, nats_url: str, harm: str, text: str) -> None:
    env = settings("pfs", tmp_path, nats_url=nats_url, token="t")
    with running(service_command("pfs"), env=env, ready=SERVING) as process, channel(process[1]) as opened:
        a, b = Repo(opened), Repo(opened)
        link(b, a)
        commit = a.start()
        a.modify(put("/f", b"x"), commit=commit)
        a.finish(commit)
        follower = pfs.Branch(repo=a.wire, name="follower")
        trigger = pfs.Trigger(branch="master", commits=1)
        a.api.CreateBranch(pfs.CreateBranchRequest(branch=follower, trigger=trigger))
        assert troubles(a) == []
        with sqlite3.connect(env["PFS_DATABASE_URL"].removeprefix("sqlite:///")) as database:
            numbers = dict(database.execute("SELECT name, number FROM repos").fetchall())
            place = {"b": numbers[b.name], "A": f"default/{a.name}", "B": f"default/{b.name}"}
            place["commit"] = database.execute("SELECT max(number) FROM commits").fetchone()[0]
            database.execute(harm.format(**place))
        database.close()
        found = troubles(a)
        assert all(one.startswith("consistency error: ") for one in found)
        assert any(text.format(**place) in one for one in found), found


def test_files_of_datums_that_are_gone_are_zombies(a: Repo) -> None:
    for kind in ("meta", "spec"):
        a.api.CreateRepo(pfs.CreateRepoRequest(repo=pfs.Repo(name=a.name, type=kind)))
    meta = pfs.Repo(name=a.name, type="meta", project=pfs.Project(name="default"))
    source = Repo(a.channel)
    for repo in (a.wire, meta):
        made = pfs.Branch(repo=repo, name="master")
        a.api.CreateBranch(pfs.CreateBranchRequest(branch=made, provenance=[source.branch]))
        info = a.api.InspectBranch(pfs.InspectBranchRequest(branch=made))
        a.api.FinishCommit(pfs.FinishCommitRequest(commit=info.head, force=True))
    id = finished(source)
    target = pfs.Commit(repo=a.wire, id=id)
    a.modify(put("/here", b"x", datum="d1"), put("/gone", b"x", datum="d2"), commit=target)
    a.modify(put("/meta/d1/meta", b"{}"), commit=pfs.Commit(repo=meta, id=id))
    for repo in (a.wire, meta):
        commit = pfs.Commit(repo=repo, id=id)
        a.api.FinishCommit(pfs.FinishCommitRequest(commit=commit, force=True))
        a.wait(commit)
    wanted = "stale datum d2 had file /gone"
    assert troubles(a) == []
    assert troubles(a, zombie_target=target) == [wanted]
    assert wanted in troubles(a, zombie_all=True)
    with refused(grpc.StatusCode.NOT_FOUND, "not found"):
        troubles(a, zombie_target=pfs.Commit(repo=a.wire, id="nobody"))


def test_commits_that_are_being_finished_are_tasks(a: Repo) -> None:
    bad = taskapi.ListTaskRequest(group=taskapi.Group(group="x"))
    with refused(UNKNOWN, "must provide a task namespace to list a group"):
        list(a.api.ListTask(bad))
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "validate recv: group: value is required"):
        list(a.api.ListTask(taskapi.ListTaskRequest()))
    assert list(a.api.ListTask(taskapi.ListTaskRequest(group=taskapi.Group(namespace="url")))) == []
    source = Repo(a.channel)
    link(a, source)  # its commit is open: what comes after it cannot be finished
    source.start()
    waits = head(a).commit
    a.api.FinishCommit(pfs.FinishCommitRequest(commit=waits))
    request = taskapi.ListTaskRequest(group=taskapi.Group(namespace="storage", group=waits.id))
    (task,) = a.api.ListTask(request)
    assert (task.state, task.group.group, task.input_type) == (taskapi.RUNNING, waits.id, "pfs_v2.Commit")
    assert waits.id in task.input_data
    assert task in list(a.api.ListTask(taskapi.ListTaskRequest(group=taskapi.Group())))
    a.api.FinishCommit(pfs.FinishCommitRequest(commit=at(a, "master^").commit))
    eventually(lambda: not list(a.api.ListTask(request)), "the task to be done")


def test_two_replicas_tick_once_and_a_killed_one_is_not_missed(tmp_path: Path, nats_url: str) -> None:
    env = settings("pfs", tmp_path, nats_url=nats_url, token="t")
    with (
        running(service_command("pfs"), env=env, ready=SERVING) as one,
        running(service_command("pfs"), env=env, ready=SERVING) as two,
        channel(two[1]) as opened,
    ):
        a, b = Repo(opened), Repo(opened)
        first = finished(a)
        trigger = pfs.Trigger(branch="master", cron_spec="@every 1s")
        clock = pfs.Branch(repo=a.wire, name="clock")
        a.api.CreateBranch(pfs.CreateBranchRequest(branch=clock, trigger=trigger))
        b.api.CreateBranch(pfs.CreateBranchRequest(branch=b.branch, provenance=[clock]))
        made = [first]
        for _ in range(3):
            eventually(lambda: _cause(b) == made[-1], "a tick")
            made.append(finished(a))
        one.kill(signal.SIGKILL)
        eventually(lambda: _cause(b) == made[-1], "a tick of the one that is left")
        infos = [*b.api.ListCommit(pfs.ListCommitRequest(repo=b.wire, reverse=True))]
        causes = [info.direct_provenance[0].id for info in infos]
        assert causes[1:] == made  # the first has the empty head that the clock began with
        assert len(set(causes)) == len(causes)


def _cause(repo: Repo) -> str:
    return str(head(repo).direct_provenance[0].id)


def test_deleting_all_leaves_the_default_project(tmp_path: Path, nats_url: str) -> None:
    env = settings("pfs", tmp_path, nats_url=nats_url, token="t")
    with running(service_command("pfs"), env=env, ready=SERVING) as process, channel(process[1]) as opened:
        a, b = Repo(opened), Repo(opened)
        link(b, a)
        a.api.CreateProject(pfs.CreateProjectRequest(project=pfs.Project(name="more"), description="x"))
        a.api.CreateRepo(pfs.CreateRepoRequest(repo=pfs.Repo(name="r", project=pfs.Project(name="more"))))
        finished(a)
        spec = pfs.Repo(name=b.name, type="spec")
        a.api.CreateRepo(pfs.CreateRepoRequest(repo=spec))
        with refused(UNKNOWN, "cannot delete a repo associated with a pipeline"):
            a.api.DeleteAll(Empty())
        a.api.DeleteRepo(pfs.DeleteRepoRequest(repo=spec), metadata=(("datamill-service-token", "t"),))
        a.api.DeleteAll(Empty())
        projects = [info.project.name for info in a.api.ListProject(pfs.ListProjectRequest())]
        assert projects == ["default"]
        assert list(a.api.ListRepo(pfs.ListRepoRequest())) == []
        assert troubles(a) == []
        with refused(grpc.StatusCode.UNIMPLEMENTED, "the auth service is not activated"):
            a.api.ActivateAuth(pfs.ActivateAuthRequest())
