"""Defaults of the cluster and of projects: what they make of specs, and of pipelines that are there already."""

import json
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from tests.support.servers import unique
from tests.system.pps.changes.test_pipelines import Side


@pytest.fixture(autouse=True)
def as_fresh(side: Side) -> Iterator[None]:
    before = side.pps.GetClusterDefaults(pps.GetClusterDefaultsRequest()).cluster_defaults_json
    yield
    side.pps.SetClusterDefaults(pps.SetClusterDefaultsRequest(cluster_defaults_json=before))


def named(project: str, name: str) -> pps.Pipeline:
    return pps.Pipeline(name=name, project=pfs.Project(name=project))


def create(side: Side, project: str, name: str, **fields: Any) -> dict[str, Any]:
    """The effective spec."""
    document = {"pipeline": {"project": {"name": project}, "name": name}, "transform": {"cmd": ["true"]}, **fields}
    request = pps.CreatePipelineV2Request(create_pipeline_request_json=json.dumps(document))
    answer = side.pps.CreatePipelineV2(request).effective_create_pipeline_request_json
    effective: dict[str, Any] = json.loads(answer)
    return effective


def inspect(side: Side, project: str, name: str) -> pps.PipelineInfo:
    asked = pps.InspectPipelineRequest(pipeline=named(project, name), details=True)
    info: pps.PipelineInfo = side.pps.InspectPipeline(asked)
    return info


def of_cluster(side: Side, spec: dict[str, Any], **how: bool) -> set[str]:
    """Set them. Returns the names of the affected pipelines."""
    document = json.dumps({"createPipelineRequest": spec})
    request = pps.SetClusterDefaultsRequest(cluster_defaults_json=document, **how)
    return {one.name for one in side.pps.SetClusterDefaults(request).affected_pipelines}


def of_project(side: Side, project: str, spec: dict[str, Any], **how: bool) -> set[str]:
    document = json.dumps({"create_pipeline_request": spec})
    request = pps.SetProjectDefaultsRequest(project=pfs.Project(name=project), project_defaults_json=document, **how)
    return {one.name for one in side.pps.SetProjectDefaults(request).affected_pipelines}


def refused(call: Any) -> tuple[grpc.StatusCode, str, list[str]]:
    """Status, sentence, and the fields that its details name."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    fields, details = list[str](), dict(error.trailing_metadata()).get("grpc-status-details-bin")
    for one in Status.FromString(details).details if details else ():
        bad = BadRequest()
        fields += [violation.field for violation in bad.field_violations] if one.Unpack(bad) else []
    return error.code(), error.details(), fields


def test_layers(side: Side) -> None:
    """Built in, of the cluster, of the project, the user's own: the later wins, and null takes back."""
    project, name = unique("proj"), unique("p")
    side.pfs.CreateProject(pfs.CreateProjectRequest(project=pfs.Project(name=project)))
    modest = {"cpu": 1.0, "memory": "256Mi", "disk": "1Gi"}
    fresh = create(side, "default", unique("p"))
    assert {field: fresh[field] for field in ("resourceRequests", "sidecarResourceRequests")} == {
        "resourceRequests": modest,
        "sidecarResourceRequests": modest,
    }
    assert (fresh["transform"]["image"], fresh["outputBranch"], fresh["datumTries"]) == ("ubuntu:20.04", "master", "3")
    of_cluster(side, {
        "datum_tries": 5, "transform": {"image": "a:1", "env": {"a_b": "1"}}, "resourceRequests": {"cpu": 2},
        "tolerations": [{"key": "k", "operator": 1}],
    })  # fmt: skip
    of_project(side, project, {"datumTries": "7", "transform": {"env": {"c": "2"}}, "description": "ours"})
    made = create(side, project, name, transform={"cmd": ["true"], "env": {"c": "3"}}, resourceRequests=None)
    assert made == {
        "pipeline": {"project": {"name": project}, "name": name}, "outputBranch": "master",
        "reprocessSpec": "until_success", "datumTries": "7", "description": "ours",
        "transform": {"image": "a:1", "cmd": ["true"], "env": {"a_b": "1", "c": "3"}},
        "tolerations": [{"key": "k", "operator": "EXISTS"}],
    }  # fmt: skip
    info = inspect(side, project, name)
    assert json.loads(info.effective_spec_json) == made
    assert json.loads(info.user_spec_json)["resourceRequests"] is None
    assert info.details.datum_tries == 7
    assert "image" not in create(side, "default", unique("p"), transform={"cmd": ["true"], "image": None})["transform"]
    gone, _, _ = refused(lambda: create(side, "default", unique("p"), transform=None))
    assert gone is grpc.StatusCode.UNKNOWN


def test_regenerating(side: Side) -> None:
    """Those whose spec changes get a new version, all in one commit set; the others stay as they are."""
    project, first, second, own = unique("proj"), unique("p"), unique("p"), unique("p")
    side.pfs.CreateProject(pfs.CreateProjectRequest(project=pfs.Project(name=project)))
    everything = pps.DeletePipelinesRequest(all=True, force=True)
    side.pps.DeletePipelines(everything)
    create(side, "default", first)
    create(side, project, second)
    create(side, project, own, datumTries=5)
    assert of_cluster(side, {}) == set()
    assert of_cluster(side, {"datumTries": 5}, regenerate=True, dry_run=True) == {first, second, own}
    assert inspect(side, "default", first).version == 1
    assert json.loads(side.pps.GetClusterDefaults(pps.GetClusterDefaultsRequest()).cluster_defaults_json) == {
        "createPipelineRequest": {}
    }
    assert of_cluster(side, {}, regenerate=True) == {first, second, own}  # what a fresh installation asks for is gone
    assert of_cluster(side, {"datumTries": "5"}, regenerate=True) == {first, second}
    infos = [inspect(side, "default", first), inspect(side, project, second), inspect(side, project, own)]
    assert [(info.version, info.details.datum_tries) for info in infos] == [(3, 5), (3, 5), (2, 5)]
    assert infos[0].spec_commit.id == infos[1].spec_commit.id != infos[2].spec_commit.id
    salt = infos[1].details.salt
    assert of_project(side, project, {"description": "x"}, regenerate=True, reprocess=True) == {second, own}
    after = inspect(side, project, second)
    assert (after.version, after.details.description) == (4, "x")
    assert after.details.salt != salt
    assert inspect(side, "default", first).version == 3
    assert of_project(side, project, {"description": "x"}, regenerate=True, reprocess=True) == set()
    code, said, _ = refused(lambda: of_project(side, project, {"podSpec": "{"}, regenerate=True))
    assert code is grpc.StatusCode.UNKNOWN
    assert f"could not regenerate pipeline {project}/" in said
    assert "malformed PodSpec" in said
    assert inspect(side, project, second).version == 4
    kept = side.pps.GetProjectDefaults(pps.GetProjectDefaultsRequest(project=pfs.Project(name=project)))
    assert json.loads(kept.project_defaults_json) == {"create_pipeline_request": {"description": "x"}}


def test_what_is_refused(side: Side) -> None:
    def cluster(text: str) -> Any:
        return lambda: side.pps.SetClusterDefaults(pps.SetClusterDefaultsRequest(cluster_defaults_json=text))

    before = side.pps.GetClusterDefaults(pps.GetClusterDefaultsRequest())
    for text in ("", "{", "[]", '{"createPipelineRequest": {"datumTires": 3}, "x": 1}', '{"createPipelineRequest": 1}'):
        code, said, fields = refused(cluster(text))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert said.startswith("invalid cluster defaults JSON")
        assert fields
    assert 'did you mean "datumTries"' in refused(cluster('{"createPipelineRequest": {"datumTires": 3}}'))[1]
    assert side.pps.GetClusterDefaults(pps.GetClusterDefaultsRequest()) == before
    nowhere = pfs.Project(name=unique("proj"))
    for call in (
        lambda: side.pps.GetProjectDefaults(pps.GetProjectDefaultsRequest(project=nowhere)),
        lambda: side.pps.SetProjectDefaults(pps.SetProjectDefaultsRequest(project=nowhere, project_defaults_json="{}")),
    ):
        assert refused(call)[0] is grpc.StatusCode.NOT_FOUND
    code, said, fields = refused(lambda: create(side, "default", unique("p"), datumTires=1, transforms={}))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert said.startswith("could not make effective spec: ")
    assert said.count("unexpected field") == 2
    assert fields == ["create_pipeline_v2_request.create_pipeline_request_json"] * 2


def test_defaults_of_a_project_that_is_gone_are_not_those_of_its_successor(side: Side) -> None:
    project = pfs.Project(name=unique("proj"))
    side.pfs.CreateProject(pfs.CreateProjectRequest(project=project))
    asked = pps.GetProjectDefaultsRequest(project=project)
    assert side.pps.GetProjectDefaults(asked) == pps.GetProjectDefaultsResponse(project_defaults_json="{}")
    of_project(side, project.name, {"datumTries": 9})
    assert side.pps.GetProjectDefaults(asked).HasField("created_at")
    side.pfs.DeleteProject(pfs.DeleteProjectRequest(project=project))
    side.pfs.CreateProject(pfs.CreateProjectRequest(project=project))
    assert side.pps.GetProjectDefaults(asked) == pps.GetProjectDefaultsResponse(project_defaults_json="{}")
    assert create(side, project.name, unique("p"))["datumTries"] == "3"
