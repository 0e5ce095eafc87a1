"""Spouts: user code that runs once and for ever, and commits what it finds by itself."""

from typing import Any

import pytest

from datamill.errors import Failed
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from tests.support.patience import eventually
from tests.support.servers import unique
from tests.system.chaos.patient import Patient

WRITE = 'echo writing; date +%s%N | datamill put file "$PPS_PIPELINE_NAME@master:/{folder}/$(date +%s%N)"; exit {code}'


def spout(name: str, folder: str, code: int, **more: Any) -> dict[str, Any]:
    cmd = ["sh", "-c", WRITE.format(folder=folder, code=code)]
    return {"pipeline": {"name": name}, "transform": {"cmd": cmd}, "spout": {}, **more}


def commits(instance: Patient, name: str) -> list[pfs.CommitInfo]:
    """Oldest first."""
    return list(instance.list_commits(name))[::-1]


def written(instance: Patient, name: str, spec: str) -> list[pfs.CommitInfo]:
    """What user code has committed under a spec, all of it finished."""
    return [
        info
        for info in commits(instance, name)
        if info.origin.kind == pfs.USER and info.HasField("finished") and _made_from(info) == [spec]
    ]


def _made_from(info: pfs.CommitInfo) -> list[str]:
    return [above.id for above in info.direct_provenance if above.repo.type == "spec"]


def test_a_spout_commits_by_itself_and_is_started_again_whenever_it_ends(instance: Patient) -> None:
    name, below = unique("spout"), unique("below")
    instance.create_pipeline(spout(name, "one", 0))
    info = instance.inspect_pipeline(name)
    assert (info.type, info.details.HasField("spout")) == (pps.PipelineInfo.PIPELINE_TYPE_SPOUT, True)
    first = commits(instance, name)[0]
    assert (first.origin.kind, first.description) == (pfs.AUTO, "close spout commit")
    assert first.HasField("finishing")
    read = {"pfs": {"repo": name, "glob": "/*/*"}}
    instance.create_pipeline({"pipeline": {"name": below}, "transform": {"cmd": ["true"]}, "input": read})

    eventually(lambda: len(written(instance, name, info.spec_commit.id)) >= 2)
    instance.stop_pipeline(name)
    assert instance.inspect_pipeline(name).state == pps.PIPELINE_PAUSED
    kinds = {one.repo.type for one in instance.list_repos(type="") if one.repo.name == name}
    assert kinds == {"user", "spec"}
    own = commits(instance, name)
    assert [one.origin.kind for one in own] == [pfs.AUTO, *[pfs.USER] * (len(own) - 1)]
    assert all([(above.repo.type, above.id) for above in one.direct_provenance] == [("spec", info.spec_commit.id)]
               for one in own)  # fmt: skip
    assert list(instance.list_jobs(pipeline=name)) == []
    jobs = {job.job.id for job in instance.list_jobs(pipeline=below)}
    since = {one.commit.id for one in own[1:]}
    assert jobs & since, "a commit of the spout starts a job downstream"

    lines = [(line.job_id, line.user, line.message.strip()) for line in instance.logs(pipeline=name)]
    assert ("spout", True, "writing") in lines
    assert any("exit status 0" in text and "started again" in text for _, user, text in lines if not user)

    instance.drop_commit_set(own[-1].commit.id)
    assert len(commits(instance, name)) == len(own) - 1


def test_a_spout_that_fails_goes_on_and_is_stopped_updated_and_started(instance: Patient) -> None:
    name = unique("spout")
    instance.create_pipeline(spout(name, "one", 3))
    spec = instance.inspect_pipeline(name).spec_commit.id
    eventually(lambda: len(written(instance, name, spec)) >= 2)
    instance.stop_pipeline(name)
    before = commits(instance, name)
    instance.start_pipeline(name)
    instance.start_pipeline(name)
    eventually(lambda: len(written(instance, name, spec)) > len(before) - 1)
    assert sum(one.origin.kind == pfs.AUTO for one in commits(instance, name)) == 2, "one for each time it began"
    assert instance.inspect_pipeline(name).state == pps.PIPELINE_RUNNING

    instance.create_pipeline(spout(name, "two", 0), update=True)
    newer = instance.inspect_pipeline(name).spec_commit.id
    eventually(lambda: written(instance, name, newer))
    folders = {info.file.path for info in instance.list_files(f"{name}@master:/")}
    assert folders == {"/one/", "/two/"}, "an update keeps what was written"
    instance.stop_pipeline(name)
    count = len(commits(instance, name))
    instance.create_pipeline(spout(name, "three", 0), update=True)
    assert len(commits(instance, name)) == count, "a stopped spout gets no commit"
    instance.delete_pipeline(name)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"input": {"pfs": {"repo": "any", "glob": "/"}}}, "must not have an input"),
        ({"autoscaling": True}, "autoscaling can't be used with spouts"),
        ({"s3Out": True}, "s3 output is not supported in spouts or services"),
    ],
)
def test_what_a_spout_cannot_have(instance: Patient, more: dict[str, Any], text: str) -> None:
    with pytest.raises(Failed, match=text):
        instance.create_pipeline(spout(unique("spout"), "one", 0, **more))
