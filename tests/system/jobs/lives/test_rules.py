"""What jobs take over from which job, and what they do again; jobs that are stopped, dropped, or out of time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import grpc
import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import work_v1_pb2 as work
from tests.support.patience import eventually
from tests.support.servers import unique
from tests.system.jobs.conftest import Instance
from tests.system.jobs.hands import RECOVERED, Bench, Outputs, copy_names, job, pipeline, repo


def path_of(datum: work.Datum) -> str:
    return str(datum.inputs[0].file.path)


def but(**others: object) -> Outputs:
    """Every datum writes a file of its own name, but these, named without the slash."""
    return lambda datum: others.get(path_of(datum)[1:], copy_names(datum))  # type: ignore[return-value]  # as Outputs


def ran(bench: Bench, outputs: Outputs = copy_names, version: int = 1) -> list[str]:
    """Do a set. Returns the paths of its datums."""
    return sorted(path_of(datum) for datum in bench.hands(version=version).do_one(outputs).datums)


def counts(info: pps.JobInfo) -> tuple[int, int, int, int]:
    assert info.data_total == info.data_processed + info.data_skipped + info.data_failed + info.data_recovered
    return info.data_processed, info.data_skipped, info.data_failed, info.data_recovered


def test_recovered_and_failed_datums_run_again_and_others_stand_by_the_last_good_job(bench: Bench) -> None:
    bench.create()
    first = bench.commit({"/a": b"1", "/b": b"2"})
    assert ran(bench, but(a=RECOVERED)) == ["/a", "/b"]
    info = bench.ended(first)
    assert (info.state, counts(info)) == (pps.JOB_SUCCESS, (1, 0, 0, 1))
    assert bench.outputs(first) == ["/b"], "a recovered datum has no outputs"
    second = bench.commit({"/c": b"3"})
    assert ran(bench, but(a=RECOVERED)) == ["/a", "/c"]
    assert counts(bench.ended(second)) == (1, 1, 0, 1)
    failed = bench.commit({"/d": b"4"})
    assert ran(bench, but(a=None)) == ["/a", "/d"]
    info = bench.ended(failed)
    assert (info.state, counts(info)) == (pps.JOB_FAILURE, (1, 2, 1, 0))
    good = bench.commit({"/e": b"5"})
    assert ran(bench) == ["/a", "/d", "/e"], "what a failed job has done counts for nothing"
    info = bench.ended(good)
    assert (info.state, counts(info)) == (pps.JOB_SUCCESS, (3, 2, 0, 0))
    assert bench.outputs(good) == ["/a", "/b", "/c", "/d", "/e"]
    last = bench.commit({"/b": None})
    assert counts(bench.ended(last)) == (0, 4, 0, 0), "once it succeeded it is skipped, too"
    assert set(bench.datums(good)) == {"/a", "/b", "/c", "/d", "/e"}, "an older job keeps the datums it had"
    assert set(bench.datums(last)) == {"/a", "/c", "/d", "/e"}


def test_only_reprocessing_runs_again_what_is_done(bench: Bench) -> None:
    bench.create()
    first = bench.commit({"/a": b"1", "/b": b"2"})
    ran(bench, lambda datum: {path_of(datum) + "-old": b""})
    bench.ended(first)  # else the update kills it
    updated = bench.create(update=True, transform={"cmd": ["false"]})
    assert counts(bench.ended(updated)) == (0, 2, 0, 0), "another program is no reason"
    more = bench.commit({"/c": b"3"})
    assert ran(bench, lambda datum: {path_of(datum) + "-new": b""}, version=2) == ["/c"]
    bench.ended(more)
    assert bench.outputs(more) == ["/a-old", "/b-old", "/c-new"]
    bench.pipelines.RerunPipeline(pps.RerunPipelineRequest(pipeline=pipeline(bench.name)))
    again = bench.ended(bench.head())
    assert (again.pipeline_version, counts(again)) == (3, (0, 3, 0, 0))
    bench.pipelines.RerunPipeline(pps.RerunPipelineRequest(pipeline=pipeline(bench.name), reprocess=True))
    assert ran(bench, version=4) == ["/a", "/b", "/c"]
    anew = bench.ended(bench.head())
    assert (anew.pipeline_version, counts(anew)) == (4, (3, 0, 0, 0))
    assert bench.outputs(anew.job.id) == ["/a", "/b", "/c"]


def test_a_pipeline_may_ask_for_everything_in_every_job(bench: Bench) -> None:
    bench.create(reprocessSpec="every_job")
    bench.commit({"/a": b"1"})
    assert ran(bench) == ["/a"]
    id = bench.commit({"/b": b"2"})
    assert ran(bench) == ["/a", "/b"]
    assert counts(bench.ended(id)) == (2, 0, 0, 0)


def test_datums_may_swap_the_paths_they_write(bench: Bench) -> None:
    bench.create()
    bench.commit({"/a": b"1", "/b": b"2"})
    ran(bench, but(a={"/x": b""}, b={"/y": b""}))
    id = bench.commit({"/a": b"more", "/b": b"more"})
    ran(bench, but(a={"/y": b""}, b={"/x": b""}))
    assert bench.ended(id).state == pps.JOB_SUCCESS
    assert bench.outputs(id) == ["/x", "/y"]


def test_stopping_the_middle_one_of_three_jobs_leaves_the_others_alone(bench: Bench) -> None:
    bench.create()
    first, middle, last = (bench.commit({path: b"x"}) for path in ("/a", "/b", "/c"))
    hands = bench.hands()
    held = hands.lease()
    assert held is not None
    assert held.job.id == first
    bench.jobs.StopJob(pps.StopJobRequest(job=job(bench.name, middle), reason="not this one"))
    stopped = bench.ended(middle)
    assert (stopped.state, stopped.reason) == (pps.JOB_KILLED, "not this one")
    assert stopped.started == stopped.finished, "it never ran"
    assert hands.renew(held).held
    assert hands.complete(hands.results(held))
    assert bench.ended(first).state == pps.JOB_SUCCESS
    assert ran(bench) == ["/b", "/c"]
    info = bench.ended(last)
    assert (info.state, counts(info)) == (pps.JOB_SUCCESS, (2, 1, 0, 0))
    assert bench.output_error(middle) == bench.output_error(middle, "meta") == "not this one"


def test_a_dropped_commit_takes_its_job_along_and_the_next_one_runs(bench: Bench) -> None:
    bench.create()
    id = bench.commit({"/a": b"1"})
    hands = bench.hands()
    held = hands.lease()
    assert held is not None
    bench.files.DropCommitSet(pfs.DropCommitSetRequest(commit_set=pfs.CommitSet(id=id)))
    info = bench.ended(id)
    assert (info.state, info.reason) == (pps.JOB_KILLED, "output commit removed")
    assert not hands.renew(held).held
    after = bench.commit({"/b": b"2"})
    assert ran(bench) == ["/b"], "the dropped file is gone"
    assert bench.ended(after).state == pps.JOB_SUCCESS
    listed = bench.jobs.ListJob(pps.ListJobRequest(pipeline=pipeline(bench.name)), timeout=120)
    assert [one.job.id for one in listed][:2] == [after, id], "its record stays"


def failing(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    return error.code(), error.details()


def test_whoever_waits_for_a_job_hears_that_it_was_deleted(bench: Bench) -> None:
    bench.create()
    with ThreadPoolExecutor(2) as pool:
        first, second = bench.commit({"/a": b"1"}), bench.commit({"/b": b"2"})
        eventually(lambda: bench.inspect(first).state == pps.JOB_RUNNING)
        waiting = [pool.submit(failing, partial(bench.ended, id)) for id in (first, second)]
        bench.jobs.DeleteJob(pps.DeleteJobRequest(job=job(bench.name, first)))
        code, text = waiting[0].result(120)
        assert code is grpc.StatusCode.NOT_FOUND
        assert f"job default/{bench.name}@{first} " in text
        bench.pipelines.DeletePipeline(pps.DeletePipelineRequest(pipeline=pipeline(bench.name)))
        code, text = waiting[1].result(120)
        assert (code, second in text) == (grpc.StatusCode.NOT_FOUND, True)


def test_no_job_is_left_once_the_deletion_of_its_pipeline_is_answered(bench: Bench) -> None:
    for keep in (True, False) * 3:
        one = replace(bench, name=unique("gone"))
        ids = [one.create(), one.commit({"/a": b"1"})]
        assert one.inspect(ids[1]).job.id == ids[1]
        one.pipelines.DeletePipeline(pps.DeletePipelineRequest(pipeline=pipeline(one.name), keep_repo=keep))
        for id in ids:
            code, text = failing(partial(one.inspect, id))
            assert (code, text) == (grpc.StatusCode.NOT_FOUND, f"job default/{one.name}@{id} not found")


def test_the_time_of_a_job_runs_on_while_jobs_is_away(bench: Bench, instance: Instance) -> None:
    bench.create(jobTimeout="5s")
    id = bench.commit({"/a": b"1"})
    eventually(lambda: bench.inspect(id).state == pps.JOB_RUNNING)
    began = bench.inspect(id).started
    instance.restart("jobs")
    info = eventually(lambda: _there(bench, id))
    assert info is not None
    assert (info.state, info.reason, info.started) == (pps.JOB_KILLED, " jobtimed out", began)
    assert (info.finished.ToDatetime() - began.ToDatetime()).total_seconds() >= 5


def _there(bench: Bench, id: str) -> pps.JobInfo | None:
    info = bench.inspect(id)
    return info if info.state == pps.JOB_KILLED else None


def test_commits_that_are_closed_meanwhile_stay_as_they_are(bench: Bench) -> None:
    """As when Jobs is restored from an earlier moment than PFS: its job ends, and so do those behind it."""
    bench.create(datumSetSpec={"number": 1})
    id = bench.commit({"/a": b"1", "/b": b"2"})
    ran(bench)
    for type in ("user", "meta"):
        commit = pfs.Commit(repo=repo(bench.name, type), id=id)
        bench.files.FinishCommit(pfs.FinishCommitRequest(commit=commit, force=True))
    ran(bench)
    assert bench.ended(id).state == pps.JOB_SUCCESS
    assert len(bench.outputs(id)) == 1, "what was there when it was closed"
    later = bench.commit({"/c": b"3"})
    ran(bench)
    assert bench.ended(later).state == pps.JOB_SUCCESS
