"""Every sentence of the protocol's catalogue that PFS can say, whole and with its status: deployed clients match on it.

A case is a call on a world of repos (catalogue_world.py); the sentences stand by noun in catalogue_….py.
Elsewhere: the same rules where they matter (the other tests of this folder).
"""

import re
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import transaction_v2_pb2, transaction_v2_pb2_grpc
from tests.system.pfs.driver import Repo, finished, head, link, refused
from tests.system.pfs.errors.catalogue_commits import COMMITS
from tests.system.pfs.errors.catalogue_files import FILES
from tests.system.pfs.errors.catalogue_refs import BRANCHES, PROJECTS, REPOS, TRIGGERS
from tests.system.pfs.errors.catalogue_world import EXISTS, UNKNOWN, World

NOUNS = {
    "project": PROJECTS, "repo": REPOS, "branch": BRANCHES, "trigger": TRIGGERS, "commit": COMMITS, "file": FILES,
}  # fmt: skip
CASES = [pytest.param(*case[1:], id=f"{noun}: {case[0]}") for noun, cases in NOUNS.items() for case in cases]


@pytest.fixture(scope="module")
def w(pfs_channel: grpc.Channel) -> World:
    a, b, c, p, q = (Repo(pfs_channel) for _ in range(5))
    return World(a, b, c, p, q)


@pytest.mark.parametrize(("call", "code", "sentence"), CASES)
def test_sentence(w: World, call: Callable[[World], object], code: grpc.StatusCode, sentence: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(w)
    error: Any = caught.value
    assert (error.code(), error.details()) == (code, w.filled(sentence))


def test_two_commits_of_one_repo_in_one_transaction(w: World) -> None:
    starts = [pfs.StartCommitRequest(branch=w.branch(w.a, name)) for name in ("new", "newer")]
    requests = [transaction_v2_pb2.TransactionRequest(start_commit=start) for start in starts]
    batch = transaction_v2_pb2.BatchTransactionRequest(requests=requests)
    with refused(EXISTS, "already has a commit in this transaction") as caught:
        transaction_v2_pb2_grpc.APIStub(w.a.channel).BatchTransaction(batch, timeout=120)
    error: Any = caught.value
    assert re.fullmatch(
        rf"error running request 2 of 2: commit default/{w.a.name}@[0-9a-f]{{32}} already exists\n"
        r"inconsistent dependencies: cannot create commit from \S+; repo \(\d+\) already has a commit in this transaction",  # noqa: E501
        error.details(),
    )


def test_a_child_that_is_being_finished(w: World) -> None:
    """It waits for the open commit that it is built on."""
    above, below = Repo(w.a.channel), Repo(w.a.channel)
    link(below, above)
    older = head(below).commit
    finished(above)
    newer = head(below).commit
    below.api.FinishCommit(pfs.FinishCommitRequest(commit=newer))
    with refused(UNKNOWN, "") as caught:
        below.api.SquashCommit(pfs.SquashCommitRequest(commit=older))
    error: Any = caught.value
    assert error.details() == (
        f"cannot squash until child commit {below.name_of(newer)} is finished, consider using WaitCommit"
    )


def test_a_commit_that_is_deleted_while_it_is_waited_for(w: World) -> None:
    repo = Repo(w.a.channel)
    opened = repo.start()
    request = pfs.InspectCommitRequest(commit=opened, wait=pfs.CommitState.FINISHED)
    waiting = repo.api.InspectCommit.future(request, timeout=120)
    repo.api.DeleteRepo(pfs.DeleteRepoRequest(repo=repo.wire))
    error: Any = waiting.exception()
    assert error.code() in (UNKNOWN, grpc.StatusCode.NOT_FOUND)
    if error.code() is UNKNOWN:  # else the call came after the deletion
        assert error.details() == f"commit default/{repo.name}@{opened.id} was deleted"
