"""Transactions and metadata through the library and the command line, against a real PFS."""

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

import datamill
from datamill import errors
from datamill.wire import metadata_pb2 as metadata
from datamill.wire import pfs_v2_pb2 as pfs
from tests.support.command_line import CommandLine
from tests.support.servers import unique


@pytest.fixture(scope="module")
def client(pfs_address: str) -> Iterator[datamill.Client]:
    with datamill.Client(f"grpc://{pfs_address}") as opened:
        yield opened


def exists(client: datamill.Client, repo: str) -> bool:
    try:
        client.inspect_repo(repo)
    except errors.NotFound:
        return False
    return True


def test_a_block_takes_effect_at_its_end(client: datamill.Client) -> None:
    one, two = unique("repo"), unique("repo")
    with client.transaction() as id:
        client.create_repo(one)
        client.create_repo(two)
        commits = [client.start_commit(f"{name}@master") for name in (one, two)]
        assert [commit.id for commit in commits] == [id, id]
        assert not exists(client, one)
        client.finish_commit(f"{one}@master")
    assert client.wait_commit(f"{one}@{id}").commit.id == id
    assert client.inspect_commit(f"{two}@master").commit.id == id
    with pytest.raises(errors.NotFound):
        client.inspect_transaction(id)


def test_a_block_that_raises_leaves_nothing(client: datamill.Client) -> None:
    name = unique("repo")
    ids = list[str]()

    def block() -> None:
        with client.transaction() as id:
            ids.append(id)
            client.create_repo(name)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        block()
    assert not exists(client, name)
    assert ids[0] not in [info.transaction.id for info in client.list_transactions()]
    client.create_repo(name)
    assert exists(client, name)


def test_an_end_that_is_refused_leaves_nothing(client: datamill.Client) -> None:
    name, other = unique("repo"), unique("repo")
    ids = list[str]()

    def block() -> None:
        with client.transaction() as id:
            ids.append(id)
            client.create_repo(other)
            client.create_repo(name)
            thread = Thread(target=client.create_repo, args=(name,))  # its calls belong to no transaction
            thread.start()
            thread.join()

    with pytest.raises(errors.AlreadyExists, match="error running request 2 of 2"):
        block()
    assert exists(client, name)
    assert not exists(client, other)
    with pytest.raises(errors.NotFound):
        client.inspect_transaction(ids[0])


def test_a_block_in_a_block_is_its_own_and_the_outer_goes_on(client: datamill.Client) -> None:
    outer, inner, after = unique("repo"), unique("repo"), unique("repo")
    with client.transaction() as first:
        client.create_repo(outer)
        with client.transaction() as second:
            client.create_repo(inner)
        assert first != second
        assert client.joined == first
        assert exists(client, inner)
        client.create_repo(after)
        assert not exists(client, after)
    assert client.joined == ""
    assert exists(client, outer)
    assert exists(client, after)


def test_files_are_refused_inside(client: datamill.Client, tmp_path: Path) -> None:
    name = unique("repo")
    client.create_repo(name)
    (tmp_path / "f").write_text("f")
    with client.transaction():
        for attempt in (
            lambda: client.put(f"{name}@master:/f", b"x"),
            lambda: client.put_folder(tmp_path, f"{name}@master:/"),
            lambda: client.get(f"{name}@master:/f"),
            lambda: list(client.list_files(f"{name}@master:/")),
            lambda: client.delete_file(f"{name}@master:/f"),
        ):
            with pytest.raises(errors.Refused, match="inside a transaction"):
                attempt()
    client.put(f"{name}@master:/f", b"x")
    assert client.get(f"{name}@master:/f") == b"x"


def test_pairs_on_things(client: datamill.Client) -> None:
    project = unique("project")
    client.create_project(project)
    edit = metadata.Edit(project=pfs.ProjectPicker(name=project), add_key=metadata.Edit.AddKey(key="k", value="v"))
    client.edit_metadata([edit])
    assert dict(client.inspect_project(project).metadata) == {"k": "v"}
    with pytest.raises(errors.Refused, match="use edit_key instead"):
        client.edit_metadata([edit])


@pytest.fixture
def line(tmp_path: Path, pfs_address: str) -> CommandLine:
    return CommandLine(tmp_path, f"grpc://{pfs_address}")


def staged(line: CommandLine, *words: str) -> str:
    """A command that is added to the active transaction, and says so."""
    done = line.run(*words)
    assert done.code == 0, done
    assert "added to transaction " in done.err
    return done.out.strip()


def test_commands_join_the_active_transaction(line: CommandLine, client: datamill.Client) -> None:
    one, now = unique("repo"), unique("project")
    assert line.run("finish", "transaction").code == 2
    assert "no active transaction" in line.run("stop", "transaction").err
    id = line.ok("start", "transaction").out.strip()
    assert id in line.run("start", "transaction").err
    staged(line, "create", "repo", one)
    assert staged(line, "start", "commit", f"{one}@master") == id
    line.ok("create", "project", now)  # takes effect at once, and says nothing
    assert now in line.ok("list", "projects").out
    assert not exists(client, one)
    shown = line.ok("inspect", "transaction").out
    assert "create repo" in shown
    assert "start commit" in shown
    assert id in line.ok("list", "transactions").out
    assert len(json.loads(line.ok("inspect", "transaction", "--raw").out)["requests"]) == 2
    line.ok("stop", "transaction")
    other = unique("repo")
    line.ok("create", "repo", other)
    assert exists(client, other)
    line.ok("resume", "transaction", id)
    assert "2 requests" in line.ok("finish", "transaction").out
    assert exists(client, one)
    assert line.run("inspect", "transaction").code == 2


def test_a_deleted_one_is_no_longer_active(line: CommandLine, client: datamill.Client) -> None:
    name = unique("repo")
    id = line.ok("start", "transaction").out.strip()
    staged(line, "create", "repo", name)
    line.ok("delete", "transaction")
    assert line.run("inspect", "transaction", id).code == 1
    line.ok("create", "repo", name)
    assert exists(client, name)


def test_metadata_is_edited_by_words(line: CommandLine, client: datamill.Client) -> None:
    name = unique("repo")
    line.ok("create", "repo", name)
    line.ok("start", "commit", f"{name}@master")
    branch = f"{name}@master"
    edits = [
        *("repo", name, "add", "a=1"),
        *("repo", name, "add", "b=x=y"),
        *("branch", branch, "set", '{"k": "v"}'),
        *("commit", branch, "edit", "who=me"),
        *("cluster", ".", "edit", f"{name}=1"),
    ]
    line.ok("edit", "metadata", *edits)
    assert dict(client.inspect_repo(name).metadata) == {"a": "1", "b": "x=y"}
    assert dict(client.inspect_branch(f"{name}@master").metadata) == {"k": "v"}
    assert dict(client.inspect_commit(f"{name}@master").metadata) == {"who": "me"}
    line.ok("edit", "metadata", "repo", name, "delete", "a")
    assert dict(client.inspect_repo(name).metadata) == {"b": "x=y"}
    taken = line.run("edit", "metadata", "repo", name, "add", "b=2")
    assert taken.code == 1
    assert "use edit_key instead" in taken.err
    for wrong in (
        ["repo", name, "add"],
        ["repo", name, "add", "b"],
        ["repo", name, "turn", "b"],
        ["x", name, "add", "b=1"],
        ["repo", name, "set", "[1]"],
    ):
        assert line.run("edit", "metadata", *wrong).code == 2
