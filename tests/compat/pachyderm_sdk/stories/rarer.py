"""Rarer calls of the SDK: writes without opening a commit, sweeping ones, and what administrators ask."""

import json
import sys
import threading
from pathlib import Path

import pytest
from given import eventually, refusal, unique
from pachyderm_sdk import Client
from pachyderm_sdk.api import pfs, pps


def test_a_branch_is_written_without_opening_a_commit(client: Client, branch: pfs.Branch) -> None:
    target = pfs.Commit.from_uri(branch.as_uri())
    client.pfs.put_file_from_bytes(commit=target, path="/a", data=b"a")
    client.pfs.put_file_from_bytes(commit=target, path="/b", data=b"b")
    client.pfs.delete_file(commit=target, path="/a")
    client.pfs.copy_file(commit=target, src=pfs.File.from_uri(f"{branch.as_uri()}:/b"), dst="/c")
    client.pfs.wait_commit(target)
    listed = client.pfs.list_file(file=pfs.File(commit=target, path="/"))
    assert [info.file.path for info in listed] == ["/b", "/c"]
    assert len(list(client.pfs.list_commit(repo=branch.repo))) == 4


def test_a_commit_by_its_branch_alone(client: Client, branch: pfs.Branch) -> None:
    """The SDK sends a repo of type user in the project default along, which has no name."""
    on_branch = pfs.Commit(branch=branch)
    client.pfs.put_file_from_bytes(commit=on_branch, path="/a", data=b"a")
    client.pfs.wait_commit(on_branch)
    assert client.pfs.pfs_file(pfs.File(commit=on_branch, path="/a")).read() == b"a"
    code, sentence = refusal(lambda: client.pfs.inspect_commit(commit=pfs.Commit(id="master")))
    assert (code, sentence) == ("UNKNOWN", "commit must have a repo")


def test_writers_at_the_same_time(client: Client, branch: pfs.Branch) -> None:
    target = pfs.Commit.from_uri(branch.as_uri())

    def write(number: int) -> None:
        client.pfs.put_file_from_bytes(commit=target, path=f"/{number}", data=b"x")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.pfs.wait_commit(target)
    assert len(list(client.pfs.list_file(file=pfs.File(commit=target, path="/")))) == 10


def test_forks_and_cleared_commits(client: Client, branch: pfs.Branch) -> None:
    with client.pfs.commit(branch=branch) as first:
        first.put_file_from_bytes("/a", b"a")
    side = pfs.Branch(repo=branch.repo, name="side")
    with client.pfs.commit(branch=side, parent=first, description="a fork") as fork:
        fork.put_file_from_bytes("/b", b"b")
        client.pfs.clear_commit(commit=fork)
        fork.put_file_from_bytes("/c", b"c")
    info = fork.wait()
    assert info.parent_commit.id == first.id
    assert [found.file.path for found in client.pfs.list_file(file=pfs.File(commit=fork, path="/"))] == ["/a", "/c"]
    assert client.pfs.inspect_commit(commit=first).child_commits[0].id == fork.id


def test_a_trigger(client: Client, repo: pfs.Repo) -> None:
    staging, master = pfs.Branch(repo=repo, name="staging"), pfs.Branch(repo=repo, name="master")
    client.pfs.create_branch(branch=staging)
    client.pfs.create_branch(branch=master, trigger=pfs.Trigger(branch="staging", commits=2))
    for number in range(2):
        with client.pfs.commit(branch=staging) as commit:
            commit.put_file_from_bytes("/n", str(number).encode())
        commit.wait()
    assert eventually(lambda: client.pfs.inspect_branch(branch=master).head.id == commit.id)
    assert client.pfs.inspect_branch(branch=master).trigger.branch == "staging"


def test_sweeping_calls(client: Client) -> None:
    project = pfs.Project(name=unique("sweep"))
    client.pfs.create_project(project=project)
    repos = [pfs.Repo(name=unique("repo"), project=project) for _ in range(2)]
    for repo in repos:
        client.pfs.create_repo(repo=repo)
        with client.pfs.commit(branch=pfs.Branch(repo=repo, name="master")) as commit:
            commit.put_file_from_bytes("/a", b"abc")
        commit.wait()
    assert client.pfs.inspect_repo(repo=repos[0]).details.size_bytes == 3
    (summary,) = client.pfs.repos_summary(projects=[project.as_picker()]).summaries
    assert (summary.user_repo_count, summary.size_bytes) == (2, 6)
    assert client.pfs.inspect_project_v2(project=project).info.project == project
    assert commit.id in [each.commit_set.id for each in client.pfs.list_commit_set(project=project)]
    assert list(client.pfs.fsck()) == []
    assert client.pfs.check_storage(read_chunk_data=True).chunk_object_count > 0
    deleted = client.pfs.delete_repos(projects=[project]).repos
    assert {repo.name for repo in deleted} == {repo.name for repo in repos}
    client.pfs.delete_project(project=project)


def test_urls_of_folders(client: Client, branch: pfs.Branch, tmp_path: Path) -> None:
    with client.pfs.commit(branch=branch) as commit:
        file = commit.put_file_from_bytes("/a", b"a")
        _, sentence = refusal(lambda: commit.put_file_from_url(path="/etc", url="file:///etc/hostname"))
        assert sentence
    commit.wait()
    code, _ = refusal(lambda: list(client.pfs.get_file(file=file, url=tmp_path.as_uri())))
    assert code != "INTERNAL"


def test_clients_that_are_made_otherwise(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = {"pachd_address": f"grpc://{client.address}", "session_token": "stale"}
    config = {"user_id": "0", "v2": {"active_context": "mine", "contexts": {"mine": context}}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert Client.from_config(tmp_path / "config.json").get_version() == client.get_version()
    host, port = client.address.split(":")
    monkeypatch.setenv("PACHD_PEER_SERVICE_HOST", host)
    monkeypatch.setenv("PACHD_PEER_SERVICE_PORT", port)
    assert Client.new_in_cluster().get_version() == client.get_version()


def test_the_sdk_inside_user_code(client: Client, branch: pfs.Branch) -> None:
    """A pipeline may use the SDK itself, with what the environment of its code says."""
    script = "\n".join(
        [
            "import os, pathlib",
            "from pachyderm_sdk import Client",
            "client = Client.new_in_cluster()",
            "pathlib.Path('/pfs/out/version').write_text(str(client.get_version().minor))",
        ]
    )
    pipeline = pps.Pipeline(name=unique("inside"))
    client.pps.create_pipeline(
        pipeline=pipeline,
        input=pps.Input(pfs=pps.PfsInput(repo=branch.repo.name, glob="/")),
        transform=pps.Transform(cmd=[sys.executable, "-c", script]),
        datum_tries=1,
    )
    with client.pfs.commit(branch=branch) as commit:
        commit.put_file_from_bytes("/a", b"a")
    info = client.pps.inspect_job(job=pps.Job(pipeline=pipeline, id=commit.id), wait=True)
    said = [line.message for line in client.pps.get_logs(job=info.job)]
    assert info.state == pps.JobState.JOB_SUCCESS, said
    assert client.pfs.pfs_file(pfs.File.from_uri(f"{pipeline.name}@master:/version")).read() == b"12"
    client.pps.delete_pipeline(pipeline=pipeline)


def test_jobs_of_a_branch(client: Client, branch: pfs.Branch) -> None:
    pipeline = pps.Pipeline(name=unique("jobs"))
    client.pps.create_pipeline(
        pipeline=pipeline,
        input=pps.Input(pfs=pps.PfsInput(repo=branch.repo.name, glob="/")),
        transform=pps.Transform(cmd=["true"]),
    )
    with client.pfs.commit(branch=branch) as commit:
        commit.put_file_from_bytes("/a", b"a")
    commit.wait_all()
    found = list(client.pps.list_job(input_commit=[pfs.Commit.from_uri(branch.as_uri())]))
    assert [info.job.id for info in found] == [commit.id]
    nowhere = pfs.Commit.from_uri(f"{branch.repo.as_uri()}@nobranch")
    assert refusal(lambda: list(client.pps.list_job(input_commit=[nowhere])))[0] == "NOT_FOUND"
    client.pps.rerun_pipeline(pipeline=pipeline, reprocess=True)
    assert eventually(lambda: len(list(client.pps.list_job(pipeline=pipeline, history=-1))) >= 2)
    client.pps.delete_pipeline(pipeline=pipeline)
