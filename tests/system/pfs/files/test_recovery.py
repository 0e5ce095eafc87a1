"""A PFS of its own that is killed, and whose store is damaged or full."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from tests.support.servers import SERVING, Running, channel, running, service_command, settings
from tests.system.pfs.driver import Repo, put, refused


@contextmanager
def pfs_on(root: Path, nats_url: str) -> Iterator[tuple[Running, grpc.Channel]]:
    env = settings("pfs", root, nats_url=nats_url, token="t")
    with running(service_command("pfs"), env=env, ready=SERVING) as process, channel(process[1]) as opened:
        yield process, opened


def test_a_commit_that_was_closed_before_a_kill_is_finished_after_it(tmp_path: Path, nats_url: str) -> None:
    with pfs_on(tmp_path, nats_url) as (process, opened):
        repo = Repo(opened)
        commit = repo.start()
        repo.stream((put(f"/d/{n}", b"%d" % n) for n in range(20_000)), commit)
        repo.api.FinishCommit(pfs.FinishCommitRequest(commit=commit))
        process.kill(signal.SIGKILL)
        process.process.wait()
    with pfs_on(tmp_path, nats_url) as (_, opened):
        again = Repo(opened, repo.name)
        info = again.wait(commit)
        assert info.error == ""
        assert len(again.ls("/d", commit)) == 20_000
        assert again.read("/d/7", commit) == b"7"


def test_damaged_content_is_named_and_never_given_out(tmp_path: Path, nats_url: str) -> None:
    with pfs_on(tmp_path, nats_url) as (_, opened):
        repo = Repo(opened)
        repo.modify(put("a", b"what was written"), put("b", b"sound"))
        repo.wait()
        (pack,) = [path for path in (tmp_path / "pfs/store/packs").glob("*/*") if path.is_file()]
        data = pack.read_bytes()
        pack.write_bytes(data.replace(b"what was", b"what is!"))
        with refused(grpc.StatusCode.DATA_LOSS, f"content in pack {pack.name} is damaged"):
            repo.read("a")
        with refused(grpc.StatusCode.DATA_LOSS, f"content in pack {pack.name} is damaged"):
            repo.tar("/")
        assert repo.read("b") == b"sound"
        pack.unlink()
        with refused(grpc.StatusCode.DATA_LOSS, f"packs/{pack.name[:2]}/{pack.name} is missing from the store"):
            repo.read("b")


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 24 MiB at this folder."""
    folder.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], check=False)
    if mounted.returncode:
        pytest.skip("mounting a small file system takes root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def small_store(tmp_path: Path) -> Iterator[Path]:
    """The folder of a PFS with little room for its store."""
    with small_disk(tmp_path / "pfs/store"):
        yield tmp_path


@pytest.fixture
def small_home(tmp_path: Path) -> Iterator[Path]:
    """The folder of a PFS with little room for anything."""
    with small_disk(tmp_path / "pfs"):
        yield tmp_path


def filled(folder: Path) -> Path:
    """Take all the room there is. Returns what takes it."""
    filler = folder / "filler"
    with open(filler, "wb", 0) as file, suppress(OSError):
        for size in (1 << 20, 1 << 10):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
    return filler


def test_a_full_store_refuses_a_put_and_keeps_the_commit_open(small_store: Path, nats_url: str) -> None:
    with pfs_on(small_store, nats_url) as (_, opened):
        repo = Repo(opened)
        commit = repo.start()
        repo.modify(put("small", b"1"), commit=commit)
        with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "the disk of the store is full"):
            repo.stream((put(f"big{n}", os.urandom(1 << 20)) for n in range(40)), commit)
        assert repo.walk("/", commit) == ["/", "/small"]
        repo.modify(put("more", b"2"), commit=commit)
        assert repo.finish(commit).error == ""
        assert repo.ls("/", commit) == ["/more", "/small"]


def test_a_commit_that_finds_no_room_to_be_finished_is_finished_when_there_is_some(
    small_store: Path, nats_url: str
) -> None:
    with pfs_on(small_store, nats_url) as (process, opened):
        repo = Repo(opened)
        commit = repo.start()
        repo.stream((put(f"/d/{n}", b"%d" % n) for n in range(3000)), commit)
        filler = filled(small_store / "pfs/store")
        repo.api.FinishCommit(pfs.FinishCommitRequest(commit=commit))
        process.wait_for("finishing commit .* failed; it is tried again")
        filler.unlink()
        assert repo.wait(commit).error == ""
        assert len(repo.ls("/d", commit)) == 3000


def test_a_full_disk_of_the_database_refuses_and_goes_on_when_there_is_room(small_home: Path, nats_url: str) -> None:
    with pfs_on(small_home, nats_url) as (process, opened):
        repo = Repo(opened)
        repo.modify(put("before", b"1"))
        first = repo.wait().commit
        filler = filled(small_home / "pfs")
        with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "the disk of the database is full"):
            for number in range(5000):  # there is some room left in its file
                repo.api.CreateRepo(pfs.CreateRepoRequest(repo=repo.wire, description=f"{number}" * 500, update=True))
        assert repo.read("before", first) == b"1"
        filler.unlink()
        repo.modify(put("after", b"2"))
        assert repo.wait().error == ""
        assert repo.walk("/") == ["/", "/after", "/before"]
        assert process.process.poll() is None
