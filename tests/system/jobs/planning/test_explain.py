"""Answers to why: datums that ran, were skipped, failed or went away, and jobs that wait."""

from datamill.wire import explain_v1_pb2 as explain
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire.explain_v1_pb2_grpc import ExplainServiceStub
from tests.support.patience import eventually
from tests.support.servers import unique
from tests.system.jobs.hands import Bench, copy_names, job, pipeline, repo

Datum = explain.ExplainDatumResponse
Reason = explain.DatumReason
Wait = explain.JobWait


def datum(bench: Bench, id: str, of: str) -> explain.ExplainDatumResponse:
    stub = ExplainServiceStub(bench.jobs_channel)
    asked = explain.ExplainDatumRequest(job=job(bench.name, id), datum_id=of)
    found: explain.ExplainDatumResponse = stub.ExplainDatum(asked, timeout=120)
    assert found.sentence.startswith(f"datum {of} ")
    return found


def why(bench: Bench, id: str) -> explain.WhyJobResponse:
    stub = ExplainServiceStub(bench.jobs_channel)
    found: explain.WhyJobResponse = stub.WhyJob(explain.WhyJobRequest(job=job(bench.name, id)), timeout=120)
    return found


def kinds(found: explain.WhyJobResponse) -> list[str]:
    return [Wait.Kind.Name(wait.kind).removeprefix("KIND_") for wait in found.waits]


def outcome(found: explain.ExplainDatumResponse) -> tuple[str, list[str]]:
    reasons = [Reason.Kind.Name(reason.kind).removeprefix("KIND_") for reason in found.reasons]
    return Datum.Outcome.Name(found.outcome).removeprefix("OUTCOME_"), reasons


def paths(bench: Bench, id: str) -> dict[str, str]:
    """Path to datum id."""
    found = bench.jobs.ListDatum(pps.ListDatumRequest(job=job(bench.name, id)), timeout=120)
    return {info.data[0].file.path: info.datum.id for info in found}


def test_why_datums_ran(bench: Bench) -> None:
    first = bench.create()
    hands = bench.hands()
    one = bench.commit({"/a": b"a", "/b": b"b", "/c": b"c"})
    held = hands.lease()
    assert held is not None
    waiting = datum(bench, one, held.datums[0].id)
    assert (outcome(waiting), waiting.worker) == (("WAITING", ["PATH_ADDED"]), hands.name)
    assert (waiting.base_job.id, waiting.HasField("ran_in")) == (first, False)
    hands.complete(hands.results(held))
    bench.ended(one)
    ids = paths(bench, one)
    assert outcome(datum(bench, one, ids["/a"])) == ("PROCESSED", ["PATH_ADDED"])
    two = bench.commit({"/a": b"changed", "/b": None})
    hands.do_one()
    bench.ended(two)
    changed = datum(bench, two, ids["/a"])
    assert (outcome(changed), changed.base_job.id, changed.ran_in.id) == (("PROCESSED", ["CONTENT_CHANGED"]), one, two)
    (reason,) = changed.reasons
    assert (reason.input, reason.path) == ("in", "/a")
    assert len({reason.digest_before, reason.digest_now, b""}) == 3
    gone = datum(bench, two, ids["/b"])
    assert (outcome(gone), gone.reasons[0].path, gone.ran_in.id) == (("GONE", ["PATH_REMOVED"]), "/b", one)
    skipped = datum(bench, two, ids["/c"])
    assert (outcome(skipped), skipped.ran_in.id) == (("SKIPPED", ["UNCHANGED"]), one)
    again = pps.RerunPipelineRequest(pipeline=pipeline(bench.name), reprocess=True)
    bench.pipelines.RerunPipeline(again)
    bench.hands(version=2).do_one(lambda each: None if each.id == ids["/a"] else copy_names(each))
    three = bench.head()
    assert bench.ended(three).state == pps.JobState.JOB_FAILURE
    failed = datum(bench, three, ids["/a"])
    assert (outcome(failed), failed.failure) == (("FAILED", ["SALT_CHANGED"]), "it was told to fail")
    assert outcome(datum(bench, three, ids["/c"])) == ("PROCESSED", ["SALT_CHANGED"])


def test_why_a_job_waits(bench: Bench) -> None:
    bench.create()
    branch = pfs.Branch(repo=repo(bench.source), name="master")
    opened = bench.files.StartCommit(pfs.StartCommitRequest(branch=branch))
    eventually(lambda: why(bench, opened.id).state == pps.JobState.JOB_STARTING)
    found = why(bench, opened.id)
    assert kinds(found) == ["INPUT_OPEN"]
    assert (found.waits[0].commit.repo.name, found.waits[0].commit.id) == (bench.source, opened.id)
    assert found.waits[0].HasField("since")
    assert f"input commit default/{bench.source}@{opened.id} to be finished" in found.sentence
    bench.files.FinishCommit(pfs.FinishCommitRequest(commit=opened))
    bench.ended(opened.id)
    one = bench.commit({"/a": b"a"})
    two = bench.commit({"/b": b"b"})
    eventually(lambda: why(bench, one).state == pps.JobState.JOB_RUNNING)
    eventually(lambda: "SETS_OPEN" in kinds(why(bench, one)))
    nobody = eventually(lambda: (found := why(bench, one)) and "WORKERS" in kinds(found) and found)
    assert nobody
    assert "is RUNNING and waits for a worker: the pipeline is " in nobody.sentence
    (before,) = [wait for wait in why(bench, two).waits if wait.kind == Wait.Kind.KIND_JOB_BEFORE]
    assert (before.job.id, before.job_state) == (one, pps.JobState.JOB_RUNNING)
    hands = bench.hands()
    held = hands.lease()
    assert held is not None
    working = why(bench, one)
    assert (kinds(working), working.waits[0].worker, working.waits[0].datums) == (["SET_LEASED"], hands.name, 1)
    hands.complete(hands.results(held))
    bench.ended(one)
    assert (kinds(why(bench, one)), "it ended as SUCCESS" in why(bench, one).sentence) == ([], True)
    hands.do_one()
    bench.ended(two)


def test_whose_commit_a_job_waits_for(bench: Bench) -> None:
    bench.create()
    below = Bench(
        bench.pfs_channel, bench.pps_channel, bench.jobs_channel, bench.token, name=unique("p"), source=bench.name
    )
    below.create()
    id = bench.commit({"/a": b"a"})

    def awaited() -> list[tuple[str, str]]:
        opens = [wait for wait in why(below, id).waits if wait.kind == Wait.Kind.KIND_INPUT_OPEN]
        return [(wait.job.pipeline.name, wait.job.id) for wait in opens]

    eventually(lambda: awaited() == [(bench.name, id)])  # the job above may be taken in after the one below
    bench.hands().do_one()
    below.hands().do_one()
    assert below.ended(id).state == pps.JobState.JOB_SUCCESS


def test_the_job_of_a_service_waits_for_the_next(bench: Bench) -> None:
    tree = {"pfs": {"name": "in", "repo": bench.source, "glob": "/"}}
    bench.commit({"/a": b"a"})
    id = bench.create(input=tree, service={"internalPort": 8080})
    held = bench.hands().lease()
    assert held is not None
    assert held.job.id == id
    found = why(bench, id)
    assert (kinds(found), found.waits[0].sets) == (["NEXT_JOB"], 1)
    bench.jobs.StopJob(pps.StopJobRequest(job=job(bench.name, id)))
