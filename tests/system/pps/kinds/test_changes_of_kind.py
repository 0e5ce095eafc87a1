"""A pipeline that becomes another kind of pipeline, with every step back."""

from typing import Any

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from tests.support.patience import eventually
from tests.support.servers import free_port, unique
from tests.system.chaos.patient import Patient

KINDS = pps.PipelineInfo.PipelineType


def repos(instance: Patient, name: str) -> set[str]:
    return {one.repo.type for one in instance.list_repos(type="") if one.repo.name == name}


def test_a_transform_becomes_a_spout_a_service_and_a_transform_again(instance: Patient) -> None:
    source, name = unique("in"), unique("kind")
    instance.create_repo(source)
    instance.have_commit(f"{source}@master", {"/a": b"1"})
    read = {"pfs": {"repo": source, "glob": "/*"}}

    def become(kind: "KINDS.ValueType", update: bool = True, **more: Any) -> pps.PipelineInfo:
        cmd = ["sh", "-c", f"cp /pfs/{source}/* /pfs/out; sleep {0 if kind == KINDS.PIPELINE_TYPE_TRANSFORM else 1000}"]
        spec = {"pipeline": {"name": name}, "transform": {"cmd": cmd}, **more}
        instance.create_pipeline(spec, update=update)
        info = instance.inspect_pipeline(name)
        assert info.type == kind
        eventually(lambda: instance.inspect_pipeline(name).state == pps.PIPELINE_RUNNING)
        return info

    def content() -> bytes:
        return instance.get(f"{name}@master:/a")

    become(KINDS.PIPELINE_TYPE_TRANSFORM, update=False, input=read)
    assert instance.ended(name, instance.head(f"{name}@master")).state == pps.JOB_SUCCESS
    assert repos(instance, name) == {"user", "meta", "spec"}
    assert content() == b"1"

    become(KINDS.PIPELINE_TYPE_SPOUT, spout={})
    head = instance.inspect_commit(f"{name}@master")
    assert head.HasField("finishing")
    assert repos(instance, name) == {"user", "spec"}
    assert len(instance.jobs(name)) <= 1
    instance.put(f"{name}@master:/b", b"2")
    assert instance.inspect_commit(f"{name}@master").origin.kind == pfs.USER

    ports = {"internalPort": free_port(), "externalPort": free_port()}
    become(KINDS.PIPELINE_TYPE_SERVICE, input=read, service=ports)
    eventually(lambda: [job.state for job in instance.jobs(name)][:1] == [pps.JOB_RUNNING])
    assert repos(instance, name) == {"user", "spec"}

    become(KINDS.PIPELINE_TYPE_TRANSFORM, input=read)
    newest = instance.head(f"{name}@master")
    assert instance.ended(name, newest).state == pps.JOB_SUCCESS
    assert repos(instance, name) == {"user", "meta", "spec"}
    assert content() == b"1"
    instance.delete_pipeline(name)
    assert repos(instance, name) == set()
