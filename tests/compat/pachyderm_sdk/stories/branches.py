"""What moves through branches of inputs and outputs: deferred processing, rewinding, results that are inputs again."""

from collections.abc import Iterator

import pytest
from given import eventually, unique
from pachyderm_sdk import Client
from pachyderm_sdk.api import pfs, pps

COPY = "cp -r /pfs/in/. /pfs/out/"
MADE: list[pps.Pipeline] = []


@pytest.fixture(autouse=True)
def swept(client: Client) -> Iterator[None]:
    """No workers stay behind."""
    yield
    while MADE:
        client.pps.delete_pipeline(pipeline=MADE.pop(), force=True)


@pytest.fixture
def copies(client: Client, branch: pfs.Branch) -> pps.Pipeline:
    """A pipeline that copies what the branch holds."""
    return made(client, branch.repo.name)


def made(client: Client, repo: str, *, output_branch: str = "master", script: str = COPY) -> pps.Pipeline:
    pipeline = pps.Pipeline(name=unique("p"))
    MADE.append(pipeline)
    client.pps.create_pipeline(
        pipeline=pipeline,
        input=pps.Input(pfs=pps.PfsInput(repo=repo, name="in", glob="/")),
        transform=pps.Transform(cmd=["sh"], stdin=[script]),
        output_branch=output_branch,
    )
    return pipeline


def put(client: Client, branch: pfs.Branch, **files: bytes) -> pfs.Commit:
    with client.pfs.commit(branch=branch) as commit:
        for name, raw in files.items():
            commit.put_file_from_bytes(f"/{name}", raw)
    return commit


def newest(client: Client, pipeline: pps.Pipeline) -> pps.JobInfo:
    """The newest job, once it has ended."""
    return client.pps.inspect_job(job=next(iter(client.pps.list_job(pipeline=pipeline))).job, wait=True)


def files(client: Client, pipeline: pps.Pipeline) -> list[str]:
    found = client.pfs.glob_file(commit=pfs.Commit.from_uri(f"{pipeline.name}@master"), pattern="/**")
    return [info.file.path for info in found if info.file_type == pfs.FileType.FILE]


def read(client: Client, pipeline: pps.Pipeline, path: str) -> bytes:
    return bytes(client.pfs.pfs_file(pfs.File.from_uri(f"{pipeline.name}@master:{path}")).read())


def count(client: Client, pipeline: pps.Pipeline) -> int:
    return len(list(client.pps.list_job(pipeline=pipeline, history=-1)))


def test_outputs_are_passed_on_when_somebody_moves_the_branch(client: Client, branch: pfs.Branch) -> None:
    """The reader of `master` has a job for each move of it, however many commits `staging` has."""
    writer = made(client, branch.repo.name, output_branch="staging")
    outputs = pfs.Repo(name=writer.name, type="user")
    master = pfs.Branch(repo=outputs, name="master")
    client.pfs.create_branch(branch=master)
    reader = made(client, writer.name)
    newest(client, reader)
    commits = [put(client, branch, a=b"1"), put(client, branch, b=b"2")]
    for commit in commits:
        job = pps.Job(pipeline=writer, id=commit.id)
        assert client.pps.inspect_job(job=job, wait=True).state == pps.JobState.JOB_SUCCESS
    assert count(client, reader) == 1
    for at, (commit, held) in enumerate(zip(commits, (["/a"], ["/a", "/b"]), strict=True), start=2):
        client.pfs.create_branch(branch=master, head=pfs.Commit(repo=outputs, id=commit.id))
        assert newest(client, reader).state == pps.JobState.JOB_SUCCESS
        assert (count(client, reader), files(client, reader)) == (at, held)


def test_a_branch_that_is_moved_back_takes_outputs_along(
    client: Client, branch: pfs.Branch, copies: pps.Pipeline
) -> None:
    first = put(client, branch, a=b"old")
    put(client, branch, a=b"new", b=b"x")
    newest(client, copies)
    assert read(client, copies, "/a") == b"new"
    client.pfs.create_branch(branch=branch, head=pfs.Commit(repo=branch.repo, id=first.id))
    assert newest(client, copies).state == pps.JobState.JOB_SUCCESS
    assert (files(client, copies), read(client, copies, "/a")) == (["/a"], b"old")
    put(client, branch, c=b"x")
    newest(client, copies)
    assert (files(client, copies), read(client, copies, "/a")) == (["/a", "/c"], b"old")


def test_outputs_copied_into_the_input_start_another_round(client: Client, branch: pfs.Branch) -> None:
    pipeline = made(client, branch.repo.name, script="mkdir /pfs/out/seen; ls /pfs/in/ > /pfs/out/seen/names")
    put(client, branch, a=b"1")
    newest(client, pipeline)
    for path, copied in (("/seen/names", "/b"), ("/seen", "/folder")):
        with client.pfs.commit(branch=branch) as commit:
            commit.copy_file(src=pfs.File.from_uri(f"{pipeline.name}@master:{path}"), dst=copied)
        job = pps.Job(pipeline=pipeline, id=commit.id)
        assert client.pps.inspect_job(job=job, wait=True).state == pps.JobState.JOB_SUCCESS
    assert read(client, pipeline, "/seen/names") == b"a\nb\nfolder\n"


def test_other_branches_of_an_output_are_anybodys(client: Client, branch: pfs.Branch, copies: pps.Pipeline) -> None:
    newest(client, copies)
    before = count(client, copies)
    put(client, pfs.Branch(repo=pfs.Repo(name=copies.name, type="user"), name="side"), mine=b"1").wait()
    commit = put(client, branch, a=b"1")
    assert eventually(lambda: newest(client, copies).job.id == commit.id)
    assert (count(client, copies), files(client, copies)) == (before + 1, ["/a"])
