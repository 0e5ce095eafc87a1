"""Long answers: what PFS holds of them in memory, who stops reading, and what ends in the middle.

What PFS holds at most is read from the kernel.
"""

import http.client
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local.running.parts import FRUGAL
from services.pfs.web.archive.spec import address
from services.pfs.web.server import AT_ONCE
from tests.support.servers import SERVING, Running, channel, eventually, free_port, running, service_command, settings
from tests.system.pfs.driver import Repo, put
from tests.system.pfs.web.asking import Site

MIB = 1 << 20
BIG_MIB, SMALL_MIB = 300, 40
BLOCK = os.urandom(MIB - 8)


@dataclass
class Place:
    repo: Repo
    site: Site
    process: Running
    store: Path

    @property
    def _status(self) -> Path:
        return Path(f"/proc/{self.process.process.pid}/status")

    def forget_peak(self) -> int:
        """How many MiB it has now, which the peak is counted from."""
        self._status.with_name("clear_refs").write_text("5")
        return self._mib("VmRSS")

    def peak(self) -> int:
        return self._mib("VmHWM")

    def _mib(self, name: str) -> int:
        found = re.search(rf"{name}:\s+(\d+) kB", self._status.read_text())
        assert found is not None
        return int(found[1]) >> 10


@pytest.fixture
def place(tmp_path: Path, nats_url: str, service_token: str) -> Iterator[Place]:
    port = free_port()
    env = settings("pfs", tmp_path, nats_url=nats_url, token=service_token) | FRUGAL
    env |= {"PFS_HTTP_LISTEN": f"127.0.0.1:{port}", "PFS_DRAIN": "60"}
    with running(service_command("pfs"), env=env, ready=SERVING) as found, channel(found[1]) as opened:
        repo = Repo(opened)
        yield Place(repo, Site(port, repo.name), found, tmp_path / "pfs" / "store")


def megabytes(count: int) -> Iterator[bytes]:
    """So many different MiB."""
    for number in range(count):
        yield number.to_bytes(8, "big") + BLOCK


def fill(repo: Repo, mib: int) -> None:
    repo.stream(put("/big", piece) for piece in megabytes(mib))
    repo.wait()


def begun(place: Place, path: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    """An answer whose reader takes little at a time."""
    connection = http.client.HTTPConnection("127.0.0.1", place.site.port, timeout=120)
    connection.connect()
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
    connection.request("GET", path)
    return connection, connection.getresponse()


@pytest.mark.timeout(900)
def test_a_big_file_is_never_whole_in_memory(place: Place) -> None:
    fill(place.repo, BIG_MIB)
    before = place.forget_peak()
    for path in (place.site.at("/big"), address([("default", place.repo.name, "master", "/")])):
        connection, answer = begun(place, path)
        if answer.headers["Content-Type"] == "application/zip":
            assert sum(len(answer.read(MIB)) for _ in range(BIG_MIB // 3)) == BIG_MIB // 3 * MIB
        else:
            for expected in megabytes(BIG_MIB):
                assert answer.read(MIB) == expected
            assert answer.read() == b""
        connection.close()
        assert place.peak() - before < 100


@pytest.mark.timeout(900)
def test_readers_that_stall_and_readers_that_leave(place: Place) -> None:
    fill(place.repo, SMALL_MIB)
    before = place.forget_peak()
    path = place.site.at("/big")
    with ExitStack() as stalled:
        for _ in range(AT_ONCE - 1):
            connection, answer = begun(place, path)
            stalled.callback(connection.close)
            stalled.callback(answer.close)
            assert len(answer.read(1000)) == 1000
        assert place.site.file("/big", Range="bytes=8-9").body == BLOCK[:2]
        assert place.peak() - before < 5 * AT_ONCE
        connection, answer = begun(place, path)
        stalled.callback(connection.close)
        stalled.callback(answer.close)
        assert place.site.ask("/healthz").status == 200
    # Had it not noticed that they left, these would be refused in the end.
    for _ in range(2 * AT_ONCE):
        assert place.site.file("/big", Range="bytes=8-9").status == 206
    assert '"level": "error"' not in place.process.log


@pytest.mark.timeout(300)
def test_what_is_being_read_when_it_is_told_to_stop(place: Place) -> None:
    fill(place.repo, SMALL_MIB)
    connection, answer = begun(place, place.site.at("/big"))
    place.process.process.send_signal(signal.SIGTERM)
    eventually(lambda: not listens(place.site.port), "it takes nothing new")
    assert sum(len(answer.read(MIB)) for _ in range(SMALL_MIB)) == SMALL_MIB * MIB
    connection.close()
    assert place.process.process.wait(90) == 0


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True


@pytest.mark.timeout(300)
def test_content_that_is_gone(place: Place) -> None:
    fill(place.repo, SMALL_MIB)
    packs = sorted(place.store.glob("packs/*/*"), key=lambda path: path.stat().st_mtime_ns)
    packs[-1].unlink()
    connection, answer = begun(place, place.site.at("/big"))
    assert answer.status == 200
    with pytest.raises(http.client.IncompleteRead):
        answer.read()
    connection.close()
    assert place.site.file("/big", Range="bytes=0-9").status == 206
    last = place.site.file("/big", Range="bytes=-9")
    assert (last.status, last.headers["Content-Range"]) == (500, None)
    assert "an answer was cut off" in place.process.log


def test_one_connection_for_many_requests(place: Place) -> None:
    place.repo.modify(put("/f", b"0123456789"), put("/empty", b""))
    place.repo.wait()
    at = place.site.at
    connection = http.client.HTTPConnection("127.0.0.1", place.site.port, timeout=60)
    for method, path, headers, status, body in (
        ("GET", at("/f"), {}, 200, b"0123456789"),
        ("HEAD", at("/f"), {}, 200, b""),
        ("GET", at("/f"), {"If-None-Match": "*"}, 304, b""),
        ("GET", at("/empty"), {}, 200, b""),
        ("HEAD", at("/"), {}, 200, b""),
        ("GET", at("/f"), {"Range": "bytes=2-3"}, 206, b"23"),
        ("GET", at("/"), {}, 200, b"-\t0\t/empty\n-\t10\t/f\n"),
        ("HEAD", at("/missing"), {}, 404, b""),
        ("GET", "/healthz", {}, 200, b"healthy\n"),
    ):
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        assert (answer.status, answer.read(), path) == (status, body, path)
    connection.close()


def test_old_clients_and_noise(place: Place) -> None:
    place.repo.modify(put("/f", b"0123456789"))
    place.repo.wait()
    for request, words in (
        (f"GET {place.site.at('/')} HTTP/1.0\r\n\r\n", [b"200 OK", b"-\t10\t/f\n"]),
        (f"GET {place.site.at('/f')} HTTP/1.0\r\n\r\n", [b"200 OK", b"0123456789"]),
        ("GET / HTTP/9.9\r\n\r\n", [b" 400 "]),
        ("\x00\x01\x02\r\n\r\n", [b" 400 "]),
    ):
        with socket.create_connection(("127.0.0.1", place.site.port), 60) as connection:
            connection.sendall(request.encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        for word in words:
            assert word in answer
    assert place.site.file("/f").status == 200
