"""Streams larger than the memory that PFS may take for them: what it holds at most is read from the kernel."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from deploy.local.running.parts import FRUGAL
from tests.support.servers import SERVING, channel, running, service_command, settings
from tests.system.pfs.driver import Change, Repo, put

MIB = 1 << 20
STREAM_BYTES = int(os.environ.get("DATAMILL_BIG_STREAM_MIB", "768")) * MIB
MOST_MIB = 300
"""Far under the stream's length; of it, about 120 MiB are the process itself."""
BLOCK = os.urandom(MIB - 8)


@dataclass
class Place:
    repo: Repo
    pid: int

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def peak_mib(self) -> int:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        assert found is not None
        return int(found[1]) >> 10


@pytest.fixture
def place(tmp_path: Path, nats_url: str, service_token: str) -> Iterator[Place]:
    env = settings("pfs", tmp_path, nats_url=nats_url, token=service_token) | FRUGAL
    with running(service_command("pfs"), env=env, ready=SERVING) as found, channel(found[1]) as opened:
        yield Place(Repo(opened), found.process.pid)


def megabytes(count: int, first: int = 0) -> Iterator[bytes]:
    """So many different MiB."""
    for number in range(first, first + count):
        yield number.to_bytes(8, "big") + BLOCK


@pytest.mark.timeout(3600)
def test_one_file_larger_than_memory(place: Place) -> None:
    count = STREAM_BYTES // MIB
    place.forget_peak()
    place.repo.stream(put("big", piece) for piece in megabytes(count))
    place.repo.wait()
    assert place.repo.inspect("big").size_bytes == count * MIB
    assert place.peak_mib() < MOST_MIB
    place.forget_peak()
    request = pfs.GetFileRequest(file=place.repo.file("big"))
    pieces = place.repo.api.GetFile(request)
    rest = b""
    for expected in megabytes(count):
        while len(rest) < MIB:
            rest += next(pieces).value
        assert rest[:MIB] == expected
        rest = rest[MIB:]
    assert (rest, next(pieces, None)) == (b"", None)
    assert place.peak_mib() < MOST_MIB


@pytest.mark.timeout(3600)
def test_many_files_and_a_copy_of_them_all(place: Place) -> None:
    count = STREAM_BYTES // MIB // 2
    place.forget_peak()
    commit = place.repo.start()
    place.repo.stream((put(f"d/{number}", piece) for number, piece in enumerate(megabytes(count))), commit)
    copy = pfs.CopyFile(src=place.repo.file("/d", commit), dst="/e")
    place.repo.stream([Change(copy_file=copy)], commit)
    place.repo.finish(commit)
    assert place.repo.inspect("/").size_bytes == 2 * count * MIB
    tar = place.repo.api.GetFileTAR(pfs.GetFileRequest(file=place.repo.file("/e")))
    assert sum(len(piece.value) for piece in tar) > count * MIB
    assert place.peak_mib() < MOST_MIB
