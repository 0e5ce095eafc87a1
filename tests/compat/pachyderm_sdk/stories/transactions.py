"""Several changes as one, through the SDK's own context manager and by hand."""

import pytest
from given import refusal, unique
from pachyderm_sdk import Client
from pachyderm_sdk.api import pfs, pps, transaction
from pachyderm_sdk.errors import InvalidTransactionOperation


def test_all_or_nothing(client: Client) -> None:
    one, two = pfs.Repo.from_uri(unique("one")), pfs.Repo.from_uri(unique("two"))
    with client.transaction.transaction() as made:
        client.pfs.create_repo(repo=one)
        client.pfs.create_repo(repo=two)
        assert client.transaction.transaction_exists(made)
        assert not Client(*client.address.split(":")).pfs.repo_exists(one)
    assert client.transaction_id is None
    assert client.pfs.repo_exists(one)
    assert client.pfs.repo_exists(two)
    assert not client.transaction.transaction_exists(made)
    three = pfs.Repo.from_uri(unique("three"))
    try:
        with client.transaction.transaction() as given_up:
            client.pfs.create_repo(repo=three)
            raise KeyError("mine")
    except KeyError:
        assert client.transaction_id is None
    assert not client.pfs.repo_exists(three)
    assert not client.transaction.transaction_exists(given_up)
    with client.transaction.transaction():
        code, sentence = refusal(lambda: client.pfs.create_repo(repo=one))
        assert (code, "already exists" in sentence) == ("ALREADY_EXISTS", True)
        client.pfs.create_repo(repo=three)
    assert client.pfs.repo_exists(three)


def test_two_commits_are_one_set(client: Client) -> None:
    repos = [pfs.Repo.from_uri(unique("joint")) for _ in range(2)]
    for repo in repos:
        client.pfs.create_repo(repo=repo)
    branches = [pfs.Branch(repo=repo, name="master") for repo in repos]
    with client.transaction.transaction() as made:
        commits = [client.pfs.start_commit(branch=branch) for branch in branches]
    assert commits[0].id == commits[1].id == made.id
    for commit in commits:
        client.pfs.put_file_from_bytes(commit=commit, path="/data", data=b"d")
        client.pfs.finish_commit(commit=commit)
    infos = client.pfs.wait_commit_set(pfs.CommitSet(id=made.id))
    assert {info.commit.repo.name for info in infos} == {repo.name for repo in repos}


def test_the_example_of_the_sdk(client: Client, branch: pfs.Branch) -> None:
    """Files cannot be written in it; the SDK says so itself."""
    with client.transaction.transaction():
        commit = client.pfs.start_commit(branch=branch)
        with pytest.raises(InvalidTransactionOperation):
            client.pfs.put_file_from_bytes(commit=commit, path="/a", data=b"a")
        client.pfs.finish_commit(commit=commit)
    assert client.pfs.wait_commit(commit).error == ""


def test_by_hand(client: Client) -> None:
    repo = pfs.Repo.from_uri(unique("hand"))
    started = client.transaction.start_transaction()
    assert client.transaction_id == started.id
    client.pfs.create_repo(repo=repo)
    client.pfs.create_branch(branch=pfs.Branch(repo=repo, name="master"))
    info = client.transaction.inspect_transaction(transaction=started)
    assert len(info.requests) == 2
    assert info.requests[0].create_repo.repo.name == repo.name
    assert started.id in [each.transaction.id for each in client.transaction.list_transaction().transaction_info]
    finished = client.transaction.finish_transaction(transaction=started)
    assert finished.transaction.id == started.id
    assert client.transaction_id == ""  # goes out as an empty header with every call from here on
    assert client.pfs.repo_exists(repo)
    client.pfs.create_repo(repo=repo, update=True, description="after it")
    dropped = client.transaction.start_transaction()
    client.transaction.delete_transaction(transaction=dropped)
    client.transaction_id = None
    code, _ = refusal(lambda: client.transaction.inspect_transaction(transaction=dropped))
    assert code == "NOT_FOUND"


def test_a_batch(client: Client) -> None:
    repo = pfs.Repo.from_uri(unique("batch"))
    info = client.transaction.batch_transaction(
        requests=[
            transaction.TransactionRequest(create_repo=pfs.CreateRepoRequest(repo=repo)),
            transaction.TransactionRequest(
                start_commit=pfs.StartCommitRequest(branch=pfs.Branch(repo=repo, name="master"))
            ),
        ]
    )
    commit = info.responses[1].commit
    assert commit.id == info.transaction.id
    client.pfs.finish_commit(commit=commit)
    assert client.pfs.wait_commit(commit).commit.id == commit.id


def test_a_pipeline_in_a_transaction(client: Client, repo: pfs.Repo) -> None:
    pipeline = pps.Pipeline(name=unique("staged"))
    with client.transaction.transaction():
        client.pps.create_pipeline(
            pipeline=pipeline,
            input=pps.Input(pfs=pps.PfsInput(repo=repo.name, glob="/*")),
            transform=pps.Transform(cmd=["true"]),
        )
        assert not Client(*client.address.split(":")).pps.pipeline_exists(pipeline)
    assert client.pps.inspect_pipeline(pipeline=pipeline).version == 1
    client.pps.delete_pipeline(pipeline=pipeline)
