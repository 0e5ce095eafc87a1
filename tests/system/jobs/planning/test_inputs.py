"""What starts a job and what it reads: triggers, branches that start none, references, meta repos, no input at all."""

from dataclasses import replace
from typing import Any

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from tests.support.servers import unique
from tests.system.jobs.hands import Bench, repo

SUCCESS = pps.JobState.JOB_SUCCESS


def jobs(bench: Bench) -> list[pps.JobInfo]:
    asked = pps.ListJobRequest(pipeline=pps.Pipeline(name=bench.name), history=-1)
    return list(bench.jobs.ListJob(asked, timeout=120))


def other(bench: Bench) -> Bench:
    """Another input repo beside the bench's."""
    second = replace(bench, source=unique("in"))
    second.files.CreateRepo(pfs.CreateRepoRequest(repo=repo(second.source)))
    return second


def leaf(bench: Bench, name: str, **more: Any) -> dict[str, Any]:
    return {"pfs": {"name": name, "repo": bench.source, "glob": "/*", **more}}


def test_a_trigger_starts_jobs_by_what_has_gathered(bench: Bench) -> None:
    """The repo has no branch yet when the pipeline is made; an update goes on with the branch that follows."""
    tree = leaf(bench, "in", trigger={"size": "1K"})
    assert bench.ended(bench.create(input=tree)).state == SUCCESS
    asked = pps.InspectPipelineRequest(pipeline=pps.Pipeline(name=bench.name), details=True)
    told: pps.PipelineInfo = bench.pipelines.InspectPipeline(asked)
    assert told.details.input.pfs.branch == f"{bench.name}-trigger-1"
    assert told.details.input.pfs.trigger == pfs.Trigger(branch="master", size="1K")
    first = bench.commit({"/a": b"a" * 600})
    second = bench.commit({"/b": b"b" * 600})
    held = bench.hands().do_one()
    assert [one.inputs[0].file.path for one in held.datums] == ["/a", "/b"]
    assert held.job.id not in (first, second)
    assert bench.ended(held.job.id).state == SUCCESS
    assert len(jobs(bench)) == 2
    bench.ended(bench.create(input=tree, update=True))
    branches = bench.files.ListBranch(pfs.ListBranchRequest(repo=repo(bench.source)))
    assert {info.branch.name for info in branches} == {"master", f"{bench.name}-trigger-1"}


def test_a_branch_that_starts_nothing_is_read_by_later_jobs(bench: Bench) -> None:
    quiet = other(bench)
    quiet.commit({"/q": b"1"})
    tree = {"cross": [leaf(bench, "in"), leaf(quiet, "quiet", propagationSpec={"never": True})]}
    bench.ended(bench.create(input=tree))
    newest = quiet.commit({"/q": b"2"})
    id = bench.commit({"/a": b"a"})
    held = bench.hands().do_one()
    assert held.job.id == id
    assert [one.file.path for one in held.datums[0].inputs] == ["/a", "/q"]
    assert held.datums[0].inputs[1].file.commit.id == newest
    assert bench.ended(id).state == SUCCESS
    assert len(jobs(bench)) == 2


def test_a_change_of_a_reference_alone_runs_nothing_again(bench: Bench) -> None:
    beside = other(bench)
    beside.commit({"/model": b"1"})
    bench.create(input={"cross": [leaf(bench, "in"), leaf(beside, "model", reference=True)]})
    bench.commit({"/a": b"a"})
    bench.hands().do_one()
    id = beside.commit({"/model": b"2"})
    info = bench.ended(id)
    assert (info.state, info.data_skipped, info.data_processed) == (SUCCESS, 1, 0)


def test_a_meta_repo_is_read_at_the_commit_beside_the_output(bench: Bench) -> None:
    bench.create()
    bench.commit({"/a": b"a"})
    above = bench.hands()
    above.do_one()
    reader = replace(bench, name=unique("p"), source=bench.name)
    id = reader.create(input=leaf(reader, "in", repoType="meta", glob="/meta/*"))
    held = reader.hands().do_one()
    assert held.job.id == id
    (datum,) = held.datums
    assert (datum.inputs[0].file.commit.repo.type, datum.inputs[0].file.path[:6]) == ("meta", "/meta/")
    assert reader.ended(id).state == SUCCESS
    again = bench.commit({"/b": b"b"})
    above.do_one()
    held = reader.hands().do_one()
    assert (held.job.id, len(held.datums)) == (again, 1)
    branch = pfs.Branch(repo=repo(reader.name), name="master")
    info: pfs.BranchInfo = reader.files.InspectBranch(pfs.InspectBranchRequest(branch=branch))
    assert {(one.repo.name, one.repo.type) for one in info.direct_provenance} == {
        (bench.name, "user"),
        (reader.name, "spec"),
    }


def test_without_an_input_there_is_a_job_of_no_datums(bench: Bench) -> None:
    for step, tree in enumerate((None, leaf(bench, "in"), None)):
        info = bench.ended(bench.create(input=tree, update=step > 0))
        assert (info.state, info.data_total) == (SUCCESS, 0)
    assert len(jobs(bench)) == 3


def test_two_names_for_one_branch_and_alternatives_that_coincide(bench: Bench) -> None:
    tree = {"union": [{"cross": [leaf(bench, "x"), leaf(bench, "y")]}, leaf(bench, "z"), leaf(bench, "z")]}
    bench.create(input=tree)
    id = bench.commit({"/a": b"a", "/b": b"b"})
    held = bench.hands().do_one()
    found = sorted([(one.name, one.file.path) for one in datum.inputs] for datum in held.datums)
    crossed = [[("x", a), ("y", b)] for a in ("/a", "/b") for b in ("/a", "/b")]
    assert found == [*crossed, [("z", "/a")], [("z", "/b")]]
    assert bench.ended(id).data_total == 6
