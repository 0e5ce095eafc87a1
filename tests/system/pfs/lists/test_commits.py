"""Lists of commits and commit sets: filters, ranges, orders, cursors."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from tests.support.servers import unique
from tests.system.pfs.driver import Repo, commits, finished, head, link, put, refused

UNKNOWN = grpc.StatusCode.UNKNOWN
USER, AUTO, FSCK = pfs.OriginKind.USER, pfs.OriginKind.AUTO, pfs.OriginKind.FSCK


def of(repo: Repo, id: str) -> pfs.Commit:
    return pfs.Commit(repo=repo.wire, id=id)


def sets(repo: Repo, **wanted: Any) -> Iterator[tuple[str, list[str]]]:
    """Each set that holds a commit of this repo, with the repos of its commits."""
    for one in repo.api.ListCommitSet(pfs.ListCommitSetRequest(**wanted)):
        names = [info.commit.repo.name for info in one.commits]
        assert not any(info.commit.HasField("branch") for info in one.commits)
        if repo.name in names:
            yield one.commit_set.id, names


def test_newest_first_and_the_other_way_round(a: Repo) -> None:
    ids = [finished(a) for _ in range(4)]
    assert commits(a) == ids[::-1]
    assert commits(a, reverse=True) == ids
    assert commits(a, number=2) == ids[:1:-1]
    assert commits(a, number=2, reverse=True) == ids[:2]
    assert commits(a, number=9) == ids[::-1]


def test_from_one_to_another(a: Repo) -> None:
    one, two, three, four = (finished(a) for _ in range(4))
    a.api.CreateBranch(pfs.CreateBranchRequest(branch=a.branch, head=of(a, two)))
    fork = finished(a)
    assert commits(a) == [fork, four, three, two, one]
    assert commits(a, to=a.head) == [fork, two, one]
    assert commits(a, to=of(a, four)) == [four, three, two, one]
    assert commits(a, to=of(a, four), **{"from": of(a, two)}) == [four, three]
    assert commits(a, to=of(a, four), **{"from": of(a, f"{four}^")}) == [four]
    assert commits(a, to=of(a, four), **{"from": of(a, four)}) == []
    assert commits(a, to=of(a, four), **{"from": of(a, fork)}) == [four, three, two, one], "it is not on the way"
    assert commits(a, to=of(a, four), number=2) == [four, three]
    first = at_start(a, one)
    assert commits(a, to=of(a, four), started_time=first) == [four, three, two, one], "ranges take no notice of it"


def at_start(repo: Repo, id: str) -> Any:
    info = repo.api.InspectCommit(pfs.InspectCommitRequest(commit=of(repo, id)))
    return info.started


def test_a_time_is_a_cursor_in_both_directions(a: Repo) -> None:
    ids = [finished(a) for _ in range(5)]
    times = [at_start(a, id) for id in ids]
    assert len({moment.ToNanoseconds() for moment in times}) == len(times)
    assert commits(a, started_time=times[2]) == [ids[1], ids[0]]
    assert commits(a, started_time=times[2], reverse=True) == ids[3:]
    assert commits(a, started_time=times[4], number=2) == [ids[3], ids[2]]
    assert commits(a, started_time=times[0]) == commits(a, started_time=times[4], reverse=True) == []
    page, seen = commits(a, number=2), list[str]()
    while page:
        seen += page
        page = commits(a, number=2, started_time=at_start(a, page[-1]))
    assert seen == ids[::-1]


def test_by_origin(a: Repo, b: Repo) -> None:
    a.api.CreateBranch(pfs.CreateBranchRequest(branch=a.branch))
    auto = head(a).commit.id
    user = finished(a)
    assert commits(a) == commits(a, all=True) == [user, auto]
    assert commits(a, origin_kind=USER) == commits(a, origin_kind=USER, to=a.head) == [user]
    assert commits(a, origin_kind=AUTO) == commits(a, origin_kind=AUTO, to=a.head) == [auto]
    assert commits(a, origin_kind=AUTO, number=1) == [auto], "only what is shown counts"
    assert commits(a, origin_kind=FSCK) == []
    assert commits(a, origin_kind=FSCK, all=True) == [user, auto]
    link(b, a)
    assert commits(b, origin_kind=USER) == []
    for more in ({}, {"to": a.head}):
        with refused(UNKNOWN, "unknown origin kind 99"):
            commits(a, origin_kind=99, **more)


def test_a_repo_without_a_name_is_all_of_them(a: Repo, b: Repo) -> None:
    ids = [finished(a), finished(b)]
    found = a.api.ListCommit(pfs.ListCommitRequest(repo=pfs.Repo()))
    newest = [info.commit.id for info in found if info.commit.id in ids]
    assert newest == ids[::-1]
    found = a.api.ListCommit(pfs.ListCommitRequest(repo=pfs.Repo(), number=1, origin_kind=USER))
    assert [info.commit.id for info in found] == ids[1:]


def test_sizes_are_estimates_in_lists_and_exact_in_details(a: Repo) -> None:
    a.modify(put("/f", b"12345"))
    done = a.wait()
    opened = a.start()
    a.modify(put("/g", b"x"), commit=opened)
    on_top, below = list(a.api.ListCommit(pfs.ListCommitRequest(repo=a.wire)))
    assert (on_top.size_bytes_upper_bound, on_top.details) == (5, pfs.CommitInfo.Details())
    assert (below.size_bytes_upper_bound, below.details.size_bytes) == (5, 5)
    assert (done.size_bytes_upper_bound, done.details.size_bytes) == (0, 5)
    assert not below.commit.HasField("branch")
    assert below.child_commits[0].branch.name == "master"


def test_sets_newest_first_each_with_what_it_was_made_from(a: Repo, b: Repo, pfs_channel: grpc.Channel) -> None:
    c = Repo(pfs_channel)
    link(c, a, b)
    linked = head(c).commit.id
    of_a, of_b = finished(a), finished(b)
    found = list(sets(c))
    assert [id for id, _ in found] == [of_b, of_a, linked]
    assert all(sorted(names) == sorted([a.name, b.name, c.name]) and names[-1] == c.name for _, names in found)
    default = pfs.Project(name="default")
    assert list(sets(c, project=default)) == found
    project = pfs.Project(name=unique("sets"))
    a.api.CreateProject(pfs.CreateProjectRequest(project=project))
    assert list(sets(c, project=project)) == []
    elsewhere = pfs.Repo(name="r", project=project, type="user")
    a.api.CreateRepo(pfs.CreateRepoRequest(repo=elsewhere))
    below = pfs.CreateBranchRequest(branch=pfs.Branch(repo=elsewhere, name="master"), provenance=[c.branch])
    a.api.CreateBranch(below)
    newest = finished(a)
    assert next(sets(c, project=project))[0] == newest
    assert len(list(sets(c, project=project))) == 2


def test_followers_hear_of_what_they_asked_for(a: Repo) -> None:
    a.api.CreateBranch(pfs.CreateBranchRequest(branch=a.branch))
    auto = head(a).commit.id
    other = pfs.Branch(repo=a.wire, name="other")
    a.finish(a.api.StartCommit(pfs.StartCommitRequest(branch=other)))
    ids = [finished(a) for _ in range(2)]

    def heard(count: int, **wanted: Any) -> list[str]:
        stream = a.api.SubscribeCommit(pfs.SubscribeCommitRequest(repo=a.wire, **wanted), timeout=60)
        found = [next(stream).commit.id for _ in range(count)]
        stream.cancel()
        return found

    finished_ones = pfs.CommitState.FINISHED
    assert heard(3, branch="master", state=finished_ones) == [auto, *ids]
    assert heard(2, branch="master", state=finished_ones, origin_kind=USER) == ids
    assert heard(3, branch="master", state=finished_ones, origin_kind=USER, all=True) == [auto, *ids]
    assert heard(2, branch="master", **{"from": of(a, auto)}) == ids
    assert len(heard(4, state=finished_ones)) == 4, "of every branch"


@pytest.mark.parametrize("number", [-1, -(2**63)])
def test_odd_numbers_do_no_harm(a: Repo, number: int) -> None:
    id = finished(a)
    assert commits(a, number=number) == [id]
    with refused(UNKNOWN, "cannot use `from` commit without `to` commit"):
        commits(a, number=number, **{"from": a.head})
