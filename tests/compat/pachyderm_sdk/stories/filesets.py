"""File sets: files before they belong to a commit."""

import threading
from collections.abc import Iterator

from given import refusal
from pachyderm_sdk import Client
from pachyderm_sdk.api import pfs, storage


def adding(*files: tuple[str, bytes]) -> Iterator[pfs.ModifyFileRequest]:
    for path, raw in files:
        yield pfs.ModifyFileRequest(add_file=pfs.AddFile(path=path, raw=raw))


def reading(id: str, path: str) -> pfs.File:
    return pfs.File(commit=pfs.Commit(repo=pfs.Repo(name="__filesets__"), id=id), path=path)


def test_made_composed_and_added(client: Client, branch: pfs.Branch) -> None:
    one = client.pfs.create_file_set(adding(("/a", b"a"), ("/b", b"b"))).file_set_id
    two = client.pfs.create_file_set(adding(("/c", b"c"))).file_set_id
    both = client.pfs.compose_file_set(file_set_ids=[one, two], ttl_seconds=60).file_set_id
    client.pfs.renew_file_set(file_set_id=both, ttl_seconds=120)
    assert client.pfs.pfs_file(reading(both, "/c")).read() == b"c"
    assert [info.file.path for info in client.pfs.list_file(file=reading(both, "/"))] == ["/a", "/b", "/c"]
    with client.pfs.commit(branch=branch) as commit:
        client.pfs.add_file_set(commit=commit, file_set_id=both)
        commit.put_file_from_bytes("/d", b"d")
    commit.wait()
    assert client.pfs.pfs_file(pfs.File(commit=commit, path="/a")).read() == b"a"
    total = client.pfs.get_file_set(commit=commit).file_set_id
    assert len(list(client.pfs.list_file(file=reading(total, "/")))) == 4
    shards = client.pfs.shard_file_set(file_set_id=total, num_files=2).shards
    assert (len(shards), shards[0].lower, shards[-1].upper) == (2, "", "")
    code, _ = refusal(lambda: client.pfs.renew_file_set(file_set_id=both, ttl_seconds=0))
    assert code != "INTERNAL"


def test_copied_into_a_commit(client: Client, branch: pfs.Branch) -> None:
    id = client.pfs.create_file_set(adding(("/dir/a", b"a"))).file_set_id
    with client.pfs.commit(branch=branch) as commit:
        commit.copy_file(src=reading(id, "/dir"), dst="/copied")
    commit.wait()
    assert client.pfs.pfs_file(pfs.File(commit=commit, path="/copied/a")).read() == b"a"


def test_the_newer_service(client: Client, branch: pfs.Branch) -> None:
    def adding_to(path: str, data: bytes) -> storage.CreateFilesetRequest:
        return storage.CreateFilesetRequest(append_file=storage.AppendFile(path=path, data=data))

    one = client.storage.create_fileset(iter([adding_to("/a", b"a"), adding_to("/d/b", b"b")])).fileset_id
    copied = storage.CreateFilesetRequest(copy_file=storage.CopyFile(fileset_id=one, src="/d", dst="/e"))
    two = client.storage.create_fileset(iter([copied, adding_to("/empty", b"")])).fileset_id
    both = client.storage.compose_fileset(fileset_ids=[one, two], ttl_seconds=60).fileset_id
    client.storage.renew_fileset(fileset_id=both, ttl_seconds=120)
    read = {each.path: each.data for each in client.storage.read_fileset(fileset_id=both)}
    assert {path: data or b"" for path, data in read.items()} == {"/a": b"a", "/d/b": b"b", "/e/b": b"b", "/empty": b""}
    some = [storage.FileFilter(path_regex="b$"), storage.FileFilter(path_range=storage.PathRange(upper="/e"))]
    assert [each.path for each in client.storage.read_fileset(fileset_id=both, filters=some)] == ["/d/b"]
    assert len(client.storage.shard_fileset(fileset_id=both, num_files=2).shards) == 2
    with client.pfs.commit(branch=branch) as commit:
        client.pfs.add_file_set(commit=commit, file_set_id=both)
    commit.wait()
    assert client.pfs.pfs_file(pfs.File(commit=commit, path="/e/b")).read() == b"b"


def test_kept_under_a_key(client: Client) -> None:
    id = client.pfs.create_file_set(adding(("/a", b"a"))).file_set_id
    client.pfs.put_cache(key=f"mine/{id}", file_set_ids=[id], tag="mine")
    client.pfs.clear_cache(tag_prefix="mine")
    assert "no rows" in refusal(lambda: client.pfs.get_cache(key=f"mine/{id}"))[1]


def test_uploads_at_the_same_time(client: Client, branch: pfs.Branch) -> None:
    with client.pfs.commit(branch=branch) as commit:
        threads = [
            threading.Thread(target=commit.put_file_from_bytes, args=(f"/{number}", b"x" * number))
            for number in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    commit.wait()
    listed = list(client.pfs.list_file(file=pfs.File(commit=commit, path="/")))
    assert [info.size_bytes for info in listed] == list(range(8))
    assert list(client.pfs.fsck()) == []
