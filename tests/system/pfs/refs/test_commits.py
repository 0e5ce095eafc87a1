"""Commits of one repo: states, ancestry, listing, waiting, subscribing, deleting."""

import threading
from typing import Any

import grpc

from datamill.wire import pfs_v2_pb2 as pfs
from tests.system.pfs.driver import Repo, at, commits, finished, head, link, put, refused

UNKNOWN = grpc.StatusCode.UNKNOWN
NOBODY = "0" * 12 + "4" + "0" * 19


def test_a_commit_goes_from_started_to_finished(a: Repo) -> None:
    commit = a.start()
    assert not commit.HasField("branch")
    open_info = head(a)
    assert (open_info.commit.id, open_info.origin.kind) == (commit.id, pfs.OriginKind.USER)
    assert not open_info.HasField("finished")
    assert open_info.details == pfs.CommitInfo.Details()
    with refused(UNKNOWN, f"parent commit default/{a.name}@{commit.id} has not been finished"):
        a.start()
    a.modify(put("/x", b"12345"), commit=commit)
    assert a.finish(commit).details.size_bytes == 5
    with refused(UNKNOWN, f"commit default/{a.name}@{commit.id} has already finished"):
        a.finish(commit)
    assert a.api.InspectRepo(pfs.InspectRepoRequest(repo=a.wire)).details.size_bytes == 5


def test_ancestry_and_listing(a: Repo) -> None:
    ids = [finished(a) for _ in range(4)]
    for text, wanted in (("master^", 2), ("master~3", 0), ("master^^", 1), ("master.1", 0), (ids[3] + "^2", 1)):
        assert at(a, text).commit.id == ids[wanted]
    split = pfs.Commit(repo=a.wire, branch=a.branch, id="^2")
    assert a.api.InspectCommit(pfs.InspectCommitRequest(commit=split)).commit.id == ids[1]
    assert at(a, ids[0].upper()).commit.id == ids[0]
    with refused(UNKNOWN, "invalid offset for ancestor of commit"):
        at(a, "master^4")
    assert commits(a) == ids[::-1]
    assert commits(a, reverse=True) == ids
    assert commits(a, number=2) == ids[:1:-1]
    span = {"to": pfs.Commit(repo=a.wire, id=ids[2]), "from": pfs.Commit(repo=a.wire, id=ids[0])}
    assert commits(a, **span) == [ids[2], ids[1]]
    with refused(UNKNOWN, "cannot use `from` commit without `to` commit"):
        commits(a, **{"from": span["from"]})


def test_waiting_ends_with_the_state_and_with_deletion(a: Repo) -> None:
    commit = a.start()
    ended = list[Any]()

    def wait() -> None:
        try:
            ended.append(a.wait(commit))
        except grpc.RpcError as error:
            ended.append(error)

    for last in (lambda: a.finish(commit), lambda: a.api.DeleteRepo(pfs.DeleteRepoRequest(repo=a.wire, force=True))):
        ended.clear()
        waiting = threading.Thread(target=wait)
        waiting.start()
        last()
        waiting.join(120)
        assert len(ended) == 1
        if isinstance(ended[0], pfs.CommitInfo):
            assert ended[0].HasField("finished")


def test_subscribers_get_every_commit_once_in_order(a: Repo) -> None:
    first = finished(a)
    request = pfs.SubscribeCommitRequest(repo=a.wire, branch="master", state=pfs.CommitState.FINISHED)
    stream = a.api.SubscribeCommit(request, timeout=120)
    assert next(stream).commit.id == first
    later = [finished(a) for _ in range(3)]
    assert [next(stream).commit.id for _ in later] == later
    stream.cancel()


def test_squash_keeps_the_data_and_drop_takes_it_back(a: Repo) -> None:
    ids = []
    for path in ("/1", "/2", "/3"):
        commit = a.start()
        a.modify(put(path, b"x"), commit=commit)
        a.finish(commit)
        ids.append(commit.id)
    with refused(UNKNOWN, "use the drop operation instead"):
        a.api.SquashCommitSet(pfs.SquashCommitSetRequest(commit_set=pfs.CommitSet(id=ids[2])))
    with refused(UNKNOWN, "cannot drop a commit that has children"):
        a.api.DropCommitSet(pfs.DropCommitSetRequest(commit_set=pfs.CommitSet(id=ids[0])))
    a.api.SquashCommitSet(pfs.SquashCommitSetRequest(commit_set=pfs.CommitSet(id=ids[1])))
    assert commits(a) == [ids[2], ids[0]]
    assert head(a).parent_commit.id == ids[0]
    assert [info.file.path for info in a.api.GlobFile(pfs.GlobFileRequest(commit=a.head, pattern="/*"))] == [
        "/1",
        "/2",
        "/3",
    ]
    a.api.DropCommitSet(pfs.DropCommitSetRequest(commit_set=pfs.CommitSet(id=ids[2])))
    assert head(a).commit.id == ids[0]
    a.api.DropCommitSet(pfs.DropCommitSetRequest(commit_set=pfs.CommitSet(id=NOBODY)))


def test_squash_keeps_data_that_only_errored_commits_follow(a: Repo) -> None:
    """The next commit would begin without it."""

    def one(path: str, error: str = "") -> pfs.Commit:
        commit = a.start()
        a.modify(put(path, b"x"), commit=commit)
        a.finish(commit, error)
        return commit

    good, bad, worse = one("/good"), one("/bad", "no good"), one("/worse", "worse")
    squash = pfs.SquashCommitRequest(commit=good)
    with refused(
        UNKNOWN, f"only errored commits follow it, which do not keep its data; drop commit {a.name_of(worse)} first"
    ):
        a.api.SquashCommit(squash)
    later = a.start()
    with refused(UNKNOWN, f"cannot squash until commit {a.name_of(later)} is finished, which builds on its data"):
        a.api.SquashCommit(squash)
    a.finish(later)
    a.api.SquashCommit(squash)
    a.api.SquashCommit(pfs.SquashCommitRequest(commit=bad))
    assert (a.glob("*"), commits(a)) == (["/good"], [later.id, worse.id])


def test_dropping_the_only_commit_leaves_an_empty_one(a: Repo, b: Repo) -> None:
    id = finished(a)
    link(b, a)
    a.api.DropCommit(pfs.DropCommitRequest(commit=pfs.Commit(repo=a.wire, id=id), recursive=True))
    empty, below = head(a), head(b)
    assert empty.commit.id not in {id, ""}
    assert (empty.origin.kind, empty.HasField("finished")) == (pfs.OriginKind.AUTO, True)
    assert not below.HasField("finished")
    assert [one.id for one in below.direct_provenance] == [empty.commit.id]
    assert commits(a) == [empty.commit.id]


def test_a_parent_may_be_named_and_a_fork_moves_the_head(a: Repo) -> None:
    first, _ = finished(a), finished(a)
    request = pfs.StartCommitRequest(branch=a.branch, parent=pfs.Commit(repo=a.wire, id=first))
    made = a.api.StartCommit(request)
    assert head(a).commit.id == made.id
    assert head(a).parent_commit.id == first
    assert len(at(a, first).child_commits) == 2


def test_a_parent_of_another_repo_is_refused(a: Repo, b: Repo) -> None:
    """The one of the branch's own repo that has the same id, or branch, was taken in its place."""
    finished(a), finished(b)
    for there in (pfs.Commit(repo=b.wire, id="master"), pfs.Commit(branch=b.branch)):
        with refused(
            UNKNOWN, f"parent commit not found: default/{b.name}@master is not a commit of repo default/{a.name}"
        ):
            a.api.StartCommit(pfs.StartCommitRequest(branch=a.branch, parent=there))
    for here in (pfs.Commit(id="master"), pfs.Commit(branch=pfs.Branch(name="master")), pfs.Commit(branch=a.branch)):
        a.finish(a.api.StartCommit(pfs.StartCommitRequest(branch=a.branch, parent=here)))
