"""Pipelines made, followed, stopped and deleted as users of the SDK do."""

import datetime
import json
import re
from typing import Any

import pytest
from given import eventually, refusal, unique
from pachyderm_sdk import Client
from pachyderm_sdk.api import pfs, pps

SCRIPT = 'for file in /pfs/in/*; do echo "seen $(basename $file)"; wc -c < $file > /pfs/out/$(basename $file); done'


def make(client: Client, repo: pfs.Repo, script: str = SCRIPT, **more: Any) -> pps.Pipeline:
    pipeline = pps.Pipeline(name=unique("count"))
    client.pps.create_pipeline(
        pipeline=pipeline,
        input=pps.Input(pfs=pps.PfsInput(repo=repo.name, name="in", glob="/*")),
        transform=pps.Transform(image="none:1", cmd=["sh"], stdin=[script]),
        **more,
    )
    return pipeline


def put(client: Client, branch: pfs.Branch, **files: bytes) -> pfs.Commit:
    with client.pfs.commit(branch=branch) as commit:
        for name, raw in files.items():
            commit.put_file_from_bytes(f"/{name}", raw)
    return commit


def output(pipeline: pps.Pipeline, path: str) -> pfs.File:
    return pfs.File.from_uri(f"{pipeline.name}@master:{path}")


def test_from_spec_to_result(client: Client, branch: pfs.Branch) -> None:
    repo = branch.repo
    assert not client.pps.pipeline_exists(pps.Pipeline(name="nobodys"))
    pipeline = make(client, repo, description="counts letters", parallelism_spec=pps.ParallelismSpec(constant=1))
    assert client.pps.pipeline_exists(pipeline)
    commit = put(client, branch, a=b"a", b=b"bb")
    infos = commit.wait_all()
    assert {info.commit.repo.name for info in infos} == {repo.name, pipeline.name}
    assert client.pfs.pfs_file(output(pipeline, "/b")).read().strip() == b"2"

    job = pps.Job(pipeline=pipeline, id=commit.id)
    assert client.pps.job_exists(job)
    info = client.pps.inspect_job(job=job, wait=True, details=True)
    assert (info.state, info.data_processed, info.data_total) == (pps.JobState.JOB_SUCCESS, 2, 2)
    assert info.details.transform.cmd == ["sh"]
    assert info.finished >= info.started
    assert commit.id in [listed.job.id for listed in client.pps.list_job(pipeline=pipeline)]
    one = list(client.pps.list_job(pipeline=pipeline, number=1, details=True))
    assert (len(one), one[0].job.id) == (1, commit.id)
    by_input = list(client.pps.list_job(input_commit=[pfs.Commit(repo=repo, id=commit.id)]))
    assert [listed.job.pipeline.name for listed in by_input] == [pipeline.name]
    (of_set,) = client.pps.inspect_job_set(job_set=pps.JobSet(id=commit.id), wait=True)
    assert of_set.job.pipeline.name == pipeline.name
    assert commit.id in [each.job_set.id for each in client.pps.list_job_set(number=50)]

    datums = list(client.pps.list_datum(job=job))
    assert [datum.state for datum in datums] == [pps.DatumState.SUCCESS] * 2
    assert sorted(file.file.path for datum in datums for file in datum.data) == ["/a", "/b"]
    same = client.pps.inspect_datum(datum=pps.Datum(job=job, id=datums[0].datum.id))
    assert same.stats.upload_bytes > 0
    assert isinstance(same.stats.process_time, datetime.timedelta)

    seen = [line.message for line in client.pps.get_logs(job=job) if line.user]
    assert sorted(line.strip() for line in seen) == ["seen a", "seen b"]
    tail = list(client.pps.get_logs(pipeline=pipeline, tail=1))
    assert len(tail) == 1
    ours = [line for line in client.pps.get_logs(job=job, datum=datums[0].datum) if line.user]
    assert len(ours) == 1
    clean(client, pipeline)
    assert not client.pfs.repo_exists(pfs.Repo(name=pipeline.name))


def test_what_is_skipped(client: Client, branch: pfs.Branch) -> None:
    pipeline = make(client, branch.repo)
    put(client, branch, a=b"a").wait_all()
    second = put(client, branch, b=b"b")
    info = client.pps.inspect_job(job=pps.Job(pipeline=pipeline, id=second.id), wait=True)
    assert (info.data_processed, info.data_skipped, info.data_total) == (1, 1, 2)
    assert [change.file.path for change in _new(client, second, pipeline)] == ["/", "/b"]
    clean(client, pipeline)


def test_versions(client: Client, branch: pfs.Branch) -> None:
    pipeline = make(client, branch.repo)
    client.pps.create_pipeline(
        pipeline=pipeline,
        input=pps.Input(pfs=pps.PfsInput(repo=branch.repo.name, name="in", glob="/")),
        transform=pps.Transform(image="none:1", cmd=["sh"], stdin=["echo 2 > /pfs/out/version"]),
        update=True,
        reprocess=True,
    )
    info = client.pps.inspect_pipeline(pipeline=pipeline, details=True)
    assert (info.version, info.details.input.pfs.glob) == (2, "/")
    older = list(client.pps.list_pipeline(pipeline=pipeline, history=-1))
    assert [each.version for each in older] == [2, 1]
    assert client.pps.inspect_pipeline(pipeline=pipeline, history=1).version == 2
    assert pipeline.name in [each.pipeline.name for each in client.pps.list_pipeline(details=True)]
    code, sentence = refusal(lambda: make_again(client, pipeline, branch.repo))
    assert (code, "already exists" in sentence) == ("ALREADY_EXISTS", True)
    clean(client, pipeline)


def make_again(client: Client, pipeline: pps.Pipeline, repo: pfs.Repo) -> None:
    client.pps.create_pipeline(
        pipeline=pipeline,
        input=pps.Input(pfs=pps.PfsInput(repo=repo.name, glob="/")),
        transform=pps.Transform(cmd=["true"]),
    )


def test_stopped_and_started(client: Client, branch: pfs.Branch) -> None:
    pipeline = make(client, branch.repo)
    client.pps.stop_pipeline(pipeline=pipeline)
    assert eventually(lambda: client.pps.inspect_pipeline(pipeline=pipeline).stopped)
    paused = put(client, branch, a=b"a")
    paused.wait()
    assert not client.pps.job_exists(pps.Job(pipeline=pipeline, id=paused.id))
    client.pps.start_pipeline(pipeline=pipeline)
    assert eventually(lambda: client.pfs.path_exists(output(pipeline, "/a")))
    clean(client, pipeline)


def test_a_job_is_stopped(client: Client, branch: pfs.Branch) -> None:
    pipeline = make(client, branch.repo, "sleep 600")
    commit = put(client, branch, a=b"a")
    job = pps.Job(pipeline=pipeline, id=commit.id)
    running = (pps.JobState.JOB_STARTING, pps.JobState.JOB_RUNNING)
    assert eventually(lambda: client.pps.job_exists(job) and client.pps.inspect_job(job=job).state in running)
    client.pps.stop_job(job=job, reason="enough")
    info = client.pps.inspect_job(job=job, wait=True)
    assert (info.state, info.reason) == (pps.JobState.JOB_KILLED, "enough")
    client.pps.delete_job(job=job)
    assert not client.pps.job_exists(job)
    clean(client, pipeline)


def test_user_code_that_fails(client: Client, branch: pfs.Branch) -> None:
    pipeline = make(client, branch.repo, "echo sorry >&2; exit 3", datum_tries=1)
    commit = put(client, branch, a=b"a")
    job = pps.Job(pipeline=pipeline, id=commit.id)
    info = client.pps.inspect_job(job=job, wait=True)
    assert info.state == pps.JobState.JOB_FAILURE
    assert info.reason
    (datum,) = client.pps.list_datum(job=job)
    assert datum.state == pps.DatumState.FAILED
    assert "sorry" in [line.message.strip() for line in client.pps.get_logs(job=job)]
    outputs = [info for info in commit.wait_all() if info.commit.repo.name == pipeline.name]
    assert all(info.error for info in outputs if info.commit.repo.type == "user")
    clean(client, pipeline)


def test_following(client: Client, branch: pfs.Branch) -> None:
    pipeline = make(client, branch.repo)
    jobs = client.pps.subscribe_job(pipeline=pipeline, details=True)
    commit = put(client, branch, a=b"a")
    assert any(info.job.id == commit.id for info in jobs)  # without end: it stops at the first that fits
    for line in client.pps.get_logs(pipeline=pipeline, follow=True):
        if "seen a" in line.message:
            break
    clean(client, pipeline)


def test_two_inputs_and_a_chain(client: Client, branch: pfs.Branch, repo: pfs.Repo) -> None:
    other = pfs.Branch(repo=pfs.Repo(name=unique("other")), name="master")
    client.pfs.create_repo(repo=other.repo)
    pair = pps.Pipeline(name=unique("pair"))
    client.pps.create_pipeline(
        pipeline=pair,
        input=pps.Input(
            cross=[
                pps.Input(pfs=pps.PfsInput(repo=repo.name, name="left", glob="/*")),
                pps.Input(pfs=pps.PfsInput(repo=other.repo.name, name="right", glob="/")),
            ]
        ),
        transform=pps.Transform(cmd=["sh"], stdin=["cat /pfs/left/* /pfs/right/* > /pfs/out/$(basename /pfs/left/*)"]),
    )
    after = make(client, pfs.Repo(name=pair.name))
    put(client, branch, a=b"1").wait()
    last = put(client, other, b=b"2")
    assert {info.commit.repo.name for info in last.wait_all()} >= {other.repo.name, pair.name, after.name}
    assert client.pfs.pfs_file(output(pair, "/a")).read() == b"12"
    assert client.pfs.pfs_file(output(after, "/a")).read().strip() == b"2"
    planned = client.pps.list_datum(input=pps.Input(pfs=pps.PfsInput(repo=pair.name, glob="/*")))
    assert len(list(planned)) == 1
    _, sentence = refusal(lambda: client.pps.delete_pipeline(pipeline=pair))
    assert sentence
    clean(client, after, pair)


def test_a_cron_by_hand(client: Client, branch: pfs.Branch) -> None:
    """Each tick is a file of its own beside the other input's; a pipeline without a cron has none to run."""
    cron = pps.Pipeline(name=unique("cron"))
    client.pps.create_pipeline(
        pipeline=cron,
        input=pps.Input(
            cross=[
                pps.Input(pfs=pps.PfsInput(repo=branch.repo.name, name="in", glob="/*")),
                pps.Input(cron=pps.CronInput(name="tick", spec="@never", overwrite=True)),
            ]
        ),
        transform=pps.Transform(cmd=["sh"], stdin=["cp $in /pfs/out/$(basename $tick)", "test ! -s $tick"]),
    )
    put(client, branch, a=b"a").wait()
    client.pps.run_cron(pipeline=cron)
    ticked = client.pfs.inspect_branch(branch=pfs.Branch.from_uri(f"{cron.name}_tick@master")).head
    info = client.pps.inspect_job(job=pps.Job(pipeline=cron, id=ticked.id), wait=True)
    assert (info.state, info.data_processed) == (pps.JobState.JOB_SUCCESS, 1)
    (tick,) = client.pfs.list_file(file=pfs.File.from_uri(f"{cron.name}_tick@master:/"))
    assert client.pfs.pfs_file(output(cron, tick.file.path)).read() == b"a"
    other = make(client, branch.repo)
    _, sentence = refusal(lambda: client.pps.run_cron(pipeline=other))
    assert re.search("pipeline.*have a cron input", sentence)
    clean(client, other, cron)
    assert not client.pfs.repo_exists(repo=pfs.Repo(name=f"{cron.name}_tick"))


def test_datums_created_by_the_batch(client: Client, branch: pfs.Branch) -> None:
    put(client, branch, **{f"f{at}": b"" for at in range(25)}).wait()
    asked = [
        pps.CreateDatumRequest(
            start=pps.StartCreateDatumRequest(
                input=pps.Input(pfs=pps.PfsInput(repo=branch.repo.name, glob="/*")), number=10
            )
        ),
        pps.CreateDatumRequest(continue_=pps.ContinueCreateDatumRequest(number=20)),
    ]
    created = [info.datum.id for info in client.pps.create_datum(iter(asked))]
    listed = client.pps.list_datum(input=asked[0].start.input)
    assert sorted(created) == [info.datum.id for info in listed]
    assert len(created) == 25


def test_a_spec_as_text(client: Client, repo: pfs.Repo) -> None:
    name = unique("text")
    spec = json.dumps(
        {
            "pipeline": {"name": name},
            "input": {"pfs": {"repo": repo.name, "glob": "/*"}},
            "transform": {"cmd": ["true"]},
        }
    )
    answer = client.pps.create_pipeline_v2(create_pipeline_request_json=spec)
    assert name in answer.effective_create_pipeline_request_json
    assert client.pps.inspect_pipeline(pipeline=pps.Pipeline(name=name), details=True).details.transform.cmd == ["true"]
    defaults = client.pps.get_cluster_defaults()
    assert defaults.cluster_defaults_json
    clean(client, pps.Pipeline(name=name))


def test_what_is_refused(client: Client, repo: pfs.Repo) -> None:
    nobodys = pps.Pipeline(name="nobodys")
    code, sentence = refusal(lambda: client.pps.inspect_pipeline(pipeline=nobodys))
    assert (code, "not found" in sentence) == ("NOT_FOUND", True)
    assert not client.pps.job_exists(pps.Job(pipeline=nobodys, id="0123456789ab4def0123456789abcdef"))
    code, sentence = refusal(lambda: make(client, pfs.Repo(name="dne")))
    assert (code, sentence) == ("NOT_FOUND", "repo default/dne not found")
    one = pps.Input(pfs=pps.PfsInput(repo=repo.name, glob="/"))
    both = pps.Input(pfs=one.pfs, cross=[one])
    _, sentence = refusal(lambda: client.pps.create_pipeline(pipeline=nobodys, input=both))
    assert "multiple input types set" in sentence
    owned = make(client, repo)
    _, sentence = refusal(lambda: client.pfs.delete_repo(repo=pfs.Repo(name=owned.name)))
    assert "cannot delete a repo associated with a pipeline" in sentence
    clean(client, owned)


@pytest.mark.parametrize("details", [True, False])
def test_lists_take_every_filter(client: Client, details: bool) -> None:
    assert (
        list(client.pps.list_pipeline(projects=[pfs.Project(name="default")], details=details, jq_filter=""))
        is not None
    )
    assert list(client.pps.list_job(projects=[pfs.Project(name="nobodys")], details=details)) == []


def clean(client: Client, *pipelines: pps.Pipeline) -> None:
    for pipeline in pipelines:
        client.pps.delete_pipeline(pipeline=pipeline)
        assert not client.pps.pipeline_exists(pipeline)


def _new(client: Client, commit: pfs.Commit, pipeline: pps.Pipeline) -> list[pfs.FileInfo]:
    root = pfs.File(commit=pfs.Commit(repo=pfs.Repo(name=pipeline.name), id=commit.id), path="/")
    return [answer.new_file for answer in client.pfs.diff_file(new_file=root) if answer.new_file]
