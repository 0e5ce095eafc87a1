"""The client library against a real PFS: every noun once, folders by every way, and failures as built-ins."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

import datamill
from datamill import errors
from datamill.bulk import store
from datamill.bulk.sending import upload
from datamill.client import OpenCommit
from datamill.wire import pfs_v2_pb2 as pfs
from tests.support.servers import unique

MIB = 1 << 20


@pytest.fixture(scope="module")
def client(pfs_address: str) -> Iterator[datamill.Client]:
    with datamill.Client(f"grpc://{pfs_address}") as opened:
        yield opened


@pytest.fixture
def repo(client: datamill.Client) -> str:
    name = unique("repo")
    client.create_repo(name, "for one test")
    return name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Small files, equal ones, an empty one and one too big for a single blob."""
    contents = {"a/1": b"one", "a/2": b"one", "b": b"", "c/deep/er": os.urandom(100_000), "big": os.urandom(9 * MIB)}
    for name, data in contents.items():
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "data"


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_projects_and_repos(client: datamill.Client) -> None:
    project, name = unique("project"), unique("repo")
    client.create_project(project, "one")
    client.create_project(project, "two", update=True)
    assert client.inspect_project(project).description == "two"
    assert project in [info.project.name for info in client.list_projects()]
    client.create_repo(f"{project}/{name}", "words")
    assert client.inspect_repo(f"{project}/{name}").description == "words"
    assert [info.repo.name for info in client.list_repos(projects=[project])] == [name]
    with pytest.raises(errors.DatamillError):
        client.delete_project(project)
    assert client.delete_repo(f"{project}/{name}") is True
    assert client.delete_repo(f"{project}/{name}") is False
    client.delete_project(project)
    with pytest.raises(errors.NotFound):
        client.inspect_project(project)


def test_branches(client: datamill.Client, repo: str) -> None:
    client.put(f"{repo}@master:/x", b"1")
    head = client.inspect_branch(f"{repo}@master").head.id
    client.create_branch(f"{repo}@other", head=f"{repo}@master")
    assert client.inspect_branch(f"{repo}@other").head.id == head
    assert {info.branch.name for info in client.list_branches(repo)} == {"master", "other"}
    client.delete_branch(f"{repo}@other")
    assert {info.branch.name for info in client.list_branches(repo)} == {"master"}


def test_a_commit_as_a_block(client: datamill.Client, repo: str) -> None:
    with client.commit(f"{repo}@master", description="first") as commit:
        commit.put("/a", "text")
        commit.put("b", b"bytes")
        commit.put("/c", io.BytesIO(b"file"))
        commit.put("/a", " more", append=True)
        commit.put_files([(f"/many/{number}", str(number)) for number in range(50)])
        commit.delete("/many/7")
        commit.delete("/many/1", recursive=False)
    info = commit.wait()
    assert (info.error, info.description) == ("", "first")
    assert client.get(f"{repo}@{commit.id}:/a") == b"text more"
    assert client.get(f"{repo}@master:/b") + client.get(f"{repo}@master:/c") == b"bytesfile"
    assert len(list(client.list_files(f"{repo}@master:/many"))) == 48
    assert [one.commit.id for one in client.inspect_commit_set(commit.id)] == [commit.id]


def test_a_block_that_raises_leaves_an_error_and_no_data(client: datamill.Client, repo: str) -> None:
    client.put(f"{repo}@master:/good", b"1")
    opened: list[OpenCommit] = []
    with suppress(ZeroDivisionError), client.commit(f"{repo}@master") as commit:
        opened.append(commit)
        commit.put("/bad", b"2")
        raise ZeroDivisionError("oh")
    assert opened[0].wait().error == "ZeroDivisionError: oh"
    client.put(f"{repo}@master:/after", b"3")
    found = [info.file.path for info in client.list_files(f"{repo}@master")]
    assert found == ["/after", "/good"]


def test_commits_are_listed_waited_for_and_dropped(client: datamill.Client, repo: str) -> None:
    for number in range(3):
        client.put(f"{repo}@master:/x", str(number))
    newest = client.wait_commit(f"{repo}@master")
    ids = [info.commit.id for info in client.list_commits(to=f"{repo}@master")]
    assert ids == [info.commit.id for info in client.list_commits(repo)]
    assert (len(ids), ids[0]) == (3, newest.commit.id)
    assert [info.commit.id for info in client.list_commits(to=f"{repo}@master", since=f"{repo}@{ids[2]}")] == ids[:2]
    assert [info.commit.id for info in client.list_commits(repo, number=1)] == ids[:1]
    assert client.get(f"{repo}@master^1:/x") == b"1"
    client.drop_commit(f"{repo}@master")
    assert client.get(f"{repo}@master:/x") == b"1"
    client.drop_commit_set(ids[1])
    assert client.get(f"{repo}@master:/x") == b"0"


def test_looking_at_files(client: datamill.Client, repo: str) -> None:
    client.put_files(f"{repo}@master", [("/a/1.txt", b"1"), ("/a/2.txt", b"22"), ("/b.txt", b"333")])
    assert client.inspect_file(f"{repo}@master:/a").file_type == pfs.FileType.DIR
    assert client.file_exists(f"{repo}@master:/a/2.txt")
    assert not client.file_exists(f"{repo}@master:/a/3.txt")
    assert [info.file.path for info in client.walk_files(f"{repo}@master")] == [
        "/", "/a/", "/a/1.txt", "/a/2.txt", "/b.txt",
    ]  # fmt: skip
    assert [info.file.path for info in client.glob_files(f"{repo}@master:/**.txt")] == [
        "/a/1.txt", "/a/2.txt", "/b.txt",
    ]  # fmt: skip
    client.copy_file(f"{repo}@master:/a", f"{repo}@master:/c")
    assert client.get(f"{repo}@master:/c/2.txt") == b"22"
    client.delete_file(f"{repo}@master:/c", recursive=True)
    assert not client.file_exists(f"{repo}@master:/c")
    client.put(f"{repo}@master:/b.txt", b"4444")
    changed = [item.new_file.file.path for item in client.diff_files(f"{repo}@master")]
    assert changed == ["/", "/b.txt"]
    assert b"".join(client.chunks(f"{repo}@master:/b.txt", offset=3)) == b"4"


def test_a_file_larger_than_a_message(client: datamill.Client, repo: str) -> None:
    data = os.urandom(25 * MIB + 1)
    client.put(f"{repo}@master:/big", data)
    assert client.get(f"{repo}@master:/big") == data


def test_put_replaces_and_append_appends(client: datamill.Client, repo: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"local")
    client.put(f"{repo}@master:/x", b"a")
    client.put(f"{repo}@master:/x", b"b", append=True)
    assert client.get(f"{repo}@master:/x") == b"ab"
    client.put(f"{repo}@master:/x", tmp_path / "x")
    assert client.get(f"{repo}@master:/x") == b"local"


def test_an_unreadable_source_writes_nothing(client: datamill.Client, repo: str, tmp_path: Path) -> None:
    client.put(f"{repo}@master:/x", b"a")
    with pytest.raises(FileNotFoundError, match="missing"):
        client.put_files(f"{repo}@master", [("/y", b"1"), ("/z", tmp_path / "missing")])
    assert [info.file.path for info in client.list_files(f"{repo}@master")] == ["/x"]


@pytest.mark.parametrize("way", ["straight to the store", "packs through the service", "plain stream"])
def test_folders_in_and_out(
    client: datamill.Client, repo: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    if way == "plain stream":
        monkeypatch.setitem(sys.modules, "blake3", None)
    elif way == "packs through the service":
        monkeypatch.setattr(upload, "reach", lambda _calls: store.Reach())
        monkeypatch.setattr(store, "reach", lambda _calls: store.Reach())
    else:
        assert store.reach(client).root is not None
    seen = [0, 0]

    def progress(files: int, size: int) -> None:
        seen[0] += files
        seen[1] += size

    client.put(f"{repo}@master:/keep", b"kept")
    client.put(f"{repo}@master:/in/a/1", b"replaced")
    assert client.put_folder(folder, f"{repo}@master:/in", progress=progress) == 5
    assert seen == [5, sum(map(len, tree(folder).values()))]
    assert client.wait_commit(f"{repo}@master").error == ""
    assert len(list(client.list_commits(to=f"{repo}@master"))) == 3
    assert client.get_folder(f"{repo}@master:/in", tmp_path / "out") == 5
    assert tree(tmp_path / "out") == tree(folder)
    assert client.get_folder(f"{repo}@master", tmp_path / "all") == 6
    assert client.get_folder(f"{repo}@master:/in/c/deep/er", tmp_path / "one") == 1
    assert list(tree(tmp_path / "one")) == ["er"]


def test_a_folder_into_an_open_commit(client: datamill.Client, repo: str, folder: Path) -> None:
    with client.commit(f"{repo}@master") as commit:
        assert commit.put_folder(folder) == 5
        commit.put("/more", b"1")
    assert commit.wait().error == ""
    assert client.get(f"{repo}@master:/a/2") == b"one"
    with pytest.raises(errors.Failed, match="has already finished"):
        client.put_folder(folder, f"{repo}@{commit.id}:/")


def test_a_folder_with_an_unreadable_file_writes_nothing(client: datamill.Client, repo: str, folder: Path) -> None:
    client.put(f"{repo}@master:/x", b"a")
    (folder / "broken").symlink_to(folder / "nowhere")
    with pytest.raises(errors.Invalid, match="broken"):
        client.put_folder(folder, f"{repo}@master:/")
    assert [info.file.path for info in client.list_files(f"{repo}@master")] == ["/x"]
    assert len(list(client.list_commits(repo))) == 1


def test_failures_are_built_ins_with_the_servers_words(client: datamill.Client, repo: str, folder: Path) -> None:
    with pytest.raises(FileExistsError) as exists:
        client.create_repo(repo)
    assert isinstance(exists.value, errors.AlreadyExists)
    assert str(exists.value) == f"repo default/{repo} already exists"
    assert exists.value.code is grpc.StatusCode.ALREADY_EXISTS
    with pytest.raises(LookupError, match="repo default/nothing not found"):
        client.inspect_repo("nothing")
    client.put(f"{repo}@master:/x", b"1")
    with pytest.raises(FileNotFoundError, match="file /y not found"):
        client.get(f"{repo}@master:/y")
    with pytest.raises(FileNotFoundError):
        client.inspect_file(f"{repo}@master:/y")
    with pytest.raises(errors.NotFound):
        client.put_folder(folder, "nothing@master:/")
    with pytest.raises(errors.DatamillError, match="only printable ASCII"):
        client.put(f"{repo}@master:/ö", b"1")
    with pytest.raises(NotImplementedError):
        list(client.list_pipelines())  # this process is PFS alone


def test_a_list_can_be_left_before_its_end(client: datamill.Client, repo: str) -> None:
    client.put_files(f"{repo}@master", [(f"/{number:05d}", b"") for number in range(5000)])
    found = client.list_files(f"{repo}@master")
    assert next(found).file.path == "/00000"
    found.close()  # type: ignore[attr-defined]
    assert client.inspect_repo(repo).repo.name == repo


def test_versions_agree(client: datamill.Client) -> None:
    assert client.version().major >= 2
