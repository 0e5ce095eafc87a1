"""Branch triggers: conditions, chains, the clock, and which triggers may be given."""

import time
from typing import Any

import grpc
import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from tests.support.servers import eventually
from tests.system.pfs.driver import Repo, at, finished, head, link, put, refused

UNKNOWN = grpc.StatusCode.UNKNOWN


def branch(repo: Repo, name: str) -> pfs.Branch:
    return pfs.Branch(repo=repo.wire, name=name)


def follow(repo: Repo, target: str, source: str, **rule: Any) -> None:
    trigger = pfs.Trigger(branch=source, **rule)
    repo.api.CreateBranch(pfs.CreateBranchRequest(branch=branch(repo, target), trigger=trigger))


def grow(repo: Repo, size: int = 1, name: str = "master") -> str:
    """A finished commit on a branch that adds so many bytes."""
    commit = repo.api.StartCommit(pfs.StartCommitRequest(branch=branch(repo, name)))
    repo.modify(put("/data", b"x" * size), commit=commit)
    repo.finish(commit)
    return str(commit.id)


def head_of(repo: Repo, name: str) -> str:
    info = repo.api.InspectBranch(pfs.InspectBranchRequest(branch=branch(repo, name)))
    return str(info.head.id)


def moves(repo: Repo, target: str, steps: int, size: int = 1) -> list[int]:
    """Which of so many commits the target branch moves to."""
    found, before = [], head_of(repo, target)
    for step in range(1, steps + 1):
        id = grow(repo, size)
        if (now := head_of(repo, target)) != before:
            assert now == id
            found.append(step)
            before = now
    return found


@pytest.mark.parametrize(
    ("rule", "steps"),
    [
        ({"commits": 1}, [1, 2, 3, 4, 5, 6]),
        ({"commits": 2}, [2, 4, 6]),
        ({"commits": 3}, [3, 6]),
        ({"size": "100"}, [1, 2, 3, 4, 5, 6]),
        ({"size": "150B"}, [2, 4, 6]),
        ({"size": "0.4K"}, [4]),
        ({"size": "1K", "commits": 4}, [4]),
        ({"size": "150", "commits": 3, "all": True}, [3, 6]),
        ({"size": "300", "commits": 2, "all": True}, [3, 6]),
        ({}, []),
        ({"all": True}, [1, 2, 3, 4, 5, 6]),
        ({"rate_limit_spec": "@never"}, []),
        ({"rate_limit_spec": "@yearly", "commits": 5}, [5]),
        ({"cron_spec": "@never", "commits": 1}, []),
        ({"commits": 2**63 - 1, "size": "300"}, [3, 6]),
        ({"rate_limit_spec": "CRON_TZ=America/Los_Angeles 0 0 1 1 *", "size": "600"}, [6]),
    ],
)
def test_conditions(a: Repo, rule: dict[str, Any], steps: list[int]) -> None:
    finished(a)  # so that the first step's commit has a parent that somebody made
    a.api.CreateBranch(pfs.CreateBranchRequest(branch=branch(a, "follower"), head=a.head))
    follow(a, "follower", "master", **rule)
    assert moves(a, "follower", 6, size=100) == steps


def test_a_branch_that_began_empty_counts_from_its_first_commit(a: Repo) -> None:
    a.api.CreateBranch(pfs.CreateBranchRequest(branch=a.branch))
    follow(a, "follower", "master", commits=2)
    assert moves(a, "follower", 4) == [2, 4]


def test_a_rate_limit_lets_one_pass_a_tick(a: Repo) -> None:
    finished(a)
    a.api.CreateBranch(pfs.CreateBranchRequest(branch=branch(a, "follower"), head=a.head))
    follow(a, "follower", "master", rate_limit_spec="@every 2s")
    began = time.monotonic()
    eventually(lambda: moves(a, "follower", 1) == [1], "a commit after the tick")
    assert time.monotonic() - began > 0.9  # ticks are whole seconds
    assert moves(a, "follower", 1) == []


def test_a_chain_moves_as_far_as_its_conditions_hold(a: Repo) -> None:
    for name in ("a", "x"):
        a.api.CreateBranch(pfs.CreateBranchRequest(branch=branch(a, name)))
    follow(a, "b", "a", size="100")
    follow(a, "c", "b", size="200")
    follow(a, "y", "x", size="100")
    start = (head_of(a, "b"), head_of(a, "c"), head_of(a, "y"))
    seen = [(grow(a, 50, "a"), head_of(a, "b"), head_of(a, "c"), head_of(a, "y")) for _ in range(4)]
    assert [row[1:] for row in seen] == [
        start,
        (seen[1][0], *start[1:]),
        (seen[1][0], *start[1:]),
        (seen[3][0], seen[3][0], start[2]),
    ]


def test_what_derives_from_a_follower_gets_a_fresh_set(a: Repo, b: Repo) -> None:
    staging = branch(a, "staging")
    a.api.CreateBranch(pfs.CreateBranchRequest(branch=staging))
    follow(a, "master", "staging", size="1K")
    link(b, a)
    before = head(b).commit.id
    grow(a, 500, "staging")
    assert head(b).commit.id == before
    id = grow(a, 500, "staging")
    below = head(b)
    assert head(a).commit.id == id
    assert below.commit.id not in (before, id)
    assert [cause.id for cause in below.direct_provenance] == [id]
    assert at(a, below.commit.id).commit.id == id
    assert list(a.api.Fsck(pfs.FsckRequest())) == []


def test_followers_that_feed_branches_of_one_repo_give_each_a_commit(a: Repo, b: Repo) -> None:
    grow(a)
    for name in ("one", "two"):
        a.api.CreateBranch(pfs.CreateBranchRequest(branch=branch(a, name), head=a.head))
        follow(a, name, "master", commits=1)
        edge = pfs.CreateBranchRequest(branch=branch(b, name), provenance=[branch(a, name)])
        b.api.CreateBranch(edge)
    before = {name: head_of(b, name) for name in ("one", "two")}
    id = grow(a)
    now = {name: head_of(b, name) for name in ("one", "two")}
    assert [head_of(a, name) for name in before] == [id, id]
    assert len({*before.values(), *now.values(), id}) == 5


def test_only_good_commits_fire_and_only_when_they_finish(a: Repo) -> None:
    a.api.CreateBranch(pfs.CreateBranchRequest(branch=a.branch))
    follow(a, "follower", "master", commits=1)
    start = head_of(a, "follower")
    commit = a.start()
    a.finish(commit, error="no good")
    assert head_of(a, "follower") == start
    moved = grow(a, 1, "other")
    a.api.CreateBranch(pfs.CreateBranchRequest(branch=a.branch, head=pfs.Commit(repo=a.wire, id=moved)))
    assert head_of(a, "follower") == start  # moved by hand
    assert moves(a, "follower", 1) == [1]
    assert a.api.InspectBranch(pfs.InspectBranchRequest(branch=branch(a, "follower"))).trigger == pfs.Trigger(
        branch="master", commits=1
    )


def test_the_clock_moves_a_branch_and_a_new_schedule_counts_at_once(a: Repo) -> None:
    first = finished(a)
    follow(a, "follower", "master", cron_spec="@every 1s")
    eventually(lambda: head_of(a, "follower") == first, "a tick")
    second = finished(a)
    eventually(lambda: head_of(a, "follower") == second, "another tick")
    follow(a, "follower", "master", cron_spec="@yearly")
    third = finished(a)
    follow(a, "clock", "master", cron_spec="@every 2s")
    eventually(lambda: head_of(a, "clock") == third, "two seconds of another clock")
    assert head_of(a, "follower") == second
    follow(a, "follower", "master", cron_spec="@every 1s")
    eventually(lambda: head_of(a, "follower") == third, "a tick after a year's schedule")


def test_a_trigger_is_kept_replaced_and_gone_with_its_branch(a: Repo) -> None:
    a.api.CreateBranch(pfs.CreateBranchRequest(branch=a.branch))
    follow(a, "follower", "master", size="1K")
    follower = branch(a, "follower")

    def trigger() -> pfs.Trigger:
        info: pfs.BranchInfo = a.api.InspectBranch(pfs.InspectBranchRequest(branch=follower))
        return info.trigger

    a.api.CreateBranch(pfs.CreateBranchRequest(branch=follower))
    assert trigger() == pfs.Trigger(branch="master", size="1K")
    follow(a, "follower", "master", commits=2)
    assert trigger() == pfs.Trigger(branch="master", commits=2)
    text = f'branch "master" cannot be deleted because it triggers branches [default/{a.name}@follower]'
    with refused(UNKNOWN, text):
        a.api.DeleteBranch(pfs.DeleteBranchRequest(branch=a.branch))
    a.api.DeleteBranch(pfs.DeleteBranchRequest(branch=a.branch, force=True))
    assert not trigger().ByteSize()
    a.api.CreateBranch(pfs.CreateBranchRequest(branch=a.branch))
    follow(a, "follower", "master", commits=2)
    a.api.DeleteBranch(pfs.DeleteBranchRequest(branch=follower))
    a.api.CreateBranch(pfs.CreateBranchRequest(branch=follower))
    assert not trigger().ByteSize()
    follow(a, "follower", "master", commits=2)
    assert a.api.DeleteRepo(pfs.DeleteRepoRequest(repo=a.wire)).deleted


def test_which_triggers_are_refused(a: Repo, b: Repo) -> None:
    a.api.CreateBranch(pfs.CreateBranchRequest(branch=a.branch))
    follow(a, "two", "master", commits=1)
    follow(a, "three", "two", commits=1)
    for target, source, rule, text in (
        ("x", "", {"size": "1K"}, "triggers must specify a branch to trigger on"),
        ("x", "x", {}, "triggers cannot form a loop"),
        ("master", "three", {}, "triggers cannot form a loop"),
        ("x", "no/branch", {}, "only alphanumeric characters"),
        ("x", "master", {"size": "much"}, "invalid trigger size"),
        ("x", "master", {"size": "9" * 400}, "invalid trigger size"),
        ("x", "master", {"commits": -1}, "can't trigger on a negative number of commits"),
        ("x", "master", {"rate_limit_spec": "often"}, "invalid trigger rate limit spec"),
        ("x", "master", {"cron_spec": "often"}, "invalid trigger cron spec"),
    ):
        with refused(UNKNOWN, text):
            follow(a, target, source, **rule)
    with refused(grpc.StatusCode.NOT_FOUND, f"branch (id=0, branch=default/{a.name}@nobody) not found"):
        follow(a, "x", "nobody")
    for name in ("x", "three"):
        trigger = pfs.Trigger(branch="master") if name == "x" else None
        with refused(UNKNOWN, "a branch cannot have both provenance and a trigger"):
            a.api.CreateBranch(pfs.CreateBranchRequest(branch=branch(a, name), provenance=[b.branch], trigger=trigger))
