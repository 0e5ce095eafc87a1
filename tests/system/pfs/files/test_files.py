"""Files through the public protocol of a real PFS: writing, deleting, copying. Reading: test_reading.py."""

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from blake3 import blake3

from datamill.wire import pfs_v2_pb2 as pfs
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
    assert list(repo.api.ListCommit(pfs.ListCommitRequest(repo=repo.wire))) == []


def test_a_finished_commit_takes_no_writes(repo: Repo) -> None:
    commit = repo.start()
    repo.finish(commit)
    with refused(UNKNOWN, f"commit default/{repo.name}@{commit.id} has already finished"):
        repo.modify(put("a", b""), commit=commit)
    with refused(NOT_FOUND, "not found"):
        repo.modify(put("a", b""), commit=pfs.Commit(repo=repo.wire, id="0" * 12 + "4" + "0" * 19))
    with refused(NOT_FOUND, "repo default/none not found"):
        Repo(repo.channel, "none").modify(put("a", b""))
    assert repo.walk(commit=commit) == []


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
