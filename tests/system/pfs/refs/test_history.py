"""Searching the history of a file, and forgetting a part of it."""

from typing import Any

import grpc
from google.rpc.error_details_pb2 import ResourceInfo
from google.rpc.status_pb2 import Status

from datamill.wire import pfs_v2_pb2 as pfs
from tests.system.pfs.driver import Change, Repo, at, delete, finished, head, link, put, refused

UNKNOWN, UNAVAILABLE = grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE


def commit(repo: Repo, *changes: Change, error: str = "") -> str:
    made = repo.start()
    if changes:
        repo.modify(*changes, commit=made)
    repo.finish(made, error)
    return str(made.id)


def find(repo: Repo, id: str, path: str, limit: int = 0) -> list[tuple[str, str, int]]:
    request = pfs.FindCommitsRequest(start=pfs.Commit(repo=repo.wire, id=id), file_path=path, limit=limit)
    found = []
    for one in repo.api.FindCommits(request, timeout=120):
        kind = str(one.WhichOneof("result"))
        found.append((kind.partition("_")[0], getattr(one, kind).id, one.commits_searched))
    return found


def test_commits_that_touched_a_file_are_found_newest_first(a: Repo) -> None:
    first = commit(a, put("/f", b"1"))
    commit(a, put("/other", b"1"))
    third = commit(a, delete("/f"), put("/f", b"2"))
    fourth = commit(a, delete("/f"))
    everything = [("found", fourth, 0), ("found", third, 1), ("found", first, 3), ("last", first, 4)]
    assert find(a, "master", "/f") == everything
    assert find(a, fourth, "f", limit=2) == [*everything[:2], ("last", third, 2)]
    assert find(a, third, "/nothing") == [("last", first, 3)]
    assert find(a, third, "/f/") == find(a, third, "/f")
    a.api.DeleteBranch(pfs.DeleteBranchRequest(branch=a.branch))
    assert find(a, fourth, "/f") == everything


def test_a_commit_that_left_a_file_as_it_was_did_not_touch_it(a: Repo) -> None:
    """What it holds counts, not that it was written: docs/differences.md."""
    first = commit(a, put("/f", b"1"))
    commit(a, delete("/f"), put("/f", b"1"), put("/other", b"2"))
    third = commit(a, delete("/f"), put("/f", b"2"))
    fourth = commit(a, delete("/f"), put("/f", b"1"))
    assert find(a, "master", "/f") == [
        ("found", fourth, 0), ("found", third, 1), ("found", first, 3), ("last", first, 4),
    ]  # fmt: skip


def test_errored_commits_are_found_by_what_they_wrote(a: Repo) -> None:
    first = commit(a, put("/f", b"1"))
    bad = commit(a, put("/f", b"2"), error="no good")
    third = commit(a, put("/g", b"3"))
    assert find(a, third, "/f") == [("found", bad, 1), ("found", first, 2), ("last", first, 3)]


def test_a_search_from_an_open_commit_says_which_one_is_open(a: Repo) -> None:
    opened = a.start()
    with refused(UNAVAILABLE, f"commit default/{a.name}@{opened.id} not finished") as caught:
        find(a, opened.id, "/f")
    error: Any = caught.value
    trailers = dict(error.trailing_metadata())
    status, info = Status.FromString(trailers["grpc-status-details-bin"]), ResourceInfo()
    assert status.code == UNAVAILABLE.value[0]
    assert status.details[0].Unpack(info)
    assert (info.resource_type, info.resource_name, info.description) == (
        "pfs:commit", opened.id, "commit not finished",
    )  # fmt: skip
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "validate recv: start: value is required"):
        list(a.api.FindCommits(pfs.FindCommitsRequest(file_path="/f")))


def forget(repo: Repo, id: str) -> None:
    repo_picker = pfs.RepoPicker(
        name=pfs.RepoPicker.RepoName(project=pfs.ProjectPicker(name="default"), name=repo.name, type="user")
    )
    picker = pfs.CommitPicker(id=pfs.CommitPicker.CommitByGlobalId(repo=repo_picker, id=id))
    repo.api.ForgetCommit(pfs.ForgetCommitRequest(commit=picker))


def outputs(above: Repo, below: Repo, count: int) -> list[str]:
    """So many finished commits of an output, each with a file of its own."""
    link(below, above)
    below.finish(head(below).commit)
    found = []
    for number in range(count):
        finished(above)
        opened = head(below).commit
        below.modify(put(f"/f{number}", b"data"), commit=opened)
        below.finish(opened)
        found.append(opened.id)
    return found


def test_a_forgotten_commit_keeps_its_place_and_loses_its_data(a: Repo, b: Repo) -> None:
    ids = outputs(a, b, 3)
    gone = pfs.Commit(repo=b.wire, id=ids[1])
    before = at(b, ids[1])
    with refused(UNKNOWN, "Forget Commit: the commit to be forgotten must be in an output repo"):
        forget(a, ids[1])
    text = "Forget Commit: list branch in transaction: for each branch: the branch head cannot be a forgotten commit"
    with refused(UNKNOWN, text):
        forget(b, ids[2])
    assert b.walk(commit=pfs.Commit(repo=b.wire, id=ids[2]))
    forget(b, ids[1])
    forget(b, ids[1])
    assert [*map(str, at(b, ids[1]).direct_provenance)] == [*map(str, before.direct_provenance)]
    for kind in (pfs.GetFileSetRequest.TOTAL, pfs.GetFileSetRequest.DIFF):
        with refused(UNKNOWN, "get file set: the commit is forgotten"):
            b.api.GetFileSet(pfs.GetFileSetRequest(commit=gone, type=kind))
    with refused(UNKNOWN, "get file: the commit is forgotten"):
        b.read("/f1", gone)
    assert b.walk() == ["/", "/f0", "/f1", "/f2"]
    with refused(UNKNOWN, text.removeprefix("Forget Commit: ")):
        b.api.CreateBranch(pfs.CreateBranchRequest(branch=b.branch, head=gone, provenance=[a.branch]))
    with refused(UNKNOWN, text.removeprefix("Forget Commit: ")):
        b.api.DropCommit(pfs.DropCommitRequest(commit=pfs.Commit(repo=b.wire, id=ids[2])))
    other = pfs.Branch(repo=b.wire, name="other")
    with refused(UNKNOWN, "the commit is forgotten"):
        b.api.StartCommit(pfs.StartCommitRequest(branch=other, parent=gone))
    assert find(b, ids[2], "/f2")[0] == ("found", ids[2], 0)
    assert list(b.api.Fsck(pfs.FsckRequest())) == []


def test_children_must_be_finished_and_good(a: Repo, b: Repo) -> None:
    ids = outputs(a, b, 1)
    opened = a.start()
    with refused(UNKNOWN, "Forget Commit: direct descendants must be closed"):
        forget(b, ids[0])
    a.finish(opened)
    b.finish(head(b).commit, error="no good")
    with refused(UNKNOWN, f"Forget Commit: errored commit default/{b.name}@{opened.id} shows the data of"):
        forget(b, ids[0])
