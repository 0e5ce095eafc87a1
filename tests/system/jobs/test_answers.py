"""Answers that are not what a worker was asked for: refused in words, and nothing changes by them.

Elsewhere: several good answers for one set (lives/test_replicas.py); lost workers (lives/test_lost_workers.py).
"""

from collections.abc import Callable
from dataclasses import replace

import grpc
import pytest

from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import work_v1_pb2 as work
from tests.system.jobs.hands import Bench, job
from tests.system.jobs.lives.test_crashes import check, files

MADE_UP = "f" * 64
Change = Callable[[work.CompleteSetRequest], None]


def renamed(request: work.CompleteSetRequest) -> None:
    request.results[0].datum_id = MADE_UP


def one_more(request: work.CompleteSetRequest) -> None:
    request.results.add(datum_id=MADE_UP, state=pps.DatumState.SUCCESS)


def one_twice(request: work.CompleteSetRequest) -> None:
    request.results.add().CopyFrom(request.results[0])


def none(request: work.CompleteSetRequest) -> None:
    del request.results[:]


def unfinished(request: work.CompleteSetRequest) -> None:
    request.results[0].state = pps.DatumState.STARTING


def set_nobody_has(request: work.CompleteSetRequest) -> None:
    request.index = 7


def set_beyond_numbers(request: work.CompleteSetRequest) -> None:
    request.index = 2**64 - 1


def other_pipeline(request: work.CompleteSetRequest) -> None:
    request.job.pipeline.name = "nobody-made-this"


def other_job(request: work.CompleteSetRequest) -> None:
    request.job.id = "0" * 12 + "4" + "0" * 19


def no_file_set(request: work.CompleteSetRequest) -> None:
    request.output_file_set_id = "0" * 12 + "4" + "0" * 19


def no_file_set_id(request: work.CompleteSetRequest) -> None:
    request.meta_file_set_id = "../../etc\0passwd"


REFUSED: list[tuple[Change, str, str]] = [
    (renamed, "INVALID_ARGUMENT", "results are for 1 datums, the set has 1; missing: ["),
    (one_more, "INVALID_ARGUMENT", "results are for 2 datums, the set has 1"),
    (one_twice, "INVALID_ARGUMENT", "results are for 2 datums, the set has 1"),
    (none, "INVALID_ARGUMENT", "results are for 0 datums, the set has 1; missing: ["),
    (unfinished, "INVALID_ARGUMENT", "has no final state"),
    (set_nobody_has, "NOT_FOUND", "has no datum set 7"),
    (set_beyond_numbers, "NOT_FOUND", "has no datum set 18446744073709551615"),
    (other_pipeline, "NOT_FOUND", "not found"),
    (other_job, "NOT_FOUND", "not found"),
    (no_file_set, "FAILED_PRECONDITION", "is not there any more; the datum set is handed out again"),
    (no_file_set_id, "FAILED_PRECONDITION", "is not there any more; the datum set is handed out again"),
]


def test_wrong_answers_are_refused_and_change_nothing(bench: Bench) -> None:
    bench.create(datumSetSpec={"number": 1})
    id = bench.commit(files(1))
    for change, code, text in REFUSED:
        hands = bench.hands()
        held = hands.lease()
        assert held is not None, change.__name__
        good = hands.results(held)
        wrong = work.CompleteSetRequest.FromString(good.SerializeToString())
        change(wrong)
        with pytest.raises(grpc.RpcError) as refused:
            hands.complete(wrong)
        assert refused.value.code().name == code, (change.__name__, refused.value.details())
        assert text in (refused.value.details() or ""), change.__name__
        info = bench.inspect(id)
        assert (info.state, info.data_processed, info.data_failed) == (pps.JOB_RUNNING, 0, 0), change.__name__
        assert bench.outputs(id) + bench.outputs(id, "meta") == [], change.__name__
        hands.stub.ReturnSet(
            work.ReturnSetRequest(lease=held.lease, job=held.job, index=held.index, reason=change.__name__),
            metadata=hands.metadata,
            timeout=60,
        )
    bench.hands().do_one()
    check(bench, id, 1)


def test_whoever_has_no_token_is_refused(bench: Bench) -> None:
    bench.create()
    id = bench.commit(files(1))
    held = bench.hands().lease()
    assert held is not None
    stranger = replace(bench.hands(), token="guessed")
    answer = bench.hands().results(held)
    calls = (lambda: stranger.complete(answer), lambda: stranger.lease(1), lambda: stranger.renew(held))
    for call in calls:
        with pytest.raises(grpc.RpcError) as refused:
            call()
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert bench.hands().complete(bench.hands().results(held))
    check(bench, id, 1)


def test_a_worker_of_an_old_version_gets_nothing_and_its_answer_counts_no_more(bench: Bench) -> None:
    bench.create(datumSetSpec={"number": 1})
    before = bench.commit(files(1))
    old = bench.hands()
    held = old.lease()
    assert held is not None
    answer = old.results(held, lambda _: {"/old": b"old"})
    after = bench.create(datumSetSpec={"number": 1}, update=True)
    ended = bench.ended(before)
    assert ended.state == pps.JOB_KILLED
    renewed = old.renew(held)
    assert (renewed.held, renewed.reason) == (False, ended.reason)
    assert not old.complete(answer)
    assert bench.inspect(before) == ended
    assert old.lease(1) is None, "sets of the new version are for its own workers"
    bench.hands(2).do_one()
    check(bench, after, 1)


def test_an_answer_after_its_job_was_deleted(bench: Bench) -> None:
    bench.create()
    id = bench.commit(files(1))
    hands = bench.hands()
    held = hands.lease()
    assert held is not None
    answer = hands.results(held)
    bench.jobs.DeleteJob(pps.DeleteJobRequest(job=job(bench.name, id)))
    with pytest.raises(grpc.RpcError) as refused:
        hands.complete(answer)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert not hands.renew(held).held


def test_a_good_answer_that_is_repeated_counts_once(bench: Bench) -> None:
    bench.create(datumSetSpec={"number": 1})
    id = bench.commit(files(2))
    hands = bench.hands()
    held = hands.lease()
    assert held is not None
    answer = hands.results(held)
    assert [hands.complete(answer) for _ in range(3)] == [True] * 3
    assert bench.inspect(id).data_processed == 1
    hands.do_one()
    check(bench, id, 2)
    ended = bench.inspect(id)
    hands.complete(answer)
    assert bench.inspect(id) == ended
