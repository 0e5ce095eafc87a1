"""Bulk transfer against a real PFS: what is not read again, not sent again, and what a cut leaves behind."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

import datamill
from datamill import errors
from datamill.bulk.fetching import copying, landing
from datamill.bulk.recalling import columns, questions
from datamill.bulk.sending import storing, upload
from datamill.wire import content_v1_pb2 as content
from tests.support.bulk import Watch, aged, tree
from tests.support.servers import unique

MIB = 1 << 20


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def client(pfs_address: str) -> Iterator[datamill.Client]:
    with datamill.Client(f"grpc://{pfs_address}") as opened:
        yield opened


@pytest.fixture
def repo(client: datamill.Client) -> str:
    name = unique("repo")
    client.create_repo(name)
    return name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Small files, equal ones, an empty one and a big one; old enough to be remembered."""
    contents = {
        "a/1": b"one",
        "a/2": b"one",
        "b": b"",
        "c/d": os.urandom(100_000),
        "big": Random(3).randbytes(40 * MIB),
    }
    for name, data in contents.items():
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    aged(tmp_path / "data")
    return tmp_path / "data"


def put(client: datamill.Client, repo: str, folder: Path, files: int = 5) -> None:
    seen = [0, 0]

    def progress(more: int, size: int) -> None:
        seen[0] += more
        seen[1] += size

    assert client.put_folder(folder, f"{repo}@master:/in", progress=progress) == files
    assert seen == [files, sum(map(len, tree(folder).values()))]
    assert client.wait_commit(f"{repo}@master").error == ""


def held(client: datamill.Client, repo: str, tmp_path: Path) -> dict[str, bytes]:
    out = tmp_path / unique("out")
    client.get_folder(f"{repo}@master:/in", out)
    found = tree(out)
    shutil.rmtree(out)
    return found


def test_an_unchanged_folder_is_neither_read_nor_sent(
    client: datamill.Client, repo: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(client, repo, folder)
    watch = Watch(monkeypatch)
    put(client, repo, folder)
    assert (watch.read, watch.stored) == ([], [])
    assert held(client, repo, tmp_path) == tree(folder)
    (folder / "a/1").write_bytes(b"two")
    (folder / "b").unlink()
    put(client, repo, folder, files=4)
    assert (watch.read, watch.stored) == (["a/1"], [3])
    assert held(client, repo, tmp_path) == tree(folder) | {"b": b""}


def test_what_others_changed_is_put_back(
    client: datamill.Client, repo: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(client, repo, folder)
    client.put(f"{repo}@master:/in/a/1", b"other")
    client.delete_file(f"{repo}@master:/in/big")
    client.wait_commit(f"{repo}@master")
    watch = Watch(monkeypatch)
    put(client, repo, folder)
    assert (watch.read, watch.stored) == ([], [])
    assert held(client, repo, tmp_path) == tree(folder)


def test_a_commit_that_comes_between_is_put_back_too(
    client: datamill.Client, repo: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(client, repo, folder)
    start = datamill.Client.start_commit

    def late(self: datamill.Client, *args: Any, **named: Any) -> Any:
        monkeypatch.undo()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        client.put(f"{repo}@master:/in/a/1", b"other")
        return start(self, *args, **named)

    monkeypatch.setattr(datamill.Client, "start_commit", late)
    put(client, repo, folder)
    assert held(client, repo, tmp_path) == tree(folder)


def test_contents_that_the_branch_holds_are_not_sent_by_another_machine(
    client: datamill.Client, repo: str, folder: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(client, repo, folder)
    shutil.rmtree(cache)
    (folder / "big").unlink()
    (folder / "a/1").write_bytes(b"new")
    aged(folder)
    watch = Watch(monkeypatch)
    put(client, repo, folder, files=4)
    assert sorted(watch.read) == ["a/1", "a/2", "b", "c/d"]
    assert watch.stored == [3]
    assert {**tree(folder), "big": b""} == {**held(client, repo, tmp_path), "big": b""}
    put(client, repo, folder, files=4)
    assert len(watch.read) == 4


@pytest.mark.parametrize("stored", [1, 2])
def test_an_upload_that_was_cut_off_goes_on(
    client: datamill.Client, repo: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: int
) -> None:
    with monkeypatch.context() as patch:
        watch, store = Watch(patch), storing.Packs.store

        def broken(self: storing.Packs, pack: Any) -> bytes:
            if len(watch.stored) >= stored:
                raise KeyboardInterrupt
            return store(self, pack)

        patch.setattr(storing.Packs, "store", broken)
        patch.setattr(upload, "STORING", 1)
        with pytest.raises(KeyboardInterrupt):
            client.put_folder(folder, f"{repo}@master:/in")
    sent = sum(watch.stored)
    assert sent >= stored * 16 * MIB
    assert not list(client.list_commits(repo))
    watch = Watch(monkeypatch)
    put(client, repo, folder)
    assert sum(watch.stored) <= 40 * MIB + 100_003 - sent
    assert "a/1" not in watch.read
    assert held(client, repo, tmp_path) == tree(folder)


def test_a_change_in_a_big_file_sends_a_few_chunks(
    client: datamill.Client, repo: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(client, repo, folder)
    data = (folder / "big").read_bytes()
    (folder / "big").write_bytes(data[: 20 * MIB] + b"!" + data[20 * MIB :])
    watch = Watch(monkeypatch)
    put(client, repo, folder)
    assert watch.read == ["big"]
    assert 0 < sum(watch.stored) <= 8 * MIB
    assert held(client, repo, tmp_path) == tree(folder)


def test_a_memory_that_names_what_is_gone_does_no_harm(
    client: datamill.Client, repo: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(client, repo, folder)
    client.delete_repo(repo)
    client.create_repo(repo)

    def wrong(self: Any, packs: set[bytes]) -> set[bytes]:
        return packs

    known = columns.Table.known

    def elsewhere(self: columns.Table, row: int) -> columns.Known:
        found = known(self, row)
        whole = _elsewhere(found.whole) if found.whole else b""
        return found._replace(place=columns.place(b"\1" * 16, 0), whole=whole)

    monkeypatch.setattr(columns.Table, "known", elsewhere)
    put(client, repo, folder)  # the service says that no such packs are there
    assert held(client, repo, tmp_path) == tree(folder)
    client.delete_repo(repo)
    client.create_repo(repo)
    monkeypatch.setattr(questions.Questions, "alive", wrong)  # as if they went just after it was asked
    assert client.put_folder(folder, f"{repo}@master:/in") == 5
    assert held(client, repo, tmp_path) == tree(folder)


def _elsewhere(data: bytes) -> bytes:
    whole = content.Content.FromString(data)
    for extent in whole.extents:
        extent.pack_id = b"\1" * 16
    return whole.SerializeToString()


def test_a_broken_cache_is_no_error(client: datamill.Client, repo: str, folder: Path, cache: Path) -> None:
    put(client, repo, folder)
    places = list((cache / "datamill" / "sent").glob("*.sqlite"))
    assert len(places) == 1
    for place in places[0].parent.iterdir():
        place.write_bytes(b"no database")
    put(client, repo, folder)


def test_files_that_are_there_are_kept_and_others_replaced_whole(
    client: datamill.Client, repo: str, folder: Path, tmp_path: Path
) -> None:
    put(client, repo, folder)
    out = tmp_path / "out"
    assert client.get_folder(f"{repo}@master:/in", out) == 5
    numbers = {path: path.stat().st_ino for path in out.rglob("*")}
    (out / "a/1").write_bytes(b"xxx")
    (out / "own").write_bytes(b"stays")
    (out / "big").write_bytes((folder / "big").read_bytes()[:-1])
    assert client.get_folder(f"{repo}@master:/in", out) == 5
    assert tree(out) == tree(folder) | {"own": b"stays"}
    assert (out / "c/d").stat().st_ino == numbers[out / "c/d"]
    assert (out / "a/1").stat().st_ino != numbers[out / "a/1"]
    mode = os.umask(0)
    os.umask(mode)
    assert {oct(path.stat().st_mode & 0o777) for path in out.rglob("*") if path.is_file()} == {oct(0o666 & ~mode)}


def test_a_download_that_was_cut_off_goes_on(
    client: datamill.Client, repo: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(client, repo, folder)
    out, taken = tmp_path / "out", [0]
    with monkeypatch.context() as patch:
        write = landing.Partial.write

        def cut(self: landing.Partial, data: bytes, at: int) -> None:
            taken[0] += 1
            if taken[0] > 10:
                raise KeyboardInterrupt
            write(self, data, at)

        patch.setattr(landing.Partial, "write", cut)
        patch.setattr(copying, "THREADS", 1)
        with pytest.raises(KeyboardInterrupt):
            client.get_folder(f"{repo}@master:/in", out)
    assert not (out / "big").exists()
    partial = [path for path in out.iterdir() if path.name.endswith(".part")]
    assert len(partial) == 1
    fetched: list[int] = []
    read = copying._Reader.read

    def seen(self: copying._Reader, wanted: content.Extent) -> memoryview:
        fetched.append(wanted.size_bytes)
        return read(self, wanted)

    monkeypatch.setattr(copying._Reader, "read", seen)
    client.get_folder(f"{repo}@master:/in", out)
    assert tree(out) == tree(folder)
    assert sum(fetched) < 35 * MIB


def test_bytes_that_are_damaged_never_come_under_a_name(
    client: datamill.Client, repo: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(client, repo, folder)
    preadv = os.preadv

    def damaged(handle: int, buffers: list[memoryview], offset: int) -> int:
        count = preadv(handle, buffers, offset)
        buffers[0][-1] ^= 1
        return count

    monkeypatch.setattr(os, "preadv", damaged)
    with pytest.raises(errors.Corrupt):
        client.get_folder(f"{repo}@master:/in", tmp_path / "out")
    for name, data in tree(tmp_path / "out").items():
        assert name.endswith(".part") or data == tree(folder)[name]


def test_one_big_file_comes_under_the_name_asked_for(
    client: datamill.Client, repo: str, folder: Path, tmp_path: Path
) -> None:
    put(client, repo, folder)
    assert client.get_straight(f"{repo}@master:/in/big", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == (folder / "big").read_bytes()
    assert landing.is_there(str(tmp_path / "copy"), content.Content()) is False
