"""Who reaches an instance: other machines and web pages only when told so; and nobody is cut off when it goes down."""

import http.client
import secrets
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import psutil
import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pfs_v2_pb2_grpc as pfs_grpc
from datamill.wire import versionpb_v2_pb2 as versions
from tests.support.servers import eventually
from tests.system.instance.test_up import Instance

PAGE = "https://app.example.org"
VERSION = "/versionpb_v2.API/GetVersion"


def address_of_this_machine() -> str:
    """One that is not the loopback's; the test is skipped where there is none."""
    for addresses in psutil.net_if_addrs().values():
        for one in addresses:
            if one.family == socket.AF_INET and not one.address.startswith("127."):
                return one.address
    pytest.skip("this machine has the loopback only")


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """One that a web page may call; the last test stops it."""
    found = Instance(tmp_path_factory.mktemp("reach") / "data")
    done = found.do("up", "--port", "0", "--detach", "--allow-origin", PAGE)
    assert (done.returncode, done.stderr) == (0, "")
    yield found
    found.do("down")


def reachable(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 5).close()
    except OSError:
        return False
    return True


def asked(instance: Instance, method: str, headers: dict[str, str], body: bytes = b"") -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(instance.target, timeout=120)
    connection.request(method, VERSION, body, headers)
    return connection.getresponse()


def preflight(instance: Instance, origin: str) -> http.client.HTTPResponse:
    wanted = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-grpc-web"}
    return asked(instance, "OPTIONS", {"Origin": origin, **wanted})


def test_a_page_of_an_allowed_origin_may_call(instance: Instance) -> None:
    answer = preflight(instance, PAGE)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, PAGE)
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert {"content-type", "x-grpc-web"} <= set(answer.headers["access-control-allow-headers"].split(","))
    message = struct.pack(">BI", 0, 0)
    headers = {"Origin": PAGE, "Content-Type": "application/grpc-web+proto", "X-Grpc-Web": "1"}
    answer = asked(instance, "POST", headers, message)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, PAGE)
    assert "grpc-status" in answer.headers["access-control-expose-headers"]
    body = answer.read()
    size = struct.unpack(">BI", body[:5])[1]
    assert versions.Version.FromString(body[5 : 5 + size]).major == 2
    kind, length = struct.unpack(">BI", body[5 + size : 10 + size])
    assert kind == 0x80, "the trailers come as the last frame"
    assert b"grpc-status:0" in body[10 + size :][:length].replace(b" ", b"")


def test_pages_of_other_origins_may_not(instance: Instance) -> None:
    for origin in ("https://elsewhere.example.org", "http://app.example.org", "null"):
        assert preflight(instance, origin).headers["access-control-allow-origin"] is None


def test_other_machines_reach_it_only_when_told_so(
    instance: Instance, tmp_path_factory: pytest.TempPathFactory
) -> None:
    here = address_of_this_machine()
    assert not reachable(here, int(instance.target.rpartition(":")[2]))
    other = Instance(tmp_path_factory.mktemp("listen") / "data")
    try:
        done = other.do("up", "--port", "0", "--detach", "--listen", here)
        assert done.returncode == 0
        port = int(other.target.rpartition(":")[2])
        assert "no authentication" in done.stderr
        assert f"{here}:{port}" in done.stderr
        assert reachable(here, port)
        assert reachable("127.0.0.1", port)
        assert f"{here}:{port}" in other.do("status").stdout
    finally:
        other.do("down")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (("--listen", "nowhere"), "not an IP address"),
        (("--listen", "203.0.113.77"), "cannot listen on 203.0.113.77"),
        (("--allow-origin", "https://a.example/path"), "not an origin"),
        (("--allow-origin", "*"), "not an origin"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    option: tuple[str, str], words: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    done = Instance(tmp_path_factory.mktemp("refused") / "data").do("up", "--port", "0", "--detach", *option)
    assert done.returncode == 1
    assert words in done.stderr


def test_a_stream_of_many_tiny_messages_passes(instance: Instance) -> None:
    name, many = f"tiny-{secrets.token_hex(4)}", 60_000
    instance.create_repo(name)
    repo = pfs.Repo(name=name, type="user", project=pfs.Project(name="default"))
    master = pfs.Commit(branch=pfs.Branch(repo=repo, name="master"))

    def messages() -> Iterator[pfs.ModifyFileRequest]:
        yield pfs.ModifyFileRequest(set_commit=master)
        for number in range(many):
            message = pfs.ModifyFileRequest(add_file=pfs.AddFile(path=f"/{number}"))
            message.add_file.raw.value = b""
            yield message

    with grpc.insecure_channel(instance.target) as channel:
        files = pfs_grpc.APIStub(channel)
        files.ModifyFile(messages(), timeout=300)
        found = files.ListFile(pfs.ListFileRequest(file=pfs.File(commit=master, path="/")), timeout=300)
        assert sum(1 for _ in found) == many


def test_down_lets_a_call_end(instance: Instance) -> None:
    name = f"drained-{secrets.token_hex(4)}"
    instance.create_repo(name)
    repo = pfs.Repo(name=name, type="user", project=pfs.Project(name="default"))
    port, begun, go_on = int(instance.target.rpartition(":")[2]), threading.Event(), threading.Event()

    def messages() -> Iterator[pfs.ModifyFileRequest]:
        yield pfs.ModifyFileRequest(set_commit=pfs.Commit(branch=pfs.Branch(repo=repo, name="master")))
        begun.set()
        assert go_on.wait(120)
        message = pfs.ModifyFileRequest(add_file=pfs.AddFile(path="/last"))
        message.add_file.raw.value = b"word"
        yield message

    with grpc.insecure_channel(instance.target) as channel, ThreadPoolExecutor(2) as threads:
        call = threads.submit(pfs_grpc.APIStub(channel).ModifyFile, messages(), timeout=120)
        assert begun.wait(120)
        stopping = threads.submit(instance.do, "down")
        eventually(lambda: not reachable("127.0.0.1", port), "new connections are refused")
        go_on.set()
        call.result(120)
        assert stopping.result(120).returncode == 0
    assert "cut off" not in (instance.data_dir / "logs" / "supervisor.log").read_text()
