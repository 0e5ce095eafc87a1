"""Lists of pipelines: order, versions, filters, pages, commit sets; summaries and checks; templates."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from tests.support.patience import eventually
from tests.support.servers import unique
from tests.system.chaos.dag import leaf, pipeline
from tests.system.pps.changes.test_pipelines import Side


@pytest.fixture
def project(side: Side) -> str:
    name = unique("proj")
    side.pfs.CreateProject(pfs.CreateProjectRequest(project=pfs.Project(name=name)))
    return name


def create(side: Side, project: str, name: str, *, update: bool = False, workers: int = 1, **fields: Any) -> str:
    """Its spec commit."""
    request = pipeline(name, "true", pps.Input(), workers)
    request.ClearField("input")
    request.pipeline.project.name, request.update = project, update
    request.MergeFrom(pps.CreatePipelineRequest(**fields))
    side.pps.CreatePipeline(request)
    return str(inspect(side, project, name).spec_commit.id)


def inspect(side: Side, project: str, name: str) -> pps.PipelineInfo:
    asked = pps.Pipeline(name=name, project=pfs.Project(name=project))
    info: pps.PipelineInfo = side.pps.InspectPipeline(pps.InspectPipelineRequest(pipeline=asked))
    return info


def listed(side: Side, project: str, **more: Any) -> list[str]:
    """ "name@version" of each."""
    found = side.pps.ListPipeline(pps.ListPipelineRequest(projects=[pfs.Project(name=project)], **more))
    return [f"{info.pipeline.name}@{info.version}" for info in found]


def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    return error.code(), error.details()


def test_listing(side: Side, project: str) -> None:
    first = create(side, project, "a")
    second = create(side, project, "b", workers=3)
    third = create(side, project, "a", update=True, description="newer")
    fourth = create(side, project, "a", update=True)
    assert listed(side, project) == ["b@1", "a@3"]
    assert listed(side, project, history=1) == ["b@1", "a@3", "a@2"]
    assert listed(side, project, history=-1) == ["b@1", "a@3", "a@2", "a@1"]
    only = pps.Pipeline(name="a", project=pfs.Project(name=project))
    assert listed(side, project, pipeline=only, history=-1) == ["a@3", "a@2", "a@1"]
    page = partial(pps.PipelinePage, page_size=2)
    assert [listed(side, project, history=-1, page=page(page_index=at)) for at in (0, 1, 2)] == [
        ["b@1", "a@3"], ["a@2", "a@1"], [],
    ]  # fmt: skip
    assert listed(side, project, jqFilter='.details.parallelism_spec.constant == "3"') == ["b@1"]
    newer = '.details.description == "newer" or .version == "1"'
    assert listed(side, project, history=-1, jqFilter=newer, page=page(page_index=1)) == ["a@1"]
    assert listed(side, project, jqFilter=".last_job_state") == []
    sets = [listed(side, project, commit_set=pfs.CommitSet(id=id)) for id in (first, second, third, fourth)]
    assert sets == [["a@1"], ["b@1"], ["a@2"], ["a@3"]]
    code, said = refused(lambda: listed(side, project, jqFilter=".version =="))
    assert (code, said.partition(":")[0]) == (grpc.StatusCode.UNKNOWN, "error parsing jq filter")
    code, said = refused(lambda: listed(side, project, jqFilter=".version.x"))
    assert (code, said.partition(":")[0]) == (grpc.StatusCode.UNKNOWN, "error applying jq filter on proto message")
    unknown = pps.Pipeline(name="dne", project=pfs.Project(name=project))
    assert refused(lambda: listed(side, project, pipeline=unknown)) == (
        grpc.StatusCode.NOT_FOUND, f'pipeline "{project}/dne" not found',
    )  # fmt: skip
    assert refused(lambda: listed(side, project, commit_set=pfs.CommitSet(id="0" * 12 + "4" + "1" * 19)))[0] is (
        grpc.StatusCode.NOT_FOUND
    )


def test_the_version_at_a_commit_set_of_what_it_reads(side: Side, project: str) -> None:
    """A commit of the source belongs to the version that ran over it, whatever came later."""
    where = pfs.Project(name=project)
    source = pfs.Repo(name="source", type="user", project=where)
    side.pfs.CreateRepo(pfs.CreateRepoRequest(repo=source))
    request = pipeline("p", "true", leaf("source", "/*"))
    request.pipeline.project.name = project
    side.pps.CreatePipeline(request)
    commit = side.pfs.StartCommit(pfs.StartCommitRequest(branch=pfs.Branch(repo=source, name="master")))
    request.update = True
    side.pps.CreatePipeline(request)
    assert listed(side, project, commit_set=pfs.CommitSet(id=commit.id)) == ["p@1"]
    assert listed(side, project) == ["p@2"]


def test_older_versions_by_name(side: Side, project: str) -> None:
    create(side, project, "a")
    create(side, project, "a", update=True)
    versions = {mark: inspect(side, project, f"a{mark}").version for mark in ("", "^", "~", "^1", "~1", "^0")}
    assert versions == {"": 2, "^": 1, "~": 1, "^1": 1, "~1": 1, "^0": 2}
    assert refused(lambda: inspect(side, project, "a^2"))[1] == (
        f'pipeline "{project}/a" has only 2 versions, not enough to find ancestor 2'
    )
    assert refused(lambda: inspect(side, project, "a.1"))[1] == "cannot inspect future pipelines"
    assert refused(lambda: inspect(side, project, "dne^"))[0] is grpc.StatusCode.NOT_FOUND


def test_summaries_and_checks(side: Side, project: str) -> None:
    create(side, project, "a")
    create(side, project, "b", transform=pps.Transform(cmd=["true"]))
    stopped = pps.Pipeline(name="b", project=pfs.Project(name=project))
    side.pps.StopPipeline(pps.StopPipelineRequest(pipeline=stopped))
    empty = unique("proj")
    side.pfs.CreateProject(pfs.CreateProjectRequest(project=pfs.Project(name=empty)))
    pickers = [pfs.ProjectPicker(name=name) for name in (empty, project)]
    answer = side.pps.PipelinesSummary(pps.PipelinesSummaryRequest(projects=pickers))
    counted = pps.PipelinesSummary(project=pfs.Project(name=project), active_pipelines=1, paused_pipelines=1)
    assert list(answer.summaries) == [counted]
    assert counted in side.pps.PipelinesSummary(pps.PipelinesSummaryRequest()).summaries
    nowhere = pps.PipelinesSummaryRequest(projects=[pfs.ProjectPicker(name=unique("proj"))])
    assert refused(lambda: side.pps.PipelinesSummary(nowhere))[0] is grpc.StatusCode.NOT_FOUND
    for asked in (pps.CheckStatusRequest(all=True), pps.CheckStatusRequest(project=pfs.Project(name=project))):
        assert list(side.pps.CheckStatus(asked)) == []  # none of them says how long it should be up
    assert refused(lambda: list(side.pps.CheckStatus(pps.CheckStatusRequest())))[0] is grpc.StatusCode.INVALID_ARGUMENT


def test_rapid_updates_end_with_the_last(side: Side, project: str) -> None:
    create(side, project, "a")
    for count in range(2, 25):
        create(side, project, "a", update=True, description=f"the {count}th")
    info = inspect(side, project, "a")
    assert (info.version, json.loads(info.effective_spec_json)["description"]) == (24, "the 24th")
    assert len(listed(side, project, history=-1)) == 24
    stop = pps.StopPipelineRequest(pipeline=info.pipeline)
    side.pps.StopPipeline(stop)
    assert eventually(lambda: inspect(side, project, "a").state == pps.PIPELINE_PAUSED)


def test_everything_can_be_deleted(side: Side, project: str) -> None:
    """Pipelines, those that others read too, and secrets; repos that are nobody's output stay."""
    where = pfs.Project(name=project)
    source = pfs.Repo(name="source", type="user", project=where)
    side.pfs.CreateRepo(pfs.CreateRepoRequest(repo=source))
    for name, reads in (("a", "source"), ("b", "a")):
        request = pipeline(name, "true", leaf(reads, "/*"))
        request.pipeline.project.name = project
        side.pps.CreatePipeline(request)
    secret = json.dumps({"kind": "Secret", "metadata": {"name": unique("s")}, "stringData": {"k": "v"}})
    side.pps.CreateSecret(pps.CreateSecretRequest(file=secret.encode()))
    side.pps.DeleteAll(Empty())
    assert list(side.pps.ListPipeline(pps.ListPipelineRequest())) == []
    assert list(side.pps.ListSecret(Empty()).secret_info) == []
    left = side.pfs.ListRepo(pfs.ListRepoRequest(projects=[where]))
    assert [(info.repo.name, info.repo.type) for info in left] == [("source", "user")]
    side.pps.DeleteAll(Empty())


@contextmanager
def pages(folder: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_templates(side: Side, tmp_path: Path) -> None:
    (tmp_path / "lib.libsonnet").write_text("{spec(name, n):: {pipeline: {name: name}, datum_tries: n, salt: null}}")

    def render(template: str, **args: str) -> pps.RenderTemplateResponse:
        answer: pps.RenderTemplateResponse = side.pps.RenderTemplate(
            pps.RenderTemplateRequest(template=template, args=args)
        )
        return answer

    with pages(tmp_path) as address:
        many = f"function(name) [(import '{address}/lib.libsonnet').spec(name + i, i) for i in [1, 2]]"
        answer = render(many, name="p")
        missing = refused(lambda: render(f"import '{address}/missing'"))
    assert [(spec.pipeline.name, spec.datum_tries) for spec in answer.specs] == [("p1", 1), ("p2", 2)]
    assert json.loads(answer.json)[1] == {"pipeline": {"name": "p2"}, "datum_tries": 2, "salt": None}
    assert missing[0] is grpc.StatusCode.UNKNOWN
    assert "404" in missing[1]
    refusals = {
        "3": "not a json object or list", "[{}, 3]": "not a json object or list",
        "{pipelin: {}}": 'did you mean "pipeline"?', "function(a) {}": "Missing argument: a",
    }  # fmt: skip
    for template, why in refusals.items():
        code, said = refused(partial(render, template))
        assert (code, said.startswith("template err: ")) == (grpc.StatusCode.UNKNOWN, True)
        assert why in said
