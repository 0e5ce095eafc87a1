"""Files written and read with everything that the SDK offers for it, pandas and tarfile on top."""

import io
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import grpc
import pandas as pd
import pytest
from given import refusal
from pachyderm_sdk import Client
from pachyderm_sdk.api import pfs

LARGE = 45 << 20
"""More than two of the SDK's messages of 19 MiB."""


class Reader:
    """A file object without a file."""

    def __init__(self, size: int) -> None:
        self.left = size

    def read(self, size: int) -> bytes:
        now = min(size, self.left)
        self.left -= now
        return b"x" * now


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, format: str, *args: object) -> None:
        return


def at(branch: pfs.Branch, path: str) -> pfs.File:
    return pfs.File.from_uri(f"{branch.as_uri()}:{path}")


def test_bytes_and_files(client: Client, branch: pfs.Branch, tmp_path: Path) -> None:
    (tmp_path / "local").write_bytes(b"from a file\n")
    with client.pfs.commit(branch=branch) as commit:
        file = commit.put_file_from_bytes("/dir/bytes", b"one\n")
        commit.put_file_from_bytes("/dir/bytes", b"two\n", append=True)
        commit.put_file_from_bytes("/dir/empty", b"")
        with open(tmp_path / "local", "rb") as source:
            commit.put_file_from_file(path="/file", file=source)
        commit.put_file_from_file(path="relative", file=io.BytesIO(b"r"))
    commit.wait()
    assert client.pfs.pfs_file(file).read() == b"one\ntwo\n"
    with client.pfs.pfs_file(at(branch, "/file")) as read:
        assert read.read(4) == b"from"
        assert read.readline() == b" a file\n"
    with client.pfs.pfs_file(file) as read:
        assert list(read) == [b"one\n", b"two\n"]
    assert client.pfs.pfs_file(at(branch, "/dir/empty")).read() == b""
    assert client.pfs.pfs_file(at(branch, "/relative")).read() == b"r"
    with client.pfs.commit(branch=branch) as commit:
        commit.put_file_from_bytes("/dir/bytes", b"three\n")
    commit.wait()
    assert client.pfs.pfs_file(at(branch, "/dir/bytes")).read() == b"three\n"
    assert client.pfs.pfs_file(pfs.File.from_uri(f"{branch.as_uri()}^:/dir/bytes")).read() == b"one\ntwo\n"


def test_a_large_file_from_a_stream(client: Client, branch: pfs.Branch) -> None:
    with client.pfs.commit(branch=branch) as commit:
        file = commit.put_file_from_file(path="/large", file=Reader(LARGE))
    commit.wait()
    assert client.pfs.inspect_file(file=file).size_bytes == LARGE
    got = 0
    with client.pfs.pfs_file(file) as read:
        while part := read.read(1 << 20):
            assert part.count(b"x") == len(part)
            got += len(part)
    assert got == LARGE
    stopped_early = client.pfs.pfs_file(file)
    assert stopped_early.read(10) == b"x" * 10
    stopped_early.close()
    offset = b"".join(part.value for part in client.pfs.get_file(file=file, offset=LARGE - 3))
    assert offset == b"xxx"


def test_folders(client: Client, branch: pfs.Branch, tmp_path: Path) -> None:
    for name in ("a.txt", "sub/b.txt", "sub/deep/c.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    with client.pfs.commit(branch=branch) as commit:
        commit.put_files(source=tmp_path, path="/in")
        client.pfs.put_files(commit=commit, source=str(tmp_path), path="/")
    commit.wait()

    listed = list(client.pfs.list_file(file=at(branch, "/in")))
    assert [(info.file.path, info.file_type) for info in listed] == [
        ("/in/a.txt", pfs.FileType.FILE),
        ("/in/sub/", pfs.FileType.DIR),
    ]
    assert all(info.file.commit.branch is None or not info.file.commit.branch.name for info in listed)
    assert len(listed[0].hash) == 32
    walked = [info.file.path for info in client.pfs.walk_file(file=at(branch, "/in"))]
    assert walked == ["/in/", "/in/a.txt", "/in/sub/", "/in/sub/b.txt", "/in/sub/deep/", "/in/sub/deep/c.txt"]
    globbed = client.pfs.glob_file(commit=pfs.Commit.from_uri(branch.as_uri()), pattern="/**.txt")
    assert len([info.file.path for info in globbed]) == 6
    globbed = client.pfs.glob_file(commit=pfs.Commit.from_uri(branch.as_uri()), pattern="/in/*/")
    assert [info.file.path for info in globbed] == ["/in/a.txt", "/in/sub/"]
    page = client.pfs.list_file(file=at(branch, "/in"), number=1, reverse=True)
    assert [info.file.path for info in page] == ["/in/sub/"]
    marker = listed[0].file
    after = client.pfs.list_file(file=at(branch, "/in"), pagination_marker=marker)
    assert [info.file.path for info in after] == ["/in/sub/"]
    assert list(client.pfs.list_file(file=at(branch, "/none"))) == []
    assert refusal(lambda: list(client.pfs.walk_file(file=at(branch, "/none"))))[0] == "NOT_FOUND"


def test_tar(client: Client, branch: pfs.Branch, tmp_path: Path) -> None:
    with client.pfs.commit(branch=branch) as commit:
        commit.put_file_from_bytes("/d/a", b"aa")
        commit.put_file_from_bytes("/d/e/b", b"b" * 100_000)
    commit.wait()
    with client.pfs.pfs_tar_file(at(branch, "/")) as tar:
        tar.extractall(tmp_path, filter="tar")
    assert (tmp_path / "d/a").read_bytes() == b"aa"
    assert (tmp_path / "d/e/b").read_bytes() == b"b" * 100_000
    raw = b"".join(part.value for part in client.pfs.get_file_tar(file=at(branch, "/d/a")))
    with tarfile.open(fileobj=io.BytesIO(raw)) as one:
        assert [member.name for member in one.getmembers()] == ["/d/a"]
    with pytest.raises(ValueError, match="Error instantiating PFSFile") as raised:
        client.pfs.pfs_file(at(branch, "/d"))
    cause = raised.value.__cause__
    assert isinstance(cause, grpc.RpcError)
    assert "Use GetFileTAR instead" in str(cause)


def test_pandas(client: Client, branch: pfs.Branch) -> None:
    table = pd.DataFrame({"name": ["a", "b", "ü"], "label": [1, 2, 3]})
    many = pd.DataFrame({"number": range(200_000)})
    with client.pfs.commit(branch=branch) as commit:
        commit.put_file_from_bytes("/table.csv", table.to_csv(index=False).encode())
        buffer = io.BytesIO()
        many.to_csv(buffer, index=False)
        buffer.seek(0)
        commit.put_file_from_file(path="/many.csv", file=buffer)
    commit.wait()
    with client.pfs.pfs_file(at(branch, "/table.csv")) as file:
        pd.testing.assert_frame_equal(pd.read_csv(file), table)
    with client.pfs.pfs_file(at(branch, "/many.csv")) as file:
        assert int(pd.read_csv(file)["number"].sum()) == sum(range(200_000))
    with client.pfs.pfs_file(at(branch, "/many.csv")) as file:
        assert sum(len(part) for part in pd.read_csv(file, chunksize=50_000)) == 200_000


def test_copies_and_deletions(client: Client, branch: pfs.Branch) -> None:
    with client.pfs.commit(branch=branch) as commit:
        source = commit.put_file_from_bytes("/dir/a", b"a")
        commit.put_file_from_bytes("/dir/b", b"b")
    commit.wait()
    with client.pfs.commit(branch=branch) as commit:
        commit.copy_file(src=source, dst="/copy")
        commit.copy_file(src=at(branch, "/dir"), dst="/all")
        commit.delete_file(path="/dir/b")
    commit.wait()
    assert client.pfs.pfs_file(at(branch, "/copy")).read() == b"a"
    assert client.pfs.pfs_file(at(branch, "/all/b")).read() == b"b"
    assert client.pfs.path_exists(at(branch, "/dir/a"))
    assert client.pfs.path_exists(at(branch, "/dir"))
    assert not client.pfs.path_exists(at(branch, "/dir/b"))
    with pytest.raises(ValueError, match="commit does not exist"):
        client.pfs.path_exists(pfs.File.from_uri(f"{branch.repo.as_uri()}@nobranch:/a"))
    with client.pfs.commit(branch=branch) as commit:
        commit.delete_file(path="/dir/")
        commit.copy_file(src=source, dst="/copy", append=True)
    commit.wait()
    assert not client.pfs.path_exists(at(branch, "/dir"))
    assert client.pfs.pfs_file(at(branch, "/copy")).read() == b"aa"


def test_differences(client: Client, branch: pfs.Branch) -> None:
    with client.pfs.commit(branch=branch) as first:
        first.put_file_from_bytes("/same", b"s")
        first.put_file_from_bytes("/changed", b"1")
        first.put_file_from_bytes("/gone", b"g")
    first.wait()
    with client.pfs.commit(branch=branch) as second:
        second.put_file_from_bytes("/changed", b"22")
        second.put_file_from_bytes("/new", b"n")
        second.delete_file(path="/gone")
    second.wait()

    def paths(answers: list[pfs.DiffFileResponse]) -> tuple[list[str], list[str]]:
        new = [answer.new_file.file.path for answer in answers if answer.new_file]
        return new, [answer.old_file.file.path for answer in answers if answer.old_file]

    root = pfs.File(commit=second, path="/")
    against_parent = paths(list(client.pfs.diff_file(new_file=root)))
    assert against_parent == (["/", "/changed", "/new"], ["/", "/changed", "/gone"])
    backwards = client.pfs.diff_file(new_file=pfs.File(commit=first, path="/"), old_file=root, shallow=True)
    assert paths(list(backwards)) == (["/", "/changed", "/gone"], ["/", "/changed", "/new"])


def test_urls(client: Client, branch: pfs.Branch) -> None:
    server = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with client.pfs.commit(branch=branch) as commit:
            file = commit.put_file_from_url(path="/page", url=f"http://127.0.0.1:{server.server_port}/page.html")
    finally:
        server.shutdown()
        server.server_close()
    commit.wait()
    assert client.pfs.pfs_file(file).read() == b"hello"
    with client.pfs.commit(branch=branch) as commit:
        code, sentence = refusal(lambda: commit.put_file_from_url(path="/p", url="gopher://nowhere/p"))
        assert (code, bool(sentence)) != ("INTERNAL", False)


def test_what_is_refused(client: Client, branch: pfs.Branch) -> None:
    with client.pfs.commit(branch=branch) as commit:
        _, sentence = refusal(lambda: commit.put_file_from_bytes("/ä", b""))
        assert "only printable ASCII characters allowed" in sentence
        _, sentence = refusal(lambda: commit.put_file_from_bytes("/a/../b", b""))
        assert "are not allowed" in sentence
        with pytest.raises(TypeError, match="File must output bytes"):
            commit.put_file_from_file(path="/text", file=io.StringIO("text"))
        commit.put_file_from_bytes("/a", b"a")
    commit.wait()
    code, sentence = refusal(lambda: client.pfs.inspect_file(file=at(branch, "/none")))
    assert code == "NOT_FOUND"
    assert sentence.startswith(f"file /none not found in repo {branch.repo.as_uri()} at commit ")
    with pytest.raises(ValueError, match="Error instantiating PFSFile"):
        client.pfs.pfs_file(at(branch, "/none"))
    with pytest.raises(TypeError, match="trying to serialize"):
        client.pfs.inspect_file(file=pfs.File(commit=commit, path=3))


def test_an_open_commit_shows_what_has_landed(client: Client, branch: pfs.Branch) -> None:
    with client.pfs.commit(branch=branch) as first:
        first.put_file_from_bytes("/a", b"1")
        first.put_file_from_bytes("/b", b"1")
    with client.pfs.commit(branch=branch) as commit:
        first.wait()
        commit.put_file_from_bytes("/a", b"2")
        assert client.pfs.pfs_file(pfs.File(commit=commit, path="/a")).read() == b"2"
        assert client.pfs.pfs_file(pfs.File(commit=commit, path="/b")).read() == b"1"
    commit.wait()
    assert client.pfs.pfs_file(pfs.File(commit=commit, path="/a")).read() == b"2"
