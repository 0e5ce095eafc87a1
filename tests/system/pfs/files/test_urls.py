"""Addresses as sources and targets of files: pages, buckets of a real S3 server, local files; what may not be named."""

import io
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from minio import Minio

from datamill.wire import pfs_v2_pb2 as pfs
from tests.support.seaweed import KEY, SECRET, Seaweed
from tests.support.servers import SERVING, channel, eventually, running, service_command, settings, unique
from tests.system.pfs.driver import Change, Repo, put, refused

UNKNOWN, DENIED, NOT_FOUND = grpc.StatusCode.UNKNOWN, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.NOT_FOUND
UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED


DRIPPING, LEFT = threading.Event(), threading.Event()


class Pages(BaseHTTPRequestHandler):
    """/text/…: its path; /big: 5 MiB; /short: less than it says; /drip: for hours; /to/URL: elsewhere."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.startswith("/to/"):
            self._say(302, b"", Location=self.path[4:])
        elif self.path == "/loop":
            self._say(302, b"", Location="/loop")
        elif self.path == "/big":
            self._say(200, b"0123456789abcdef" * (5 << 16))
        elif self.path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"x" * 10)
            self.close_connection = True
        elif self.path == "/drip":
            self._drip()
        elif self.path.startswith("/text/"):
            self._say(200, self.path.encode() + (self.headers.get("Authorization") or "").encode())
        else:
            self._say(404, b"no such page")

    def _drip(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"x")
                DRIPPING.set()
                time.sleep(0.01)
        except OSError:
            LEFT.set()
            self.close_connection = True

    def _say(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def pages() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@dataclass
class Place:
    """A PFS of this module's own, the bucket it reaches as s3:// and minio://, and the folder it may read and write."""

    channel: grpc.Channel
    bucket: str
    client: Minio
    folder: Path
    store: Path

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        names = [one.object_name for one in self.client.list_objects(self.bucket, prefix, recursive=True)]
        return {str(name): self.client.get_object(self.bucket, str(name)).data for name in names}

    def store_objects(self, **found: bytes) -> None:
        for name, data in found.items():
            self.client.put_object(self.bucket, name, io.BytesIO(data), len(data))


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, nats_url: str, service_token: str, seaweed: Seaweed
) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("urls")
    env = settings("pfs", root, nats_url=nats_url, token=service_token)
    folder, bucket = root / "pfs", unique("urls")
    client = seaweed.client()
    client.make_bucket(bucket)
    env |= {"PFS_URL_FOLDERS": f"/nowhere:{folder}", "CUSTOM_ENDPOINT": f"http://{seaweed.endpoint}"}
    env |= {"MINIO_ENDPOINT": seaweed.endpoint, "MINIO_ID": KEY, "MINIO_SECRET": SECRET, **seaweed.environment}
    with running(service_command("pfs"), env=env, ready=SERVING) as found, channel(found[1]) as opened:
        yield Place(opened, bucket, client, folder, root / "pfs/store")


@pytest.fixture
def repo(place: Place) -> Repo:
    return Repo(place.channel)


def from_url(path: str, url: str, *, recursive: bool = False, concurrency: int = 0) -> Change:
    source = pfs.AddFile.URLSource(URL=url, recursive=recursive, concurrency=concurrency)
    return Change(add_file=pfs.AddFile(path=path, url=source))


def to_url(repo: Repo, path: str, url: str, *, tar: bool = False) -> None:
    call = repo.api.GetFileTAR if tar else repo.api.GetFile
    assert list(call(pfs.GetFileRequest(file=repo.file(path), URL=url))) == []


def test_a_page_is_put_in_the_order_of_the_stream(repo: Repo, pages: str) -> None:
    repo.modify(
        put("a", b"<"),
        from_url("a", f"{pages}/to//text/there"),
        put("a", b">"),
        from_url("big", f"{pages}/big", recursive=True),
        from_url("who", pages.replace("http://", "http://me:s%40cret@") + "/text/"),
    )
    repo.wait()
    assert repo.read("a") == b"</text/there>"
    assert repo.read("big") == b"0123456789abcdef" * (5 << 16)
    assert repo.read("who") == b"/text/Basic bWU6c0BjcmV0"


def test_a_page_that_does_not_come_fails_the_whole_stream(repo: Repo, pages: str) -> None:
    commit = repo.start()
    for url, why in [
        (f"{pages}/none", f'error retrieving content from "{pages}/none": 404 Not Found'),
        (
            f"{pages}/short",
            f'error retrieving content from "{pages}/short": Connection broken: IncompleteRead(10 bytes',
        ),
        (f"{pages}/loop", "redirected more than 10 times"),
        ("http://127.0.0.1:1/x", 'error retrieving content from "http://127.0.0.1:1/x": Failed to establish'),
        ("ftp://x/y", "unrecognized object store: ftp"),
        ("nothing", "unrecognized object store: "),
        ("http://", "bad URL"),
        ("s3://", "it names no bucket"),
    ]:
        with refused(UNKNOWN, why):
            repo.modify(put("good", b"x"), from_url("a", url), commit=commit)
    for scheme, service in [("gs", "Google"), ("azblob", "Azure")]:
        with refused(UNIMPLEMENTED, f"no driver for {scheme} ({service}"):
            repo.modify(from_url("a", f"{scheme}://bucket/key"), commit=commit)
    assert repo.walk(commit=commit) == []
    repo.finish(commit)


def test_a_page_is_let_go_when_nobody_waits_for_it(repo: Repo, pages: str) -> None:
    running = repo.api.ModifyFile.future(iter([Change(set_commit=repo.head), from_url("a", f"{pages}/drip")]))
    assert DRIPPING.wait(120)
    running.cancel()
    assert LEFT.wait(120)
    assert repo.walk(commit=repo.start()) == []


def test_an_export_ends_when_nobody_waits_for_it(repo: Repo, place: Place) -> None:
    repo.modify(*(put(f"{n:04}", b"%d" % n) for n in range(3000)))
    repo.wait()
    out = place.folder / unique("cancelled")
    running = repo.api.GetFileTAR(pfs.GetFileRequest(file=repo.file("/"), URL=f"file://{out}"))
    eventually(out.is_dir, "the export begins")
    running.cancel()
    count = -1

    def still() -> bool:
        nonlocal count
        before, count = count, len(list(out.iterdir()))
        time.sleep(0.2)
        return before == count

    eventually(still, "the export ends")
    assert count < 3000
    assert not list(out.glob(".*.part"))


@pytest.mark.parametrize("scheme", ["s3", "minio"])
def test_objects_are_put_one_or_all_that_begin_alike(repo: Repo, place: Place, scheme: str) -> None:
    big = bytes(range(256)) * (9 << 12)
    here = unique("in")
    place.store_objects(**{f"{here}/a": b"1", f"{here}/ab/c": b"2", f"{here}/ab/d": big, f"{here}/x/": b""})
    url = f"{scheme}://{place.bucket}/{here}"
    repo.modify(
        from_url("/one", f"{url}/a"),
        from_url("/one", f"{url}/ab/c"),
        from_url("/all", f"{url}/", recursive=True, concurrency=2),
    )
    repo.wait()
    assert repo.read("/one") == b"12"
    files = [path for path in repo.walk() if not path.endswith("/")]
    assert files == ["/all/a", "/all/ab/c", "/all/ab/d", "/one"]
    assert repo.read("/all/ab/d") == big


def test_what_begins_alike_goes_below_the_path(repo: Repo, place: Place) -> None:
    here = unique("in")
    place.store_objects(**{f"{here}/a1": b"1", f"{here}/a2/x": b"2", f"{here}/b": b"3"})
    repo.modify(from_url("/", f"s3://{place.bucket}/{here}/a", recursive=True))
    repo.wait()
    assert repo.walk() == ["/", "/1", "/2/", "/2/x"]
    with refused(NOT_FOUND, f"there is nothing at s3://{place.bucket}/{here}/a"):
        repo.modify(from_url("/f", f"s3://{place.bucket}/{here}/a"))
    with refused(NOT_FOUND, "there is nothing at s3://no-such-bucket/a"):
        repo.modify(from_url("/f", "s3://no-such-bucket/a"))
    place.store_objects(**{f"{here}/c/bad*name": b""})
    with refused(UNKNOWN, "globbing character (*) not allowed in path"):
        repo.modify(from_url("/f", f"s3://{place.bucket}/{here}/c/", recursive=True))


def test_many_objects_come_in_whatever_the_concurrency(repo: Repo, place: Place) -> None:
    here = unique("many")
    place.store_objects(**{f"{here}/{n:03}": b"%d" % n for n in range(120)})
    repo.modify(from_url("/", f"s3://{place.bucket}/{here}/", recursive=True, concurrency=1000))
    repo.wait()
    assert {path: repo.read(path) for path in repo.ls("/")} == {f"/{n:03}": b"%d" % n for n in range(120)}


def test_files_are_written_to_a_bucket_and_only_those_that_match(repo: Repo, place: Place) -> None:
    big, here = bytes(range(256)) * (70 << 10), unique("out")
    repo.modify(put("d/a", b"1"), put("d/b.x", b"2"), put("e/c.x", b""), put("big.y", big))
    repo.wait()
    to_url(repo, "**.x", f"s3://{place.bucket}/{here}/x")
    assert place.objects(here) == {f"{here}/x/d/b.x": b"2", f"{here}/x/e/c.x": b""}
    to_url(repo, "/d", f"minio://{place.bucket}/{here}/d/", tar=True)
    to_url(repo, "big.y", f"s3://{place.bucket}/{here}/d")
    assert place.objects(f"{here}/d") == {f"{here}/d/d/a": b"1", f"{here}/d/d/b.x": b"2", f"{here}/d/big.y": big}
    with refused(NOT_FOUND, "file /none not found"):
        to_url(repo, "/none", f"s3://{place.bucket}/{here}")
    with refused(UNKNOWN, "unrecognized object store: http"):
        to_url(repo, "/d", "http://127.0.0.1/x")
    with refused(UNKNOWN, "error writing to s3://no-such-bucket/d/a"):
        to_url(repo, "/d/a", "s3://no-such-bucket")


def test_egress_writes_the_whole_commit_and_counts_bytes(repo: Repo, place: Place) -> None:
    here = unique("egress")
    repo.modify(put("d/a", b"12"), put("b", b"345"))
    repo.wait()
    target = pfs.ObjectStorageEgress(url=f"s3://{place.bucket}/{here}")
    answer = repo.api.Egress(pfs.EgressRequest(commit=repo.head, object_storage=target))
    assert answer.object_storage.bytes_written == 5
    assert place.objects(here) == {f"{here}/d/a": b"12", f"{here}/b": b"345"}
    repo.modify(Change(delete_file=pfs.DeleteFile(path="/")))
    repo.wait()
    answer = repo.api.Egress(pfs.EgressRequest(commit=repo.head, object_storage=target))
    assert answer.object_storage.bytes_written == 0
    with refused(UNKNOWN, "egress failed"):
        repo.api.Egress(pfs.EgressRequest(commit=repo.head))


def test_local_files_are_read_and_written_in_allowed_folders_only(repo: Repo, place: Place, tmp_path: Path) -> None:
    folder = place.folder / unique("local")
    (folder / "in/deep").mkdir(parents=True)
    (folder / "in/one").write_bytes(b"1")
    (folder / "in/deep/two").write_bytes(b"2")
    (tmp_path / "secret").write_bytes(b"secret")
    repo.modify(from_url("f", f"file://{folder}/in/one"), from_url("/", f"file://{folder}/in/", recursive=True))
    repo.wait()
    assert [path for path in repo.walk() if path[-1] != "/"] == ["/deep/two", "/f", "/one"]
    to_url(repo, "/", f"file://{folder}/out", tar=True)
    found = {str(path.relative_to(folder / "out")) for path in (folder / "out").rglob("*") if path.is_file()}
    assert found == {"deep/two", "f", "one"}
    (folder / "link").symlink_to(tmp_path)
    denied = "in no folder whose files the operator allows to be read and written (PFS_URL_FOLDERS)"
    for url in (f"file://{tmp_path}/secret", f"file://{folder}/link/secret", "file:///etc/passwd"):
        with refused(DENIED, denied):
            repo.modify(from_url("g", url))
        with refused(DENIED, denied):
            to_url(repo, "/f", url)
    with refused(DENIED, denied):
        repo.modify(from_url("g", f"file://{folder}/link/", recursive=True))
    with refused(UNKNOWN, 'it holds ".."'):
        repo.modify(from_url("g", f"file://{folder}/../x"))
    with refused(NOT_FOUND, "there is nothing at file://"):
        repo.modify(from_url("g", f"file://{folder}/none"))
    with refused(DENIED, "it is this server's own store"):
        to_url(repo, "/f", f"file://{place.store}/packs")


def test_a_page_leads_to_pages_only(repo: Repo, pages: str) -> None:
    for url in (f"{pages}/to/file:///etc/passwd", f"{pages}/to/ftp://x/"):
        with refused(DENIED, "it leads on to a"):
            repo.modify(from_url("a", url))


def test_the_operator_may_name_the_hosts_and_buckets(
    tmp_path: Path, nats_url: str, service_token: str, pages: str, seaweed: Seaweed
) -> None:
    env = settings("pfs", tmp_path, nats_url=nats_url, token=service_token)
    env |= {"PFS_STORE": seaweed.url(unique("own")), **seaweed.environment}
    env |= {"CUSTOM_ENDPOINT": seaweed.endpoint, "DISABLE_SSL": "true"}
    env |= {"PFS_URL_HOSTS": "127.0.0.1, s3://data-*,s3://datamill"}
    with running(service_command("pfs"), env=env, ready=SERVING) as found, channel(found[1]) as opened:
        repo = Repo(opened)
        repo.modify(from_url("a", f"{pages}/text/a"))
        with refused(DENIED, "the host localhost is not among those that the operator allows (PFS_URL_HOSTS)"):
            repo.modify(from_url("b", pages.replace("127.0.0.1", "localhost") + "/text/b"))
        with refused(DENIED, "the host localhost is not among"):
            repo.modify(from_url("b", f"{pages}/to/" + pages.replace("127.0.0.1", "localhost") + "/text/b"))
        with refused(DENIED, "the bucket s3://other is not among"):
            repo.modify(from_url("b", "s3://other/x"))
        with refused(NOT_FOUND, "there is nothing at s3://data-x/x"):
            repo.modify(from_url("b", "s3://data-x/x"))
        with refused(DENIED, "it is this server's own store"):
            repo.modify(from_url("b", "s3://datamill/x"))
