"""Specs, what they take from defaults, templates that give them, and lists of them, as users of the SDK meet these."""

import json

import pytest
from given import refusal, unique
from pachyderm_sdk import Client
from pachyderm_sdk.api import pfs, pps

TRUE = pps.Transform(cmd=["true"])


@pytest.fixture
def project(client: Client) -> pfs.Project:
    made = pfs.Project(name=unique("proj"))
    client.pfs.create_project(project=made)
    return made


def made(client: Client, project: pfs.Project, **spec: object) -> pps.Pipeline:
    pipeline = pps.Pipeline(name=unique("p"), project=project)
    client.pps.create_pipeline(pipeline=pipeline, transform=TRUE, **spec)
    return pipeline


def test_defaults(client: Client, project: pfs.Project) -> None:
    assert json.loads(client.pps.get_project_defaults(project=project).project_defaults_json) == {}
    pipeline = made(client, project)
    own = made(client, project, datum_tries=2)
    document = json.dumps({"createPipelineRequest": {"datumTries": 7}})
    how = {"project": project, "project_defaults_json": document, "regenerate": True}
    dry = client.pps.set_project_defaults(**how, dry_run=True)
    assert [one.name for one in dry.affected_pipelines] == [pipeline.name]
    assert client.pps.inspect_pipeline(pipeline=pipeline).version == 1
    client.pps.set_project_defaults(**how)
    info = client.pps.inspect_pipeline(pipeline=pipeline, details=True)
    assert (info.version, info.details.datum_tries) == (2, 7)
    assert client.pps.inspect_pipeline(pipeline=own).version == 1
    kept = client.pps.get_project_defaults(project=project)
    assert kept.project_defaults_json == document
    assert kept.created_at is not None
    assert "createPipelineRequest" in json.loads(client.pps.get_cluster_defaults().cluster_defaults_json)
    code, sentence = refusal(lambda: client.pps.set_cluster_defaults(cluster_defaults_json='{"x": 1}'))
    assert (code, "invalid cluster defaults JSON" in sentence) == ("INVALID_ARGUMENT", True)


def test_templates(client: Client, project: pfs.Project) -> None:
    template = """
        function(name, project) [
          {pipeline: {name: name + n, project: {name: project}}, transform: {cmd: ["true"]}, datumTries: n}
          for n in [1, 2]
        ]"""
    name = unique("t")
    answer = client.pps.render_template(template=template, args={"name": name, "project": project.name})
    assert [spec.datum_tries for spec in answer.specs] == [1, 2]
    for spec in json.loads(answer.json):
        client.pps.create_pipeline_v2(create_pipeline_request_json=json.dumps(spec))
    listed = client.pps.list_pipeline(projects=[project], jq_filter='.details.datum_tries == "2"')
    assert [info.pipeline.name for info in listed] == [f"{name}2"]
    code, sentence = refusal(lambda: client.pps.render_template(template=template, args={"name": name}))
    assert (code, sentence.startswith("template err: ")) == ("UNKNOWN", True)


def test_lists_and_summaries(client: Client, project: pfs.Project) -> None:
    pipelines = [made(client, project) for _ in range(3)]
    newest = [one.name for one in pipelines[::-1]]
    page = pps.PipelinePage(page_size=2, page_index=0)
    listed = client.pps.list_pipeline(projects=[project], page=page)
    assert [info.pipeline.name for info in listed] == newest[:2]
    client.pps.rerun_pipeline(pipeline=pipelines[0], reprocess=True)
    client.pps.stop_pipeline(pipeline=pipelines[1])
    versions = client.pps.list_pipeline(pipeline=pipelines[0], history=-1)
    assert [info.version for info in versions] == [2, 1]
    older = pps.Pipeline(name=f"{pipelines[0].name}^1", project=project)
    assert client.pps.inspect_pipeline(pipeline=older).version == 1
    (summary,) = client.pps.pipelines_summary(projects=[pfs.ProjectPicker(name=project.name)]).summaries
    assert (summary.active_pipelines, summary.paused_pipelines, summary.failed_pipelines) == (2, 1, 0)
    assert list(client.pps.check_status(project=project)) == []
    assert list(client.pps.check_status(all=True)) == []
    client.pps.delete_pipelines(projects=[project], force=True)
    assert list(client.pps.list_pipeline(projects=[project])) == []
