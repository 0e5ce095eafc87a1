"""Files through the public protocol of a real PFS: writing, reading, listing, comparing."""

import tarfile
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import grpc
import pytest
from blake3 import blake3

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import trees_v1_pb2 as trees
from tests.system.pfs.driver import Change, Repo, delete, put, refused


@pytest.fixture
def repo(pfs_channel: grpc.Channel) -> Repo:
    return Repo(pfs_channel)


UNKNOWN, NOT_FOUND = grpc.StatusCode.UNKNOWN, grpc.StatusCode.NOT_FOUND


def test_puts_append_and_a_delete_before_a_put_overwrites(repo: Repo) -> None:
    commit = repo.start()
    repo.modify(put("foo", b"one\n"), put("foo", b"two\n"), commit=commit)
    assert repo.read("foo", commit) == b"one\ntwo\n"
    repo.finish(commit)
    repo.modify(put("/foo", b"three\n"))
    repo.wait()
    assert repo.read("/foo") == b"one\ntwo\nthree\n"
    repo.modify(delete("foo"), put("foo", b"new"))
    repo.wait()
    assert repo.read("foo") == b"new"
    assert repo.read("foo", commit) == b"one\ntwo\n"


def test_three_parallel_appends_are_all_kept_whole(repo: Repo) -> None:
    commit = repo.start()
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: repo.modify(put("foo", b"foo\n"), commit=commit), range(3)))
    assert repo.read("foo", commit) == b"foo\n" * 3
    repo.finish(commit)
    assert repo.read("foo") == b"foo\n" * 3
    assert repo.inspect("foo").hash == blake3(b"foo\n" * 3).digest()


def test_many_one_shots_at_once_all_land_as_commits_of_their_own(repo: Repo) -> None:
    with ThreadPoolExecutor(25) as pool:
        list(pool.map(lambda n: repo.modify(put(f"f{n}", b"%d" % n)), range(25)))
    repo.wait()
    assert sorted(repo.ls("/")) == sorted(f"/f{n}" for n in range(25))
    with ThreadPoolExecutor(25) as pool:
        list(pool.map(lambda n: repo.modify(delete(f"f{n}")), range(24)))
    repo.wait()
    assert repo.ls("/") == ["/f24"]


def test_an_empty_stream_makes_a_commit_and_an_empty_put_a_file(repo: Repo) -> None:
    repo.modify()
    repo.wait()
    assert repo.walk() == []
    repo.modify(Change(add_file=pfs.AddFile(path="empty")))
    repo.wait()
    assert repo.read("empty") == b""
    assert repo.inspect("/empty").hash == blake3(b"").digest()


def test_deletes_are_exact_without_a_slash_and_recursive_with_one(repo: Repo) -> None:
    repo.modify(put("a", b"1"), put("d/x", b"2"), put("d/e/y", b"3"), put("d-x", b"4"))
    repo.modify(delete("d"), delete("missing"), delete("missing/"))
    repo.wait()
    assert repo.walk() == ["/", "/a", "/d-x", "/d/", "/d/e/", "/d/e/y", "/d/x"]
    commit = repo.start()
    repo.modify(put("d/new", b""), delete("d/"), put("d/z", b"5"), commit=commit)
    assert repo.walk(commit=commit) == ["/", "/a", "/d-x", "/d/", "/d/z"]
    repo.finish(commit)
    assert repo.walk() == ["/", "/a", "/d-x", "/d/", "/d/z"]
    repo.modify(put("q", b"6"), delete("/"))
    repo.wait()
    assert repo.walk() == []


def test_a_bad_path_is_refused_and_nothing_of_its_stream_is_stored(repo: Repo) -> None:
    commit = repo.start()
    for path, text in [
        ("a\x00", "path (a\x00) invalid: only printable ASCII characters allowed"),
        ("foobar*", "path (foobar*) invalid: globbing character (*) not allowed in path"),
        ("foo/../../bar", "path (foo/../../bar) invalid: relative file paths are not allowed"),
    ]:
        with refused(UNKNOWN, text):
            repo.modify(put("good", b"x"), put(path, b"x"), commit=commit)
        with refused(UNKNOWN, text):
            repo.modify(delete(path), commit=commit)
    assert repo.walk(commit=commit) == []
    repo.finish(commit)


def test_the_order_of_messages_is_held(repo: Repo) -> None:
    with refused(UNKNOWN, "first message must be a commit"):
        repo.api.ModifyFile(iter([put("a", b"")]))
    with refused(UNKNOWN, "first message must be a commit"):
        repo.api.ModifyFile(iter([]))
    with refused(UNKNOWN, "cannot set commit"):
        repo.modify(Change(set_commit=repo.head))
    with refused(UNKNOWN, "unrecognized message type"):
        repo.modify(Change())


def test_a_finished_commit_takes_no_writes(repo: Repo) -> None:
    commit = repo.start()
    repo.finish(commit)
    with refused(UNKNOWN, f"commit default/{repo.name}@{commit.id} has already finished"):
        repo.modify(put("a", b""), commit=commit)
    with refused(NOT_FOUND, "not found"):
        repo.modify(put("a", b""), commit=pfs.Commit(repo=repo.wire, id="0" * 12 + "4" + "0" * 19))
    with refused(NOT_FOUND, "repo default/none not found"):
        Repo(repo.channel, "none").modify(put("a", b""))


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


def test_copies_share_content_and_do_not_follow_later_writes(repo: Repo) -> None:
    other = Repo(repo.channel)
    repo.modify(put("d/a", b"1"), put("d/e/b", b"2"), put("f", b"3"))
    repo.wait()

    def copy(src: str, dst: str, *, append: bool = False) -> Change:
        return Change(copy_file=pfs.CopyFile(dst=dst, src=repo.file(src), append=append))

    other.modify(copy("/d", "/x"), copy("f", "/g"), copy("/none", "/none"), copy("/", "/all"))
    other.wait()
    assert other.glob("**") == [
        *("/all/", "/all/d/", "/all/d/a", "/all/d/e/", "/all/d/e/b", "/all/f"),
        *("/g", "/x/", "/x/a", "/x/e/", "/x/e/b"),
    ]
    assert other.read("/x/e/b") == b"2"
    other.modify(copy("f", "g"), copy("f", "x/a", append=True))
    other.wait()
    assert (other.read("g"), other.read("x/a")) == (b"3", b"13")
    made = repo.api.CreateFileSet(iter([put("s/a", b"4", "x"), put("s/b", b"5", "y")])).file_set_id
    file_set = pfs.Commit(id=made, repo=pfs.Repo(name="__filesets__", type="user"))
    source = pfs.File(commit=file_set, path="/s", datum="x")
    other.modify(Change(copy_file=pfs.CopyFile(dst="/", src=source, datum="z")))
    other.wait()
    assert (other.read("a"), other.inspect("a").file.datum, other.ls("/b")) == (b"4", "z", [])
    with refused(UNKNOWN, "globbing character (*) not allowed in path"):
        other.modify(copy("f", "/x*"))


def test_collisions_and_doubled_paths_end_in_the_commits_error(repo: Repo) -> None:
    repo.modify(put("foo", b"1"), put("foo-x", b""))
    repo.wait()
    commit = repo.start()
    repo.modify(put("foo/bar", b"2"), commit=commit)
    for read in (lambda: repo.inspect("/", commit), lambda: repo.walk("/", commit), lambda: repo.ls("/", commit)):
        with refused(UNKNOWN, "file / directory path collision (/foo)"):
            read()
    assert repo.finish(commit).error == "file / directory path collision (/foo)"
    commit = repo.start()
    repo.modify(put("twice", b"1", "d1"), put("twice", b"2", "d2"), commit=commit)
    text = "duplicate path output by different datums (/twice from d1 and /twice from d2)"
    assert repo.finish(commit).error == text
    commit = repo.start()
    assert repo.walk("/", commit) == ["/", "/foo", "/foo-x"]
    repo.modify(put("foo/bar", b"2"), put("a", b"1", "d1"), put("a", b"2", "d2"), commit=commit)
    with refused(UNKNOWN, "file / directory path collision (/foo)"):  # /a comes before, and can be read
        repo.walk("/", commit)
    repo.modify(delete("foo/bar"), delete("a", "d1"), commit=commit)
    assert repo.finish(commit).error == ""


def test_errored_commits_are_readable_and_passed_over(repo: Repo) -> None:
    repo.modify(put("f1", b"1"))
    bad = repo.start()
    repo.modify(put("f2", b"2"), commit=bad)
    assert repo.finish(bad, error="bad").error == "bad"
    child = repo.start()
    repo.modify(put("f3", b"3"), commit=child)
    assert repo.ls("/", child) == ["/f1", "/f3"]
    repo.finish(child)
    assert repo.ls("/", child) == ["/f1", "/f3"]
    assert repo.ls("/", bad) == ["/f1", "/f2"]


def test_datums_keep_their_own_files(repo: Repo) -> None:
    commit = repo.start()
    repo.modify(put("d/a", b"1", "x"), put("d/b", b"22", "y"), commit=commit)
    assert repo.inspect("/d", commit, "x").size_bytes == 1
    assert repo.inspect("/d", commit).size_bytes == 3
    repo.modify(put("d/b", b"3", "x"), commit=commit)
    for listed in (repo.ls("/d", commit)[1:], repo.ls("/d/b", commit), repo.walk("/d/b", commit)):
        assert listed == ["/d/b", "/d/b"]  # once for each datum, wherever one looks
    repo.modify(delete("d/", "x"), commit=commit)
    assert repo.ls("/d", commit) == ["/d/b"]
    with refused(NOT_FOUND, "file /d not found"):
        repo.inspect("/d", commit, "x")
    repo.finish(commit)


def test_clearing_an_open_commit_brings_its_parent_back(repo: Repo) -> None:
    repo.modify(put("a", b"1"))
    repo.wait()
    commit = repo.start()
    repo.modify(put("b", b"2"), delete("a"), commit=commit)
    assert repo.ls("/", commit) == ["/b"]
    repo.api.ClearCommit(pfs.ClearCommitRequest(commit=commit))
    assert repo.ls("/", commit) == ["/a"]
    repo.finish(commit)
    with refused(UNKNOWN, "cannot clear finished commit"):
        repo.api.ClearCommit(pfs.ClearCommitRequest(commit=commit))


def test_empty_requests_are_answered_with_an_error(repo: Repo) -> None:
    api = repo.api
    for call in (
        lambda: list(api.GetFile(pfs.GetFileRequest())),
        lambda: list(api.GetFileTAR(pfs.GetFileRequest())),
        lambda: api.InspectFile(pfs.InspectFileRequest()),
        lambda: list(api.ListFile(pfs.ListFileRequest())),
        lambda: list(api.WalkFile(pfs.WalkFileRequest())),
        lambda: list(api.GlobFile(pfs.GlobFileRequest())),
        lambda: list(api.DiffFile(pfs.DiffFileRequest())),
        lambda: api.ClearCommit(pfs.ClearCommitRequest()),
        lambda: api.GetFileSet(pfs.GetFileSetRequest()),
        lambda: api.AddFileSet(pfs.AddFileSetRequest()),
        lambda: api.RenewFileSet(pfs.RenewFileSetRequest()),
    ):
        with pytest.raises(grpc.RpcError) as answer:
            call()
        assert answer.value.code() not in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE)
