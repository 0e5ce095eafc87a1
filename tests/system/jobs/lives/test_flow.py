"""Jobs from commit to result, against real PFS and PPS, with the work done by the tests."""

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import work_v1_pb2 as work
from tests.support.servers import eventually
from tests.system.jobs.conftest import Instance
from tests.system.jobs.hands import Bench, job, pipeline

pytestmark = pytest.mark.parametrize("instance", ["sqlite", "postgres"], indirect=True, scope="module")


def test_a_job_is_made_run_and_counted(bench: Bench) -> None:
    first = bench.create()
    assert bench.ended(first).state == pps.JOB_SUCCESS
    id = bench.commit({"/a": b"1", "/b": b"2"})
    held = bench.hands().do_one()
    assert sorted(one.inputs[0].file.path for one in held.datums) == ["/a", "/b"]
    info = bench.ended(id)
    assert (info.state, info.data_total, info.data_processed, info.data_skipped) == (pps.JOB_SUCCESS, 2, 2, 0)
    assert (info.stats.download_bytes, info.stats.upload_bytes) == (2, 4)
    assert bench.outputs(id) == ["/a", "/b"]
    assert bench.datums(id) == {"/a": "SUCCESS", "/b": "SUCCESS"}
    assert len(bench.outputs(id, "meta")) == 2


def test_only_what_changed_runs_and_what_vanished_is_removed(bench: Bench) -> None:
    bench.create()
    bench.commit({"/a": b"1", "/b": b"2", "/c": b"3"})
    bench.hands().do_one(lambda datum: {datum.inputs[0].file.path: b"x", datum.inputs[0].file.path + "-2": b"y"})
    id = bench.commit({"/a": None, "/b": b"new", "/d": b"4"})
    held = bench.hands().do_one()
    assert sorted(one.inputs[0].file.path for one in held.datums) == ["/b", "/d"]
    info = bench.ended(id)
    assert (info.data_total, info.data_processed, info.data_skipped) == (3, 2, 1)
    assert bench.outputs(id) == ["/b", "/c", "/c-2", "/d"], "a's files and b's second one are gone, c's stay"
    assert bench.datums(id) == {"/b": "SUCCESS", "/c": "SKIPPED", "/d": "SUCCESS"}
    meta = {path.split("/")[2] for path in bench.outputs(id, "meta")}
    assert len(meta) == 3


def test_a_job_with_nothing_to_run_ends_by_itself(bench: Bench) -> None:
    bench.create()
    bench.commit({"/a": b"1", "/b": b"2"})
    bench.hands().do_one()
    id = bench.commit({"/b": None})
    info = bench.ended(id)
    assert (info.state, info.data_total, info.data_skipped) == (pps.JOB_SUCCESS, 1, 1)
    assert bench.outputs(id) == ["/a"]


def test_an_update_that_reprocesses_runs_everything_again(bench: Bench) -> None:
    bench.create()
    bench.commit({"/a": b"1"})
    bench.hands().do_one(lambda _: {"/old": b""})
    id = bench.create(update=True, reprocessSpec="every_job")
    bench.hands(version=2).do_one(lambda _: {"/new": b""})
    assert bench.ended(id).data_processed == 1
    assert bench.outputs(id) == ["/new"]
    listed = list(bench.jobs.ListJob(pps.ListJobRequest(pipeline=pipeline(bench.name))))
    assert [one.pipeline_version for one in listed] == [2], "by default those of the version in force"
    listed = list(bench.jobs.ListJob(pps.ListJobRequest(pipeline=pipeline(bench.name), history=-1)))
    assert [one.pipeline_version for one in listed] == [2, 1, 1]


def test_a_failed_datum_fails_the_job_after_all_have_run(bench: Bench) -> None:
    bench.create(datumSetSpec={"number": 1})
    id = bench.commit({"/a": b"1", "/b": b"2"})
    failed = ""
    for _ in range(2):
        held = bench.hands().do_one(lambda datum: None if datum.inputs[0].file.path == "/a" else {"/b": b""})
        failed = held.datums[0].id if held.datums[0].inputs[0].file.path == "/a" else failed
    info = bench.ended(id)
    assert (info.state, info.reason) == (pps.JOB_FAILURE, f"datum {failed} failed")
    assert (info.data_processed, info.data_failed) == (1, 1)
    assert bench.output_error(id) == bench.output_error(id, "meta") == info.reason
    assert bench.datums(id) == {"/a": "FAILED", "/b": "SUCCESS"}
    again = bench.commit({"/c": b"3"})
    for _ in range(3):
        bench.hands().do_one()
    info = bench.ended(again)
    assert (info.state, info.data_processed, info.data_skipped) == (pps.JOB_SUCCESS, 3, 0), "no base but a good one"


def test_outputs_that_collide_fail_the_job_with_the_words_of_pfs(bench: Bench) -> None:
    bench.create()
    id = bench.commit({"/a": b"1", "/b": b"2"})
    bench.hands().do_one(lambda _: {"/same": b""})
    info = bench.ended(id)
    assert info.state == pps.JOB_FAILURE
    assert info.reason.startswith("duplicate path output by different datums (/same from ")


def test_an_input_that_failed_makes_the_job_unrunnable(bench: Bench) -> None:
    bench.create()
    id = bench.commit({"/a": b"1"}, error="bad data")
    info = bench.ended(id)
    assert info.state == pps.JOB_UNRUNNABLE
    assert info.reason == "unrunnable because the following upstream pipelines failed: in"
    assert bench.output_error(id) == info.reason


def test_jobs_of_a_pipeline_run_in_order(bench: Bench) -> None:
    bench.create()
    first, second = bench.commit({"/a": b"1"}), bench.commit({"/b": b"2"})
    hands = bench.hands()
    held = hands.lease()
    assert held is not None
    assert held.job.id == first
    assert bench.hands().lease(0.3) is None
    assert hands.complete(hands.results(held))
    assert hands.do_one().job.id == second
    assert bench.ended(second).data_skipped == 1


def test_the_first_answer_for_a_set_counts(bench: Bench) -> None:
    bench.create()
    id = bench.commit({"/a": b"1"})
    one, other = bench.hands(), bench.hands()
    held = one.lease()
    assert held is not None
    first, late = one.results(held, lambda _: {"/first": b""}), other.results(held, lambda _: {"/late": b""})
    late.lease = "somebody else's"
    assert one.complete(first)
    assert not other.complete(late)
    assert one.complete(first), "the same answer again is no error"
    info = bench.ended(id)
    assert (info.data_processed, bench.outputs(id)) == (1, ["/first"])


def test_a_new_incarnation_gets_at_once_what_the_old_one_held(bench: Bench) -> None:
    bench.create()
    id = bench.commit({"/a": b"1"})
    old = bench.hands()
    held = old.lease()
    assert held is not None
    new = bench.hands(name=old.name)
    again = new.lease()
    assert again is not None
    assert (again.job.id, again.index) == (id, 0)
    assert old.renew(held).held is False
    assert new.renew(again).held is True
    assert new.complete(new.results(again))
    assert bench.ended(id).data_processed == 1


def test_a_set_given_back_is_handed_out_again(bench: Bench) -> None:
    bench.create()
    id = bench.commit({"/a": b"1"})
    one = bench.hands()
    held = one.lease()
    assert held is not None
    given = work.ReturnSetRequest(lease=held.lease, job=held.job, index=held.index, reason="no room")
    one.stub.ReturnSet(given, metadata=one.metadata)
    assert bench.hands().do_one().index == held.index
    assert bench.ended(id).state == pps.JOB_SUCCESS


def test_stopping_a_job_takes_its_lease_and_ends_its_commits(bench: Bench) -> None:
    bench.create()
    id = bench.commit({"/a": b"1"})
    hands = bench.hands()
    held = hands.lease()
    assert held is not None
    bench.jobs.StopJob(pps.StopJobRequest(job=job(bench.name, id)))
    answer = hands.renew(held)
    assert (answer.held, answer.reason) == (False, "job stopped")
    info = bench.ended(id)
    assert (info.state, info.reason) == (pps.JOB_KILLED, "job stopped")
    assert bench.output_error(id) == bench.output_error(id, "meta") == "job stopped"
    assert not hands.complete(hands.results(held))
    bench.jobs.StopJob(pps.StopJobRequest(job=job(bench.name, id), reason="again"))
    assert bench.ended(id).reason == "job stopped"
    next_id = bench.commit({"/b": b"2"})
    hands.do_one()
    assert bench.ended(next_id).data_processed == 2


def test_a_job_times_out(bench: Bench) -> None:
    bench.create(jobTimeout="1s")
    id = bench.commit({"/a": b"1"})
    info = bench.ended(id)
    assert (info.state, info.reason) == (pps.JOB_KILLED, " jobtimed out")
    took = (info.finished.ToDatetime() - info.started.ToDatetime()).total_seconds()
    assert 1 <= took < 60


def test_an_update_kills_the_jobs_of_the_version_before(bench: Bench) -> None:
    bench.create()
    id = bench.commit({"/a": b"1"})
    assert bench.hands().lease() is not None
    bench.create(update=True)
    info = bench.ended(id)
    assert info.state == pps.JOB_KILLED
    assert info.reason.startswith("all jobs killed because pipeline was updated")


def test_deleting_a_job_forgets_it(bench: Bench) -> None:
    bench.create()
    id = bench.commit({"/a": b"1"})
    bench.hands().do_one()
    bench.ended(id)
    bench.jobs.DeleteJob(pps.DeleteJobRequest(job=job(bench.name, id)))
    with pytest.raises(grpc.RpcError) as refused:
        bench.inspect(id)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    after = bench.commit({"/b": b"2"})
    bench.hands().do_one()
    info = bench.ended(after)
    assert (info.data_processed, bench.outputs(after)) == (2, ["/a", "/b"]), "nobody vouches for the old outputs"


def test_datums_are_listed_in_pages_by_id(bench: Bench) -> None:
    bench.create()
    id = bench.commit({f"/{n}": b"1" for n in range(7)})
    bench.hands().do_one()
    bench.ended(id)

    def ids(**more: object) -> list[str]:
        request = pps.ListDatumRequest(job=job(bench.name, id), **more)  # type: ignore[arg-type]  # named below
        return [one.datum.id for one in bench.jobs.ListDatum(request)]

    everything = ids()
    assert everything == sorted(everything)
    assert len(everything) == 7
    assert ids(number=2) == everything[:2]
    assert ids(number=2, paginationMarker=everything[1]) == everything[2:4]
    assert ids(number=2, reverse=True) == everything[:-3:-1]
    assert ids(number=9, reverse=True, paginationMarker=everything[2]) == [everything[1], everything[0]]
    assert ids(filter=pps.ListDatumRequest.Filter(state=[pps.DatumState.FAILED])) == []
    found = bench.jobs.InspectDatum(pps.InspectDatumRequest(datum=pps.Datum(job=job(bench.name, id), id=everything[3])))
    assert (found.datum.id, found.state) == (everything[3], pps.DatumState.SUCCESS)
    tree = pps.Input(pfs=pps.PFSInput(name="in", repo=bench.source, glob="/*"))
    listed = [one.datum.id for one in bench.jobs.ListDatum(pps.ListDatumRequest(input=tree))]
    assert listed == everything, "an input without a pipeline gives the same datums"


def test_datums_show_while_the_job_runs(bench: Bench) -> None:
    bench.create(datumSetSpec={"number": 1})
    id = bench.commit({"/a": b"1", "/b": b"2"})
    assert bench.datums(id) == {}
    held = bench.hands().do_one()
    assert bench.datums(id) == {held.datums[0].inputs[0].file.path: "SUCCESS"}
    bench.hands().do_one()
    assert bench.ended(id).data_processed == 2


@pytest.mark.parametrize(
    ("call", "request_of", "words"),
    [
        ("InspectJob", lambda b: pps.InspectJobRequest(), "must specify a job"),
        ("InspectJob", lambda b: pps.InspectJobRequest(job=job(b.name, "f" * 32)), "not found"),
        ("DeleteJob", lambda b: pps.DeleteJobRequest(), "job cannot be nil"),
        ("InspectDatum", lambda b: pps.InspectDatumRequest(), "must specify a datum"),
        ("InspectDatum", lambda b: pps.InspectDatumRequest(datum=pps.Datum(id="x")), "must specify a job"),
        ("StopJob", lambda b: pps.StopJobRequest(job=job("nobody", "f" * 32)), "not found"),
        ("InspectJobSet", lambda b: pps.InspectJobSetRequest(), "job_set: value is required"),
        ("InspectJobSet", lambda b: pps.InspectJobSetRequest(job_set=pps.JobSet()), "must specify a job set"),
        ("UpdateJobState", lambda b: pps.UpdateJobStateRequest(), "job: value is required"),
        ("ListDatum", lambda b: pps.ListDatumRequest(job=job(b.name, "f" * 32), number=-1), "must be non-negative"),
        ("SubscribeJob", lambda b: pps.SubscribeJobRequest(), "pipeline must be specified"),
        ("SubscribeJob", lambda b: pps.SubscribeJobRequest(pipeline=job("nobody", "").pipeline), "not found"),
        ("GetLogs", lambda b: pps.GetLogsRequest(job=pps.Job()), "pipeline must be specified for the given job"),
        ("GetLogs", lambda b: pps.GetLogsRequest(job=job(b.name, "")), "must specify a job"),
        ("GetLogs", lambda b: pps.GetLogsRequest(pipeline=pps.Pipeline()), "pipeline name is required"),
        ("GetLogs", lambda b: pps.GetLogsRequest(since=Duration(seconds=-1)), "since must not be negative"),
    ],
)
def test_wrong_requests_are_refused_with_the_protocols_words(
    bench: Bench, call: str, request_of: object, words: str
) -> None:
    def answer() -> object:
        told = getattr(bench.jobs, call)(request_of(bench), timeout=120)  # type: ignore[operator]
        return list(told) if hasattr(told, "__next__") else told

    with pytest.raises(grpc.RpcError) as refused:
        answer()
    assert words in str(refused.value.details())


def test_workers_must_show_the_service_token(bench: Bench) -> None:
    hands = bench.hands()
    hands.token = "wrong"
    with pytest.raises(grpc.RpcError) as refused:
        hands.lease(0.1)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_a_waiting_worker_gets_work_soon_after_the_commit(bench: Bench, instance: Instance) -> None:
    bench.create()
    with ThreadPoolExecutor(1) as pool:
        for n in range(3):
            waiting = pool.submit(bench.hands().do_one)
            id = bench.commit({f"/{n}": b"1"})
            assert waiting.result(120).job.id == id
            assert bench.ended(id).state == pps.JOB_SUCCESS
    eventually(lambda: "internal error" not in instance.log("jobs"), "no call failed", 1)
