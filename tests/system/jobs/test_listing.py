"""Lists of jobs and of job sets: filters, pages, versions, jq, and who comes first."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import grpc
import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from tests.support.patience import eventually
from tests.support.servers import unique
from tests.system.jobs.hands import Bench, job, pipeline, repo

pytestmark = pytest.mark.parametrize("instance", ["sqlite", "postgres"], indirect=True, scope="module")
ENDLESS = "def f: f; f"


def listed(bench: Bench, **fields: Any) -> list[str]:
    """Ids of jobs of the pipeline."""
    request = pps.ListJobRequest(pipeline=pipeline(bench.name), **fields)
    return [info.job.id for info in bench.jobs.ListJob(request, timeout=120)]


def refused(stream: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        list(stream)
    error: Any = caught.value
    return error.code(), error.details()


def done(bench: Bench, path: str, version: int = 1) -> str:
    """The job of a commit that adds a file, once it has ended."""
    id = bench.commit({path: b"x"})
    bench.hands(version=version).do_one()
    assert bench.ended(id).state == pps.JOB_SUCCESS
    return id


def twin_of(bench: Bench) -> pfs.Repo:
    """A repo of another project that is called like the source and has a commit whenever that does."""
    project = pfs.Project(name=unique("other"))
    bench.files.CreateProject(pfs.CreateProjectRequest(project=project))
    other = pfs.Repo(name=bench.source, type="user", project=project)
    bench.files.CreateRepo(pfs.CreateRepoRequest(repo=other))
    master = pfs.Branch(repo=other, name="master")
    read = pfs.Branch(repo=repo(bench.source), name="master")
    bench.files.CreateBranch(pfs.CreateBranchRequest(branch=master, provenance=[read]))
    return other


def test_jobs_by_page_version_input_and_filter(bench: Bench) -> None:
    first, twin = bench.create(), twin_of(bench)
    bench.ended(first)
    with ThreadPoolExecutor(1) as pool:
        endless = pool.submit(
            lambda: refused(bench.jobs.ListJob(pps.ListJobRequest(jqFilter=ENDLESS, number=1), timeout=120))
        )
        ids = [first, *(done(bench, path) for path in ("/a", "/b", "/c"))]
        assert listed(bench) == ids[::-1]
        assert listed(bench, number=2) == [ids[3], ids[2]]
        assert listed(bench, number=2, reverse=True) == [ids[0], ids[1]]
        marker = bench.inspect(ids[2]).created
        assert listed(bench, paginationMarker=marker) == [ids[1], ids[0]]
        assert listed(bench, paginationMarker=marker, reverse=True) == [ids[3]]
        assert listed(bench, projects=[pfs.Project(name="nowhere")]) == []
        read = pfs.Commit(repo=repo(bench.source), id=ids[1])
        assert listed(bench, input_commit=[read]) == [ids[1]]
        assert listed(bench, input_commit=[read, pfs.Commit(repo=repo(bench.source), id=ids[2])]) == []
        assert listed(bench, input_commit=[pfs.Commit(repo=twin, id=ids[1])]) == [], "its repo only has the same name"
        assert listed(bench, jqFilter='.data_processed == "1" and .data_skipped == null') == [ids[1]]
        assert listed(bench, jqFilter='.data_processed == "1"', number=2) == [ids[3], ids[2]], "of those that are kept"
        assert listed(bench, jqFilter='.state == "JOB_FAILURE"') == []
        code, text = refused(bench.jobs.ListJob(pps.ListJobRequest(jqFilter="{"), timeout=120))
        assert (code, text.startswith("error parsing jq filter")) == (grpc.StatusCode.UNKNOWN, True)
        code, text = refused(bench.jobs.ListJob(pps.ListJobRequest(number=-1), timeout=120))
        assert text == "number must be non-negative"
        code, text = refused(bench.jobs.ListJob(pps.ListJobRequest(pipeline=pipeline("dne")), timeout=120))
        assert (code, text) == (grpc.StatusCode.NOT_FOUND, 'pipeline "default/dne" not found')
        updated = bench.create(update=True)
        again = bench.create(update=True)
        assert listed(bench) == [again]
        assert listed(bench, history=1) == [again, updated]
        assert listed(bench, history=-1) == [again, updated, *ids[::-1]]
        everyones = {info.job.id for info in bench.jobs.ListJob(pps.ListJobRequest(), timeout=120)}
        assert {again, updated, *ids} & everyones == {again}, "versions count without a pipeline, too"
        code, text = endless.result(120)
        assert (code, "context deadline exceeded" in text) == (grpc.StatusCode.DEADLINE_EXCEEDED, True)


def test_sets_hold_the_jobs_of_a_change_and_stand_where_their_newest_job_does(bench: Bench) -> None:
    bench.create()
    below = replace(bench, name=unique("below"), source=bench.name)
    made = below.create()
    id = done(bench, "/a")
    below.hands().do_one(lambda _: {"/same": b""})
    asked = pps.InspectJobSetRequest(job_set=pps.JobSet(id=id), wait=True)
    assert [info.job.pipeline.name for info in bench.jobs.InspectJobSet(asked, timeout=120)] == [bench.name, below.name]

    def sets(**fields: Any) -> list[tuple[str, int]]:
        found = bench.jobs.ListJobSet(pps.ListJobSetRequest(**fields), timeout=120)
        return [(one.job_set.id, len(one.jobs)) for one in found if one.job_set.id in (id, made)]

    assert sets(number=2) == [(id, 2), (made, 1)]
    assert sets(reverse=True) == [(made, 1), (id, 2)]
    newest = max(bench.inspect(id).created.ToNanoseconds(), below.inspect(id).created.ToNanoseconds())
    marker = pps.JobInfo().created
    marker.FromNanoseconds(newest)
    assert sets(paginationMarker=marker) == [(made, 1)]
    assert sets(projects=[pfs.Project(name="nowhere")]) == []
    assert sets(jqFilter=f'.job.pipeline.name == "{bench.name}"') == [(id, 1)], (
        "members are filtered, empty sets dropped"
    )
    code, text = refused(bench.jobs.ListJobSet(pps.ListJobSetRequest(number=-1), timeout=120))
    assert (code, text) == (grpc.StatusCode.UNKNOWN, "number must be non-negative")


def test_a_set_with_failures_is_waited_for_to_its_last_job(bench: Bench) -> None:
    bench.create()
    below = replace(bench, name=unique("below"), source=bench.name)
    below.create()
    last = replace(bench, name=unique("last"), source=below.name)
    last.create()
    id = bench.commit({"/a": b"1"})
    with ThreadPoolExecutor(1) as pool:
        asked = pps.InspectJobSetRequest(job_set=pps.JobSet(id=id), wait=True)
        waiting = pool.submit(lambda: list(bench.jobs.InspectJobSet(asked, timeout=120)))
        bench.hands().do_one(lambda _: None)
        infos = waiting.result(120)
    assert [info.state for info in infos] == [pps.JOB_FAILURE, pps.JOB_UNRUNNABLE, pps.JOB_UNRUNNABLE]
    words = "unrunnable because the following upstream pipelines failed: in"
    assert [info.reason for info in infos[1:]] == [words, words], "inputs are named as the spec names them"
    good = bench.commit({"/b": b"2"})
    for one in (bench, below, last):
        one.hands().do_one()
    assert [one.ended(good).state for one in (bench, below, last)] == [pps.JOB_SUCCESS] * 3
    unknown = pps.InspectJobSetRequest(job_set=pps.JobSet(id="0" * 12 + "4" + "0" * 19))
    assert list(bench.jobs.InspectJobSet(unknown, timeout=120)) == []


def test_a_subscriber_hears_of_each_job_once(bench: Bench) -> None:
    bench.ended(bench.create())
    waits = bench.commit({"/a": b"1"})
    news = bench.jobs.SubscribeJob(pps.SubscribeJobRequest(pipeline=pipeline(bench.name)), timeout=120)
    assert next(news).job.id == waits, "jobs that have ended are passed over"
    bench.hands().do_one()
    assert bench.ended(waits).state == pps.JOB_SUCCESS
    quick = bench.commit({"/a": None})
    assert next(news).job.id == quick, "also of one that has nothing to do"
    news.cancel()  # clients may leave any stream
    code, text = refused(bench.jobs.SubscribeJob(pps.SubscribeJobRequest(), timeout=120))
    assert (code, text) == (grpc.StatusCode.UNKNOWN, "pipeline must be specified")
    asked = pps.SubscribeJobRequest(pipeline=pipeline("nobody"))
    code, text = refused(bench.jobs.SubscribeJob(asked, timeout=120))
    assert (code, text) == (grpc.StatusCode.NOT_FOUND, 'pipeline "default/nobody" not found')


def test_a_datum_names_the_image_of_the_version_that_ran_it(bench: Bench) -> None:
    bench.create(transform={"image": "first:1", "cmd": ["true"]})
    done(bench, "/a")
    bench.create(update=True, transform={"image": "second:1", "cmd": ["true"]})
    of = job(bench.name, done(bench, "/b", version=2))
    listed = list(bench.jobs.ListDatum(pps.ListDatumRequest(job=of), timeout=120))
    assert {one.data[0].file.path: one.image_id for one in listed} == {"/a": "first:1", "/b": "second:1"}
    for one in listed:
        asked = pps.InspectDatumRequest(datum=pps.Datum(job=of, id=one.datum.id))
        assert bench.jobs.InspectDatum(asked, timeout=120).image_id == one.image_id


def test_what_nobody_sets_from_outside(bench: Bench) -> None:
    first = bench.create()
    bench.ended(first)

    def said(method: str, request: Any) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.RpcError) as caught:
            getattr(bench.jobs, method)(request, timeout=120)
        error: Any = caught.value
        return error.code(), error.details()

    code, text = said("UpdateJobState", pps.UpdateJobStateRequest(job=job(bench.name, first), state=pps.JOB_KILLED))
    assert (code, text) == (grpc.StatusCode.UNKNOWN, f"job default/{bench.name}@{first} has already finished")
    open_job = bench.commit({"/a": b"1"})
    eventually(lambda: bench.inspect(open_job).state == pps.JOB_RUNNING)
    code, _ = said("UpdateJobState", pps.UpdateJobStateRequest(job=job(bench.name, open_job), state=pps.JOB_KILLED))
    assert code is grpc.StatusCode.UNIMPLEMENTED
    assert said("RunPipeline", pps.RunPipelineRequest())[1] == "unimplemented"


def test_a_pipeline_tells_what_waits_for_its_workers(bench: Bench) -> None:
    bench.create(datumSetSpec={"number": 1})

    def told() -> pps.PipelineInfo.Details:
        request = pps.InspectPipelineRequest(pipeline=pipeline(bench.name), details=True)
        return bench.pipelines.InspectPipeline(request, timeout=120).details

    id = bench.commit({"/a": b"1", "/b": b"2", "/c": b"3"})
    eventually(lambda: told().unclaimed_tasks == 3)
    assert told().worker_rc == f"default.{bench.name}-v1"
    hands = bench.hands()
    held = hands.lease()
    assert held is not None
    eventually(lambda: told().unclaimed_tasks == 2)
    assert hands.complete(hands.results(held))
    bench.jobs.StopJob(pps.StopJobRequest(job=job(bench.name, id)))
    eventually(lambda: told().unclaimed_tasks == 0)
