"""What a client remembers of its uploads is never more than a hint: other instances, collections, commands at once."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

import datamill
from datamill.bulk.recalling import recall
from datamill.wire import upkeep_v1_pb2 as upkeep
from tests.support.bulk import Watch, aged, tree
from tests.support.servers import SERVING, channel, free_port, running, service_command, settings, unique
from tests.support.upkeep import upkeep_of

Instance = Callable[[str], AbstractContextManager[datamill.Client]]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty files in three folders, one of them of several chunks; old enough to be remembered."""
    for number in range(30):
        path = tmp_path / "data" / f"d{number // 10}" / f"{number:02}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(6 << 20 if number == 7 else 500))
    aged(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def instance(tmp_path: Path, nats_url: str, service_token: str) -> Instance:
    """Starts a PFS over a data directory of this name, always at the same address."""
    where = f"127.0.0.1:{free_port()}"

    @contextmanager
    def started(name: str) -> Iterator[datamill.Client]:
        env = settings("pfs", tmp_path / name, nats_url=nats_url, token=service_token, listen=where)
        with (
            running(service_command("pfs"), env=env | {"PFS_GC_EVERY": "0s"}, ready=SERVING),
            datamill.Client(f"grpc://{where}") as client,
        ):
            yield client

    return started


def put(client: datamill.Client, folder: Path) -> None:
    client.put_folder(folder, "repo@master:/in")
    assert client.wait_commit("repo@master").error == ""


def held(client: datamill.Client, out: Path) -> dict[str, bytes]:
    client.get_folder("repo@master:/in", out / (name := unique("out")))
    return tree(out / name)


def test_another_instance_at_the_same_address_is_sent_everything(
    instance: Instance, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with instance("one") as client:
        client.create_repo("repo")
        put(client, folder)
    watch = Watch(monkeypatch)
    with instance("two") as client:
        client.create_repo("repo")
        put(client, folder)
        assert len(watch.read) == 30
        assert held(client, tmp_path) == tree(folder)
    del watch.read[:]
    with instance("one") as client:  # which is remembered still
        put(client, folder)
        assert watch.read == []
        assert held(client, tmp_path) == tree(folder)


def test_content_that_was_collected_is_sent_again(
    instance: Instance, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with instance("one") as client:
        client.create_repo("repo")
        put(client, folder)
        client.delete_repo("repo")
    with sqlite3.connect(tmp_path / "one/pfs/pfs.db") as base:
        base.execute("UPDATE file_sets SET expires_at = '2026-01-01 00:00:00.000000'")  # as if time had passed
    with instance("one") as client:
        request = upkeep.CollectGarbageRequest()
        request.hold.FromSeconds(0)
        with channel(client.address.removeprefix("grpc://")) as opened:
            list(upkeep_of(opened).CollectGarbage(request, timeout=120))
        assert not [path for path in (tmp_path / "one/pfs/store/packs").glob("*/*") if path.is_file()]
        client.create_repo("repo")
        watch = Watch(monkeypatch)
        put(client, folder)
        assert len(watch.read) == 30
        assert held(client, tmp_path) == tree(folder)
        put(client, folder)
        assert len(watch.read) == 30
        assert held(client, tmp_path) == tree(folder)


def test_commands_at_once_disturb_neither_each_other_nor_what_is_remembered(
    pfs_address: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with datamill.Client(f"grpc://{pfs_address}") as client:
        repo = unique("repo")
        client.create_repo(repo)

        def one(_number: int) -> int:
            with datamill.Client(f"grpc://{pfs_address}") as other:
                return other.put_folder(folder, f"{repo}@master:/in")

        for turn in range(3):
            (folder / "d1/10").write_bytes(b"changed" * turn)
            aged(folder)
            commit = client.start_commit(f"{repo}@master")
            with ThreadPoolExecutor(3) as threads:
                assert list(threads.map(one, range(3))) == [30] * 3
            client.finish_commit(commit)
            assert client.wait_commit(commit).error == ""
            client.get_folder(f"{repo}@master:/in", tmp_path / f"out{turn}")
            assert tree(tmp_path / f"out{turn}") == tree(folder)
        watch = Watch(monkeypatch)
        assert client.put_folder(folder, f"{repo}@master:/in") == 30
        assert (watch.read, watch.stored) == ([], [])


def test_only_files_of_runs_that_differ_are_asked_about(
    pfs_address: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "RUN_FILES", 10)
    with datamill.Client(f"grpc://{pfs_address}") as client:
        repo = unique("repo")
        client.create_repo(repo)

        def asked(files: int) -> list[str]:
            with monkeypatch.context() as patch:
                watch = Watch(patch)
                assert client.put_folder(folder, f"{repo}@master:/in") == files
                assert watch.read == []
                assert client.wait_commit(f"{repo}@master").error == ""
                return watch.asked

        client.put_folder(folder, f"{repo}@master:/in")
        client.wait_commit(f"{repo}@master")
        assert asked(30) == []
        (folder / "d0/03").unlink()  # it stays in the target, and so in its run
        assert asked(29) == []
        client.put(f"{repo}@master:/in/d2/25.5", b"from somebody else")
        client.wait_commit(f"{repo}@master")
        assert asked(29) == [f"d2/{number}" for number in range(20, 30)]
        client.put(f"{repo}@master:/in/d1/11", b"from somebody else")
        client.wait_commit(f"{repo}@master")
        assert asked(29) == [f"d{number // 10}/{number}" for number in range(10, 30)]
        client.get_folder(f"{repo}@master:/in/d1", tmp_path / "out")
        assert tree(tmp_path / "out") == tree(folder / "d1")
