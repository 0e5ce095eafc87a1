"""Stories of several branches: provenance that comes and goes, heads that are moved, sets that are deleted; and any
sequence of changes, after which the instance must be sound."""

import random
from typing import Any

import grpc
import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from tests.system.pfs.driver import Repo, at, commits, finished, head, link, put, refused

UNKNOWN = grpc.StatusCode.UNKNOWN


def sound(repo: Repo) -> bool:
    return list(repo.api.Fsck(pfs.FsckRequest())) == []


def rewire(repo: Repo, *above: pfs.Branch, at: str = "", branch: str = "master") -> None:
    head = pfs.Commit(repo=repo.wire, id=at) if at else None
    made = pfs.Branch(repo=repo.wire, name=branch)
    repo.api.CreateBranch(pfs.CreateBranchRequest(branch=made, provenance=above, head=head))


def many(channel: grpc.Channel, count: int) -> list[Repo]:
    return [Repo(channel) for _ in range(count)]


def set_size(repo: Repo, id: str) -> int:
    return len(list(repo.api.InspectCommitSet(pfs.InspectCommitSetRequest(commit_set=pfs.CommitSet(id=id)))))


def test_provenance_that_is_taken_away_and_given_back(a: Repo, b: Repo) -> None:
    link(b, a)
    finished(a)
    before = commits(b)
    rewire(b)
    newest = finished(a)
    assert commits(b) == before
    link(b, a)
    assert len(commits(b)) == len(before) + 1
    info = head(b)
    assert info.commit.id != newest
    assert info.parent_commit.id == before[0]
    assert at(a, info.commit.id).commit.id == newest
    link(b, a)
    assert len(commits(b)) == len(before) + 1
    assert sound(a)


def test_an_orphan_commit_is_finished_and_becomes_a_head_again(a: Repo, b: Repo) -> None:
    link(b, a)
    b.finish(head(b).commit)
    id = finished(a)
    b.api.DeleteBranch(pfs.DeleteBranchRequest(branch=b.branch))
    orphan = pfs.Commit(repo=b.wire, id=id)
    assert not at(b, id).commit.HasField("branch")
    b.modify(put("/f", b"x"), commit=orphan)
    b.finish(orphan)
    rewire(b, a.branch, at=id)
    info = head(b)
    assert len(commits(b)) == 3
    assert (info.parent_commit.id, info.HasField("finished")) == (id, False)
    assert sound(a)


def test_rewinding_an_intermediate_branch(pfs_channel: grpc.Channel) -> None:
    a, b, c = many(pfs_channel, 3)
    link(b, a)
    link(c, b)
    first = finished(a)
    second = finished(a)
    before = head(c).commit.id
    rewire(b, a.branch, at=first)
    assert (head(a).commit.id, head(b).commit.id) == (second, first)
    info = head(c)
    assert info.commit.id not in (first, second)
    assert [cause.id for cause in info.direct_provenance] == [first]
    assert info.parent_commit.id == before
    assert at(a, info.commit.id).commit.id == first
    assert sound(a)


def test_an_input_is_replaced_by_another_branch_of_its_repo(a: Repo, b: Repo) -> None:
    for name in ("pin1", "pin2"):
        rewire(a, branch=name)
    pins = [pfs.Branch(repo=a.wire, name=name) for name in ("pin1", "pin2")]
    rewire(b, pins[0])
    rewire(b, pins[1])
    info = b.api.InspectBranch(pfs.InspectBranchRequest(branch=b.branch))
    assert [one.name for one in info.direct_provenance] == ["pin2"]
    with refused(UNKNOWN, "multiple branches from the same repo"):
        rewire(b, *pins)
    assert sound(a)


def test_a_second_input_gives_one_commit_downstream(pfs_channel: grpc.Channel) -> None:
    a, b, c, d = many(pfs_channel, 4)
    link(c, a)
    link(d, c)
    finished(a)
    finished(b)
    before = len(commits(c)), len(commits(d))
    link(c, a, b)
    assert (len(commits(c)), len(commits(d))) == (before[0] + 1, before[1] + 1)
    assert head(c).commit.id == head(d).commit.id
    assert set_size(a, head(d).commit.id) == 4
    link(c, b)
    assert [cause.repo.name for cause in head(c).direct_provenance] == [b.name]
    assert sound(a)


def test_edges_that_never_propagate_in_a_diamond(pfs_channel: grpc.Channel) -> None:
    a, left, right, sink = many(pfs_channel, 4)
    never = pfs.PropagationSpec(never=True)

    def blocked(*above: Repo) -> dict[str, object]:
        specs = [pfs.BranchPropagationSpec(branch=one.branch, propagation_spec=never) for one in above]
        return {"branch_propagation_specs": specs}

    for one in (left, right):
        link(one, a)
    link(sink, left, right)
    for left_stop, right_stop, wanted in (
        (blocked(a), {}, (0, 1, 1)),
        (blocked(a), blocked(a), (0, 0, 0)),
        ({}, {}, (1, 1, 1)),
    ):
        link(left, a, **left_stop)
        link(right, a, **right_stop)
        before = [len(commits(one)) for one in (left, right, sink)]
        finished(a)
        after = [len(commits(one)) for one in (left, right, sink)]
        assert tuple(now - then for now, then in zip(after, before, strict=True)) == wanted
    link(sink, left, right, **blocked(left, right))
    before_sink = len(commits(sink))
    finished(a)
    assert len(commits(sink)) == before_sink
    assert sound(a)


def test_processing_that_is_deferred(a: Repo, b: Repo) -> None:
    staging = pfs.Branch(repo=a.wire, name="staging")
    rewire(a, branch="staging")
    rewire(a)
    rewire(b, a.branch, branch="staging")
    before = at(b, "staging").commit.id
    opened = a.api.StartCommit(pfs.StartCommitRequest(branch=staging))
    a.finish(opened)
    assert at(b, "staging").commit.id == before
    rewire(a, at="staging")
    assert head(a).commit.id == opened.id
    moved = at(b, "staging").commit
    assert moved.id not in (before, opened.id)
    assert at(a, moved.id).commit.id == opened.id


def test_the_only_commit_of_an_output_is_replaced_when_dropped(pfs_channel: grpc.Channel) -> None:
    a, b, c = many(pfs_channel, 3)
    finished(a)
    finished(b)
    link(c, a, b)
    only = head(c)
    c.api.DropCommitSet(pfs.DropCommitSetRequest(commit_set=pfs.CommitSet(id=only.commit.id)))
    info = head(c)
    assert info.commit.id != only.commit.id
    assert not info.HasField("finished")
    assert [cause.id for cause in info.direct_provenance] == [head(a).commit.id, head(b).commit.id]
    assert sound(a)


def test_children_are_told_after_forks_and_squashes(a: Repo) -> None:
    ids = [finished(a) for _ in range(3)]
    fork = pfs.Branch(repo=a.wire, name="fork")
    parent = pfs.Commit(repo=a.wire, id=ids[1])
    forked = a.api.StartCommit(pfs.StartCommitRequest(branch=fork, parent=parent))

    def children(id: str) -> set[str]:
        return {child.id for child in at(a, id).child_commits}

    assert children(ids[1]) == {ids[2], forked.id}
    squash = pfs.SquashCommitRequest(commit=parent)
    with refused(UNKNOWN, f"cannot squash until child commit default/{a.name}@{forked.id} is finished"):
        a.api.SquashCommit(squash)
    a.finish(forked)
    a.api.SquashCommit(squash)
    assert children(ids[0]) == {ids[2], forked.id}
    a.api.DropCommit(pfs.DropCommitRequest(commit=forked))
    assert children(ids[0]) == {ids[2]}
    assert at(a, "fork").commit.id == ids[0]
    assert sound(a)


def test_a_file_set_is_a_finished_commit_to_whoever_asks(a: Repo) -> None:
    id = a.api.CreateFileSet(iter([put("/f", b"x")])).file_set_id
    commit = pfs.Commit(repo=pfs.Repo(name="__filesets__", type="user"), id=id)
    info = a.api.InspectCommit(pfs.InspectCommitRequest(commit=commit, wait=pfs.CommitState.FINISHED))
    assert (info.commit.id, info.commit.repo.name, info.HasField("finished")) == (id, "__filesets__", True)
    with refused(UNKNOWN, "path does not exist"):
        commit.id = "0" * 32
        a.api.InspectCommit(pfs.InspectCommitRequest(commit=commit))


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_done_the_instance_is_sound(pfs_channel: grpc.Channel, seed: int) -> None:
    dice = random.Random(seed)
    repos = many(pfs_channel, 5)
    refusals = list[tuple[grpc.StatusCode, str]]()

    def one_step() -> None:
        repo = dice.choice(repos)
        known = [pfs.Commit(repo=repo.wire, id=id) for id in commits(repo)] or [pfs.Commit(repo=repo.wire, id="x")]
        commit = dice.choice(known)
        match dice.randrange(9):
            case 0 | 1:
                repo.start()
            case 2:
                repo.api.FinishCommit(pfs.FinishCommitRequest(commit=commit))
            case 3 | 4:
                rewire(repo, *(one.branch for one in dice.sample(repos, dice.randrange(3))))
            case 5:
                rewire(repo, at=commit.id)
            case 6:
                drop = pfs.DropCommitRequest(commit=commit, recursive=dice.random() < 0.5)
                repo.api.DropCommit(drop)
            case 7:
                repo.api.SquashCommit(pfs.SquashCommitRequest(commit=commit, recursive=True))
            case _:
                repo.api.DeleteBranch(pfs.DeleteBranchRequest(branch=repo.branch, force=dice.random() < 0.3))

    for _ in range(75):
        try:
            one_step()
        except grpc.RpcError as error:
            refusals.append((code_of(error), text_of(error)))
        assert sound(repos[0])
    assert 0 < len(refusals) < 75
    said = {UNKNOWN, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INTERNAL, grpc.StatusCode.ALREADY_EXISTS}
    assert {code for code, _ in refusals} <= said
    assert not any("internal error" in text for _, text in refusals)


def code_of(error: Any) -> grpc.StatusCode:
    code: grpc.StatusCode = error.code()
    return code


def text_of(error: Any) -> str:
    return str(error.details())
