"""Two jobs of one pipeline at once: what the second surely has to do is done beside the first, the rest after it."""

import pytest

from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import work_v1_pb2 as work
from tests.support.patience import eventually
from tests.system.jobs.conftest import Instance
from tests.system.jobs.hands import Bench, Outputs, job
from tests.system.jobs.lives.test_crashes import patiently
from tests.system.jobs.lives.test_rules import but, counts, path_of, ran
from tests.system.jobs.planning.test_explain import datum, kinds, outcome, why

TWO = {"parallelismSpec": {"constant": 2}}


def leased(bench: Bench) -> tuple[work.DatumSet, str, list[str]]:
    """A set, its job's id, and the paths of its datums."""
    held = patiently(lambda: bench.hands().lease())
    assert isinstance(held, work.DatumSet)
    return held, held.job.id, sorted(map(path_of, held.datums))


def named(suffix: str) -> Outputs:
    return lambda datum: {path_of(datum) + suffix: b""}


def complete(bench: Bench, held: work.DatumSet, outputs: Outputs) -> None:
    hands = bench.hands()
    request = hands.results(held, outputs)
    assert patiently(lambda: hands.complete(request))


def state(bench: Bench, id: str) -> str:
    return pps.JobState.Name(bench.inspect(id).state)


@pytest.mark.parametrize("killed", [False, True])
def test_new_datums_run_beside_the_job_before(bench: Bench, instance: Instance, killed: bool) -> None:
    """killed: Jobs is, between the two plans of the second job."""
    bench.create(**TWO)
    first = bench.commit({"/gone": b"1", "/same": b"2", "/changed": b"3"})
    held, id, paths = leased(bench)
    assert (id, paths) == (first, ["/changed", "/gone", "/same"])
    second = bench.commit({"/gone": None, "/changed": b"4", "/new": b"5"})
    beside, id, paths = leased(bench)
    assert (id, paths) == (second, ["/new"])
    assert outcome(datum(bench, second, beside.datums[0].id)) == ("WAITING", ["PATH_ADDED"])
    assert kinds(why(bench, second)) == ["SET_LEASED", "JOB_BEFORE"]
    assert [state(bench, id) for id in (first, second)] == ["JOB_RUNNING"] * 2
    third = bench.commit({"/last": b"6"})
    complete(bench, beside, named("-2"))
    info = eventually(lambda: found if (found := bench.inspect(second)).data_processed else None)
    assert info is not None
    assert (info.state, info.data_total, info.data_skipped) == (pps.JOB_RUNNING, 3, 0)
    assert bench.datums(second) == {"/new": "SUCCESS"}
    (wait,) = why(bench, second).waits
    assert (kinds(why(bench, second)), wait.job.id) == (["JOB_BEFORE"], first)
    if killed:
        instance.restart("jobs")
    assert eventually(lambda: state(bench, third)) == "JOB_CREATED", "no more are in flight than there are workers"
    complete(bench, held, named("-1"))
    assert counts(bench.ended(first)) == (3, 0, 0, 0)
    found = {id: (held, paths) for held, id, paths in (leased(bench), leased(bench))}
    assert {id: paths for id, (_, paths) in found.items()} == {second: ["/changed"], third: ["/last"]}
    complete(bench, found[second][0], named("-2"))
    info = bench.ended(second)
    assert (info.state, counts(info), info.restart) == (pps.JOB_SUCCESS, (2, 1, 0, 0), int(killed))
    assert bench.outputs(first) == ["/changed-1", "/gone-1", "/same-1"]
    assert bench.outputs(second) == ["/changed-2", "/new-2", "/same-1"]
    assert len(bench.outputs(second, "meta")) == 3
    assert bench.datums(second) == {"/new": "SUCCESS", "/changed": "SUCCESS", "/same": "SKIPPED"}
    complete(bench, found[third][0], named("-3"))
    assert counts(bench.ended(third)) == (1, 3, 0, 0)
    assert bench.outputs(third) == ["/changed-2", "/last-3", "/new-2", "/same-1"]


@pytest.mark.parametrize("stopped", [False, True])
def test_when_the_job_before_ends_badly_an_older_one_is_the_base(bench: Bench, stopped: bool) -> None:
    bench.create(**TWO)
    good = bench.commit({"/a": b"1", "/old": b"2", "/back": b"3"})
    ran(bench, named("-0"))
    bench.ended(good)
    bad = bench.commit({"/a": b"4", "/b": b"5", "/back": None})
    held, id, paths = leased(bench)
    assert (id, paths) == (bad, ["/a", "/b"])
    last = bench.commit({"/c": b"6", "/back": b"3"})
    beside, id, paths = leased(bench)
    assert (id, paths) == (last, ["/c"]), "what the last good job has done may yet be skipped"
    complete(bench, beside, named("-2"))
    if stopped:
        bench.jobs.StopJob(pps.StopJobRequest(job=job(bench.name, bad)))
    else:
        complete(bench, held, but(b=None))
    assert bench.ended(bad).state == (pps.JOB_KILLED if stopped else pps.JOB_FAILURE)
    held, id, paths = leased(bench)
    assert (id, paths) == (last, ["/a", "/b"])
    complete(bench, held, named("-2"))
    info = bench.ended(last)
    assert (info.state, counts(info)) == (pps.JOB_SUCCESS, (3, 2, 0, 0))
    assert bench.outputs(last) == ["/a-2", "/b-2", "/back-0", "/c-2", "/old-0"]


def test_a_datum_that_fails_beside_the_job_before_ends_the_job(bench: Bench) -> None:
    bench.create(**TWO)
    first = bench.commit({"/a": b"1"})
    held, _, _ = leased(bench)
    second = bench.commit({"/a": b"2", "/b": b"3", "/c": b"4"})
    beside, id, paths = leased(bench)
    assert (id, paths) == (second, ["/b", "/c"])
    complete(bench, beside, but(b=None))
    info = bench.ended(second)
    assert (info.state, info.data_total, info.data_processed, info.data_failed) == (pps.JOB_FAILURE, 3, 1, 1)
    assert state(bench, first) == "JOB_RUNNING"
    third = bench.commit({"/b": None})
    beside, id, paths = leased(bench)
    assert (id, paths) == (third, ["/c"]), "the first is its base"
    complete(bench, beside, named("-3"))
    complete(bench, held, named("-1"))
    assert ran(bench, named("-3")) == ["/a"]
    assert counts(bench.ended(third)) == (2, 0, 0, 0)
    assert (bench.outputs(first), bench.outputs(third)) == (["/a-1"], ["/a-3", "/c-3"])


def test_an_update_kills_all_that_run(bench: Bench) -> None:
    empty = bench.create(**TWO)
    running = [bench.commit({f"/{number}": b""}) for number in range(2)]
    held = [leased(bench)[:2] for _ in running]
    assert sorted(id for _, id in held) == sorted(running)
    assert [state(bench, id) for id in running] == ["JOB_RUNNING"] * 2
    updated = bench.create(**TWO, update=True)
    for id in running:
        info = bench.ended(id)
        assert info.state == pps.JOB_KILLED
        assert info.reason.startswith("all jobs killed because pipeline was updated for user")
    assert ran(bench, version=2) == ["/0", "/1"]
    assert bench.ended(updated).state == bench.ended(empty).state == pps.JOB_SUCCESS
    request = pps.ListJobRequest(pipeline=pps.Pipeline(name=bench.name), history=-1)
    listed = bench.jobs.ListJob(request, timeout=120)
    assert [info.job.id for info in listed] == [updated, *reversed(running), empty]


def test_a_third_job_need_not_wait_for_the_first(bench: Bench) -> None:
    """What it builds on awaits its own base still, and may not come to its end."""
    bench.create(parallelismSpec={"constant": 4})
    ids = [bench.commit({f"/{number}": b"", "/all": b"%d" % number}) for number in range(4)]
    held = {id: (one, paths) for one, id, paths in (leased(bench) for _ in ids)}
    assert {id: paths for id, (_, paths) in held.items()} == {
        id: [f"/{number}", *(["/all"] if number == 0 else [])] for number, id in enumerate(ids)
    }
    assert [state(bench, id) for id in ids] == ["JOB_RUNNING"] * 4
    for number in (3, 1, 0):
        complete(bench, held[ids[number]][0], named(f"-{number}"))
    assert bench.ended(ids[0]).state == pps.JOB_SUCCESS
    assert ran(bench, named("-1")) == ["/all"]
    assert bench.ended(ids[1]).state == pps.JOB_SUCCESS
    bench.jobs.StopJob(pps.StopJobRequest(job=job(bench.name, ids[2])))
    rest, id, paths = leased(bench)
    assert (id, paths) == (ids[3], ["/2", "/all"])
    complete(bench, rest, named("-3"))
    assert counts(bench.ended(ids[3])) == (3, 2, 0, 0)
    assert bench.outputs(ids[3]) == ["/0-0", "/1-1", "/2-3", "/3-3", "/all-3"]


def test_nothing_runs_beside_a_job_behind_which_is_what_nobody_vouches_for(bench: Bench) -> None:
    bench.create(**TWO)
    deleted = bench.commit({"/back": b"1"})
    ran(bench, named("-0"))
    bench.ended(deleted)
    bench.jobs.DeleteJob(pps.DeleteJobRequest(job=job(bench.name, deleted)))
    bad = bench.commit({"/back": None, "/a": b"2"})
    held, id, _ = leased(bench)
    assert id == bad
    last = bench.commit({"/back": b"1"})
    assert eventually(lambda: kinds(why(bench, last)) == ["JOB_BEFORE"])
    assert bench.hands().lease(2) is None, "should the job before fail, all of the deleted job's outputs go"
    complete(bench, held, but(a=None))
    assert ran(bench, named("-0")) == ["/a", "/back"]
    assert bench.ended(last).state == pps.JOB_SUCCESS
    assert bench.outputs(last) == ["/a-0", "/back-0"]
