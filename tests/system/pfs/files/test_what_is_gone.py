"""A commit that was read before, and is gone or another one now, is not read any more."""

import grpc
import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from tests.system.pfs.driver import Repo, put, refused

NOT_FOUND = grpc.StatusCode.NOT_FOUND


@pytest.fixture
def repo(pfs_channel: grpc.Channel) -> Repo:
    return Repo(pfs_channel)


def commit_of(repo: Repo, data: bytes) -> pfs.Commit:
    commit = repo.start()
    repo.modify(put("f", data), put("d/g", data), commit=commit)
    repo.finish(commit)
    return commit


def sizes(repo: Repo, commit: pfs.Commit | None = None) -> set[int]:
    """What a file and a directory are said to have, each time that one asks."""
    return {repo.inspect(path, commit).size_bytes for path in ("f", "d/") for _ in range(3)}


def gone(repo: Repo, commit: pfs.Commit) -> None:
    for _ in range(2):
        with refused(NOT_FOUND, "not found"):
            repo.inspect("f", commit)
        with refused(NOT_FOUND, "not found"):
            repo.ls("/", commit)


def test_a_dropped_head_gives_way_to_the_commit_before(repo: Repo) -> None:
    first, second = commit_of(repo, b"1"), commit_of(repo, b"1" + b"22")
    assert (sizes(repo), sizes(repo, second), sizes(repo, first)) == ({4}, {4}, {1})
    assert repo.diff(commit=second) == (4, 4)
    repo.api.DropCommit(pfs.DropCommitRequest(commit=second))
    gone(repo, second)
    assert (sizes(repo), sizes(repo, first)) == ({1}, {1})
    assert repo.diff() == (4, 0)


def test_a_squashed_commit_is_gone_and_its_child_has_another_parent(repo: Repo) -> None:
    first, second = commit_of(repo, b"1"), commit_of(repo, b"1" + b"22")
    assert (sizes(repo, first), repo.diff(commit=second)) == ({1}, (4, 4))
    repo.api.SquashCommit(pfs.SquashCommitRequest(commit=first))
    gone(repo, first)
    assert (sizes(repo, second), repo.diff(commit=second)) == ({4}, (4, 0))


def test_a_branch_that_moves_is_read_where_it_is(repo: Repo) -> None:
    first, second = commit_of(repo, b"1"), commit_of(repo, b"22")
    assert sizes(repo) == {3}
    for head, size in ((first, 1), (second, 3), (first, 1)):
        repo.api.CreateBranch(pfs.CreateBranchRequest(branch=repo.branch, head=head))
        assert sizes(repo) == {size}


def test_a_repo_made_anew_has_nothing_of_the_one_before(repo: Repo) -> None:
    old = commit_of(repo, b"1")
    assert sizes(repo) == {1}
    repo.api.DeleteRepo(pfs.DeleteRepoRequest(repo=repo.wire))
    with refused(NOT_FOUND, "not found"):
        repo.inspect("f")
    repo.api.CreateRepo(pfs.CreateRepoRequest(repo=repo.wire))
    gone(repo, old)
    new = commit_of(repo, b"22")
    gone(repo, old)
    assert (sizes(repo), sizes(repo, new)) == ({2}, {2})


def test_writes_to_an_open_commit_show_one_by_one(repo: Repo) -> None:
    commit_of(repo, b"1")
    commit = repo.start()
    for size in range(2, 6):
        repo.modify(put("f", b"x"), commit=commit)
        assert {repo.inspect("f", commit).size_bytes for _ in range(3)} == {size}
