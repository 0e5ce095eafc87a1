"""Reading through the protocol of a real PFS: contents, lists, globs, tars, differences. Writing: test_files.py."""

import tarfile
from io import BytesIO

import grpc
import pytest
from blake3 import blake3

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import trees_v1_pb2 as trees
from tests.system.pfs.driver import Repo, delete, put, refused


@pytest.fixture
def repo(pfs_channel: grpc.Channel) -> Repo:
    return Repo(pfs_channel)


UNKNOWN, NOT_FOUND = grpc.StatusCode.UNKNOWN, grpc.StatusCode.NOT_FOUND


def test_a_file_larger_than_a_message_comes_back_from_any_offset(repo: Repo) -> None:
    big = blake3(b"big").digest(length=23 << 20)
    repo.stream(put("big", big[at : at + (2 << 20)]) for at in range(0, len(big), 2 << 20))
    repo.wait()
    info = repo.inspect("big")
    assert (info.size_bytes, info.hash) == (len(big), blake3(big).digest())
    messages = list(repo.api.GetFile(pfs.GetFileRequest(file=repo.file("big"))))
    assert b"".join(message.value for message in messages) == big
    assert max(len(message.value) for message in messages) < 20 << 20
    for offset in (1, 5 << 20, len(big) - 1, len(big), len(big) + 1):
        assert repo.read("big", offset=offset) == big[offset:]
    repo.modify(put("big", b"tail"))
    repo.wait()
    assert repo.read("big", offset=len(big) - 2) == big[-2:] + b"tail"


def test_get_file_wants_exactly_one_regular_file(repo: Repo) -> None:
    repo.modify(put("d/a", b"1"), put("d/b", b"2"), put("c", b"3"))
    repo.wait()
    assert repo.read("/*/a") == b"1"
    assert repo.read("c", offset=7) == b""
    for path in ("/" + "x" * 50_000, "/" + "é" * 50_000):
        with refused(NOT_FOUND, f"file {path[:1]}"):
            repo.inspect(path)
        with refused(NOT_FOUND, f" not found in repo default/{repo.name} at commit "):
            repo.inspect(path)
    with refused(UNKNOWN, "offset must not be negative"):
        repo.read("c", offset=-1)
    with refused(UNKNOWN, "cannot get directory or non-regular file. Use GetFileTAR instead"):
        repo.read("d")
    with refused(UNKNOWN, "cannot get directory or non-regular file. Use GetFileTAR instead"):
        repo.read("/")
    with refused(UNKNOWN, "matched multiple files. Use GetFileTAR instead"):
        repo.read("/d/*")
    with refused(NOT_FOUND, f"file /none not found in repo default/{repo.name} at commit "):
        repo.read("/none")
    with refused(NOT_FOUND, f"file none not found in repo default/{repo.name} at commit "):
        repo.inspect("none")
    with refused(NOT_FOUND, "does not contain item: (/none)"):
        repo.walk("/none")
    assert repo.ls("/none") == []


def test_listings_of_files_and_directories(repo: Repo) -> None:
    repo.modify(put("/dir/bar", b"1"), put("/dir/dir2/buzz", b"22"), put("/foo", b"333"))
    repo.wait()
    assert repo.walk() == ["/", "/dir/", "/dir/bar", "/dir/dir2/", "/dir/dir2/buzz", "/foo"]
    assert repo.ls("/") == ["/dir/", "/foo"]
    assert repo.ls("dir/") == ["/dir/bar", "/dir/dir2/"]
    assert repo.ls("/foo") == ["/foo"]
    assert repo.inspect("dir").file.path == "/dir/"
    assert repo.inspect("/dir/").size_bytes == 3
    assert repo.inspect("/").file_type == pfs.FileType.DIR
    info = repo.inspect("foo/")
    assert (info.file.path, info.file.datum, info.file_type) == ("/foo", "default", pfs.FileType.FILE)
    assert info.HasField("committed")
    assert not info.file.commit.HasField("branch")
    before = repo.inspect("/dir").hash
    repo.modify(put("/foo", b"4"))
    repo.wait()
    assert repo.inspect("/dir").hash == before
    assert repo.inspect("/").size_bytes == 7


def test_pages(repo: Repo) -> None:
    repo.modify(*(put(f"/dir/dir1/file1.{n}", b"") for n in range(1, 4)), put("/x", b""))
    repo.wait()
    marker = repo.file("/dir/dir1/file1.2")
    request = pfs.WalkFileRequest(file=repo.file("/"), paginationMarker=marker, number=3, reverse=True)
    found = [info.file.path for info in repo.api.WalkFile(request)]
    assert found == ["/dir/dir1/file1.1", "/dir/dir1/", "/dir/"]
    assert repo.ls("/dir/dir1", paginationMarker=marker) == ["/dir/dir1/file1.3"]
    assert repo.ls("/", number=1) == ["/dir/"]
    with refused(UNKNOWN, "number must be > 0 when reverse is true"):
        repo.ls("/", reverse=True)
    with refused(UNKNOWN, "cannot return more than 100000 files at a time"):
        repo.ls("/", number=100_001)


def test_globs_and_ranges_of_paths(repo: Repo) -> None:
    repo.modify(*(put(f"/d{d}/f{f}", b"x") for d in range(3) for f in range(3)), put("/file", b""))
    finished = repo.wait().commit
    commit = repo.start()
    for where in (finished, commit):
        assert repo.glob("*", where) == ["/d0/", "/d1/", "/d2/", "/file"]
        assert repo.glob("/", where) == ["/"]
        assert len(repo.glob("**", where)) == 13
        assert repo.glob("*/f1", where) == ["/d0/f1", "/d1/f1", "/d2/f1"]
        assert repo.glob("/d{0,2}/f[!1]", where) == ["/d0/f0", "/d0/f2", "/d2/f0", "/d2/f2"]
        assert repo.glob("none*", where) == []
    repo.finish(commit)
    everything = repo.glob("**")
    for cut in everything:
        assert repo.glob("**", upper=cut) + repo.glob("**", lower=cut) == everything
    assert repo.glob("/d0*", lower="/d0/", upper="/d0/e") == ["/d0/"]
    with refused(UNKNOWN, "unexpected end of input"):
        repo.glob("[a")
    answers = repo.trees.GlobTree(trees.GlobTreeRequest(commit=repo.head, pattern="/(*)/f(0|2)"))
    entries = [entry for answer in answers for entry in answer.entries]
    assert [list(entry.captures) for entry in entries[:2]] == [["d0", "0"], ["d0", "2"]]
    assert entries[0].digest == blake3(b"x").digest()


def test_a_tar_of_a_glob_in_order(repo: Repo) -> None:
    repo.modify(put("d/b", b"1"), put("d/e/c", b"22"), put("a", b"333"))
    repo.wait()
    with tarfile.open(fileobj=BytesIO(repo.tar("/d"))) as archive:
        assert [member.name for member in archive] == ["/d", "/d/b", "/d/e", "/d/e/c"]
        member = archive.extractfile("/d/e/c")
        assert member is not None
        assert member.read() == b"22"
    with tarfile.open(fileobj=BytesIO(repo.tar("/"))) as archive:
        assert [member.name for member in archive][1:] == ["/a", "/d", "/d/b", "/d/e", "/d/e/c"]
    with refused(NOT_FOUND, "file /none not found"):
        repo.tar("/none")


def test_a_tar_of_a_range_holds_what_lies_in_it_wherever_its_directory_opened(repo: Repo) -> None:
    repo.modify(*(put(f"/d{d}/f{f}", b"x") for d in range(3) for f in range(3)))
    repo.wait()

    def names(lower: str, upper: str, path: str = "/") -> list[str]:
        limits = pfs.PathRange(lower=lower, upper=upper)
        answers = repo.api.GetFileTAR(pfs.GetFileRequest(file=repo.file(path), path_range=limits))
        with tarfile.open(fileobj=BytesIO(b"".join(answer.value for answer in answers))) as archive:
            return [member.name for member in archive]

    whole = names("", "")
    assert len(whole) == 13
    for cut in ["/d0/f1", "/d0/f10", "/d1", "/d1/", "/d2/f2", "/z"]:
        assert names("", cut) + names(cut, "") == whole
    assert names("/d1/f1", "/d2/f0") == ["/d1/f1", "/d1/f2", "/d2"]
    assert names("/d1/f1", "/d2/f0", "/d*") == ["/d1/f1", "/d1/f2", "/d2"]
    assert names("/x", "/y") == []
    with refused(NOT_FOUND, "file /none not found"):
        names("/d0", "/d1", "/none")


def test_differences_name_files_and_directories(repo: Repo) -> None:
    commit = repo.start()
    repo.modify(put("foo", b"foo\n"), commit=commit)
    assert repo.diff(commit=commit) == (2, 0)
    repo.finish(commit)
    assert repo.diff(commit=commit) == (2, 0)
    for changes, counts in [
        ([delete("foo"), put("foo", b"other")], (2, 2)),
        ([put("bar", b"bar\n")], (2, 1)),
        ([put("dir/fizz", b"1"), put("dir/buzz", b"2")], (4, 1)),
        ([delete("dir/fizz"), put("dir/fizz", b"3")], (3, 3)),
        ([delete("dir/fizz")], (2, 3)),
    ]:
        repo.modify(*changes)
        repo.wait()
        assert repo.diff() == counts
        assert repo.diff("none") == (0, 0)
    found = repo.api.DiffFile(pfs.DiffFileRequest(new_file=repo.file("foo"), old_file=repo.file("bar")))
    assert [one.new_file.file.path or one.old_file.file.path for one in found] == ["/bar", "/foo"]


def test_differences_in_batches_name_what_a_pattern_matches(repo: Repo) -> None:
    repo.modify(put("a/x", b"1"), put("a/y", b"2"), put("b/x", b"3"), put("c/d/x", b"4"), put("e/x", b"5"))
    first = repo.wait().commit
    repo.modify(delete("a/x"), put("a/x", b"11"), delete("b/x"), put("c/d/z", b"6"))
    repo.wait()

    def named(pattern: str, old: pfs.Commit | None = None, new: pfs.Commit | None = None) -> list[tuple[str, str]]:
        asked = trees.DiffTreeRequest(new_commit=new or repo.head, old_commit=old, pattern=pattern)
        found = [change for answer in repo.trees.DiffTree(asked) for change in answer.changes]
        for change in found:
            assert change.new_entry.digest != change.old_entry.digest
        return [(change.old_entry.path, change.new_entry.path) for change in found]

    assert named("/*") == [("/a/", "/a/"), ("/b/", ""), ("/c/", "/c/")]
    assert named("/*/x") == [("/a/x", "/a/x"), ("/b/x", "")]
    assert named("/c/**", first) == [("/c/d/", "/c/d/"), ("", "/c/d/z")]
    assert named("/*", repo.head, first) == [("/a/", "/a/"), ("", "/b/"), ("/c/", "/c/")]
    assert named("", repo.head) == []
    assert named("/a/*", new=first) == [("", "/a/x"), ("", "/a/y")]
    answers = repo.trees.DiffTree(trees.DiffTreeRequest(new_commit=repo.head, pattern="/(*)/(*)"))
    changes = [change for answer in answers for change in answer.changes]
    assert [list(change.new_entry.captures) for change in changes] == [["a", "x"], [], ["c", "d"]]
    assert changes[0].new_entry.digest == blake3(b"11").digest()
    with refused(NOT_FOUND, "not found"):
        named("/*", pfs.Commit(repo=repo.wire, id="0" * 32))
