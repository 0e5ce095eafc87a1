"""User code that uses the SDK itself, and what its users ask of work in hand: datums, secrets, logs, deleting."""

import sys
import threading

import pytest
from given import eventually, refusal, unique
from pachyderm_sdk import Client
from pachyderm_sdk.api import pfs, pps

BATCHED = """
import os, sys
from pathlib import Path
from pachyderm_sdk import batch_all_datums

seen = []

@batch_all_datums
def double():
    seen.append(os.environ["PACH_DATUM_ID"])
    path = Path(os.environ["in"])
    if path.name == "bad" and not Path(os.environ["ONCE"]).exists():
        Path(os.environ["ONCE"]).touch()
        raise ValueError("not at the first try")
    Path("/pfs/out", path.name).write_text(path.read_text() * 2)
    print("datum", len(seen), "of this process")

double()
"""
INSIDE = """
import os
from pachyderm_sdk import Client
client = Client.new_in_cluster()
repos = [info.repo.name for info in client.pfs.list_repo()]
with open("/pfs/out/repos", "w") as out:
    out.write("\\n".join(repos))
"""


def put(client: Client, branch: pfs.Branch, **files: bytes) -> pfs.Commit:
    with client.pfs.commit(branch=branch) as commit:
        for name, raw in files.items():
            commit.put_file_from_bytes(f"/{name}", raw)
    return commit


def made(client: Client, branch: pfs.Branch, transform: pps.Transform, **more: object) -> pps.Pipeline:
    pipeline = pps.Pipeline(name=unique("work"))
    leaf = pps.PfsInput(repo=branch.repo.name, name="in", glob="/*")
    client.pps.create_pipeline(pipeline=pipeline, input=pps.Input(pfs=leaf), transform=transform, **more)
    return pipeline


def ended(client: Client, pipeline: pps.Pipeline, commit: pfs.Commit) -> pps.JobInfo:
    return client.pps.inspect_job(job=pps.Job(pipeline=pipeline, id=commit.id), wait=True)


def test_datums_batched_by_the_decorator(client: Client, branch: pfs.Branch, tmp_path: object) -> None:
    commit = put(client, branch, a=b"1", bad=b"2", c=b"3")
    commit.wait()
    transform = pps.Transform(
        image="none:1",
        cmd=[sys.executable, "-u", "-c", BATCHED],
        env={"ONCE": f"{tmp_path}/once", "PYTHONDONTWRITEBYTECODE": "1"},
        datum_batching=True,
    )
    pipeline = made(client, branch, transform, datum_set_spec=pps.DatumSetSpec(number=3))
    job = next(iter(client.pps.list_job(pipeline=pipeline))).job
    info = client.pps.inspect_job(job=job, wait=True)
    assert (info.state, info.data_processed, info.data_failed) == (pps.JobState.JOB_SUCCESS, 3, 0)
    found = {
        path: client.pfs.pfs_file(pfs.File.from_uri(f"{pipeline.name}@master:/{path}")).read()
        for path in ("a", "bad", "c")
    }
    assert found == {"a": b"11", "bad": b"22", "c": b"33"}
    eventually(lambda: any("datum 1 of this" in line.message for line in client.pps.get_logs(job=job)))
    messages = [line.message.strip() for line in client.pps.get_logs(job=job) if line.user]
    assert "Reporting above error to worker." in messages
    assert sum(message.startswith("datum ") for message in messages) == 3
    client.pps.delete_pipeline(pipeline=pipeline)


def test_user_code_finds_the_instance_that_runs_it(client: Client, branch: pfs.Branch) -> None:
    commit = put(client, branch, a=b"1")
    pipeline = made(client, branch, pps.Transform(cmd=[sys.executable, "-c", INSIDE]))
    commit.wait()
    output = pfs.File.from_uri(f"{pipeline.name}@master:/repos")
    eventually(lambda: client.pfs.path_exists(output))
    assert branch.repo.name.encode() in client.pfs.pfs_file(output).read().split()
    client.pps.delete_pipeline(pipeline=pipeline)


def test_datums_generated_in_batches_that_change(client: Client, branch: pfs.Branch) -> None:
    put(client, branch, **{f"f{at:02}": b"x" for at in range(20)}).wait()
    stream = client.pps.generate_datums(pps.Input(pfs=pps.PfsInput(repo=branch.repo.name, glob="/*")), batch_size=6)
    first, second = next(stream), stream.send(12)
    assert (len(first), len(second)) == (6, 12)
    last = next(stream)
    assert len({info.datum.id for info in [*first, *second, *last]}) == 20
    with pytest.raises(StopIteration):
        next(stream)


def test_a_datum_is_restarted(client: Client, branch: pfs.Branch) -> None:
    pipeline = made(client, branch, pps.Transform(cmd=["sleep", "600"]), datum_tries=2)
    commit = put(client, branch, slow=b"1")
    job = pps.Job(pipeline=pipeline, id=commit.id)

    def at_work() -> bool:
        return client.pps.job_exists(job) and any(
            status.datum_status.data for status in client.pps.inspect_job(job=job, details=True).details.worker_status
        )

    eventually(at_work)
    _, sentence = refusal(lambda: client.pps.restart_datum(job=job, data_filters=["/other"]))
    assert sentence == f"datum matching filter [/other] could not be found for job ID {job.id}"
    client.pps.restart_datum(job=job, data_filters=["/slow"])
    eventually(at_work)
    client.pps.stop_job(job=job)
    assert ended(client, pipeline, commit).state == pps.JobState.JOB_KILLED
    client.pps.delete_pipeline(pipeline=pipeline)


def test_secrets(client: Client, branch: pfs.Branch) -> None:
    before = len(client.pps.list_secret().secret_info)
    name = unique("secret").replace("_", "-")
    client.pps.create_secret(name=name, data={"word": "open sesame"})
    assert len(client.pps.list_secret().secret_info) == before + 1
    info = client.pps.inspect_secret(secret=pps.Secret(name=name))
    assert (info.secret.name, info.type, bool(info.creation_timestamp)) == (name, "Opaque", True)
    commit = put(client, branch, a=b"1")
    mount = pps.SecretMount(name=name, key="word", env_var="WORD")
    told = pps.Transform(cmd=["sh"], stdin=['printf "%s" "$WORD" > /pfs/out/word'], secrets=[mount])
    pipeline = made(client, branch, told)
    commit.wait()
    output = pfs.File.from_uri(f"{pipeline.name}@master:/word")
    eventually(lambda: client.pfs.path_exists(output))
    assert client.pfs.pfs_file(output).read() == b"open sesame"
    client.pps.delete_pipeline(pipeline=pipeline)
    client.pps.delete_secret(secret=pps.Secret(name=name))
    assert len(client.pps.list_secret().secret_info) == before


def test_logs_are_followed(client: Client, branch: pfs.Branch) -> None:
    pipeline = made(client, branch, pps.Transform(cmd=["sh"], stdin=["echo hello"]))
    put(client, branch, a=b"1")
    for of_master in (False, True):
        lines = client.pps.get_logs(pipeline=pipeline, follow=True, master=of_master)
        timer = threading.Timer(120, lines.close)
        timer.start()
        assert next(iter(lines)).ts
        timer.cancel()
    client.pps.delete_pipeline(pipeline=pipeline)


def test_deleting(client: Client, branch: pfs.Branch) -> None:
    client.pps.delete_pipeline(pipeline=pps.Pipeline(name="nobodys"), force=True)
    assert not client.pps.pipeline_exists(pps.Pipeline(name="nobodys"))
    first = made(client, branch, pps.Transform(cmd=["true"]))
    put(client, branch, a=b"1").wait_all()
    jobs = list(client.pps.list_job(pipeline=first))
    assert len(jobs) == 2
    assert jobs[0].created > jobs[1].created
    second = made(client, pfs.Branch(repo=pfs.Repo(name=first.name), name="master"), pps.Transform(cmd=["true"]))
    assert refusal(lambda: client.pps.delete_pipeline(pipeline=first))[1]
    client.pps.delete_pipeline(pipeline=first, force=True)
    client.pps.delete_pipeline(pipeline=second, keep_repo=True)
    assert client.pfs.repo_exists(pfs.Repo(name=second.name, type="user"))
    gone = client.pps.delete_pipelines(projects=[pfs.Project(name="nobodys")])
    assert gone.pipelines == []
