"""File sets, and content written straight to the store, through the protocol of a real PFS."""

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

import grpc
import pytest
import urllib3
from blake3 import blake3

from datamill.bulk.sending.stating import Batch, Stated, plain
from datamill.wire import content_v1_pb2 as content
from datamill.wire import pfs_v2_pb2 as pfs
from services.kit.packs import PackBuilder, cut
from tests.system.pfs.driver import Change, Repo, delete, put, refused

UNKNOWN, NOT_FOUND, INVALID = grpc.StatusCode.UNKNOWN, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture
def repo(pfs_channel: grpc.Channel) -> Repo:
    return Repo(pfs_channel)


def create(repo: Repo, *changes: Change) -> str:
    return repo.api.CreateFileSet(iter(changes)).file_set_id


def commit_of(file_set: str) -> pfs.Commit:
    return pfs.Commit(id=file_set, repo=pfs.Repo(name="__filesets__", type="user"))


def add(repo: Repo, commit: pfs.Commit, file_set: str) -> None:
    repo.api.AddFileSet(pfs.AddFileSetRequest(commit=commit, file_set_id=file_set))


def test_a_file_set_is_read_like_a_commit_and_attached_to_open_ones(repo: Repo) -> None:
    made = create(repo, put("d/a", b"1"), put("b", b"2"), put("d/a", b"3"))
    assert repo.walk("/", commit_of(made)) == ["/", "/b", "/d/", "/d/a"]
    assert repo.read("/d/a", commit_of(made)) == b"13"
    commit = repo.start()
    add(repo, commit, made)
    assert repo.read("/d/a", commit) == b"13"
    add(repo, commit, create(repo, delete("b"), delete("d/a"), put("d/a", b"new")))
    repo.finish(commit)
    assert repo.glob("**") == ["/d/", "/d/a"]
    assert repo.read("/d/a") == b"new"
    with refused(UNKNOWN, "has already finished"):
        add(repo, commit, made)


def test_totals_and_differences_of_commits_as_file_sets(repo: Repo) -> None:
    repo.modify(put("a", b"1"), put("b", b"2"))
    repo.wait()
    repo.modify(delete("a"), put("c", b"3"))
    repo.wait()

    def of(kind: pfs.GetFileSetRequest.FileSetType.ValueType, commit: pfs.Commit | None = None) -> pfs.Commit:
        request = pfs.GetFileSetRequest(commit=commit or repo.head, type=kind)
        return commit_of(repo.api.GetFileSet(request).file_set_id)

    assert repo.glob("**", of(pfs.GetFileSetRequest.TOTAL)) == ["/b", "/c"]
    assert repo.glob("**", of(pfs.GetFileSetRequest.DIFF)) == ["/c"]
    commit = repo.start()
    repo.modify(put("d", b"4"), commit=commit)
    assert repo.glob("**", of(pfs.GetFileSetRequest.TOTAL, commit)) == ["/b", "/c", "/d"]
    assert repo.glob("**", of(pfs.GetFileSetRequest.DIFF, commit)) == ["/d"]
    with refused(NOT_FOUND, "get file set: "):
        of(pfs.GetFileSetRequest.TOTAL, pfs.Commit(repo=repo.wire, id="none"))
    repo.finish(commit)


@pytest.mark.parametrize("compact", [False, True])
def test_file_sets_are_layered_in_order(repo: Repo, compact: bool) -> None:
    sets = [create(repo, put("a", b"1"), put("b", b"2")), create(repo, delete("b"), put("a", b"3"), put("c", b""))]
    both = repo.api.ComposeFileSet(pfs.ComposeFileSetRequest(file_set_ids=sets, ttl_seconds=60, compact=compact))
    assert repo.glob("**", commit_of(both.file_set_id)) == ["/a", "/c"]
    assert repo.read("a", commit_of(both.file_set_id)) == b"13"
    gone = repo.api.ComposeFileSet(pfs.ComposeFileSetRequest(file_set_ids=sets, ttl_seconds=-1))
    with refused(UNKNOWN, "path does not exist"):
        repo.glob("**", commit_of(gone.file_set_id))


def test_a_hundred_file_sets_make_one_commit(repo: Repo) -> None:
    sets = [create(repo, *(put(f"d{n}/f{m}", b"%d" % m) for m in range(10)), put("all", b".")) for n in range(100)]
    both = repo.api.ComposeFileSet(pfs.ComposeFileSetRequest(file_set_ids=sets, ttl_seconds=60, compact=True))
    commit = repo.start()
    add(repo, commit, both.file_set_id)
    repo.finish(commit)
    assert len(repo.glob("*/*")) == 1000
    assert (repo.read("d42/f7"), repo.read("all")) == (b"7", b"." * 100)


def test_renewing_has_limits_and_unknown_sets_are_named(repo: Repo) -> None:
    made, unknown = create(repo, put("a", b"")), secrets.token_hex(16)

    def renew(id: str, seconds: int) -> None:
        repo.api.RenewFileSet(pfs.RenewFileSetRequest(file_set_id=id, ttl_seconds=seconds))

    renew(made, 1800)
    with refused(UNKNOWN, "ttl (0) must be at least one second"):
        renew(made, 0)
    with refused(UNKNOWN, "ttl (1801000000000) exceeds max ttl (1800000000000)"):
        renew(made, 1801)
    with refused(NOT_FOUND, f"tracker does not contain item: ({unknown})"):
        renew(unknown, 60)
    with refused(UNKNOWN, "parsing fileset.Token: too short"):
        renew("abc", 60)
    commit = repo.start()
    with refused(UNKNOWN, "path does not exist"):
        add(repo, commit, unknown)
    with refused(UNKNOWN, "cannot set commit"):
        create(repo, Change(set_commit=commit))
    assert repo.walk(commit=commit) == []
    repo.finish(commit)


def written_pack(repo: Repo, blobs: Sequence[bytes], *, spoil: bool = False) -> tuple[bytes, list[content.Extent]]:
    """A pack written to where the service says (a file, or a signed URL), and the extents of its blobs."""
    started = repo.content.StartPack(content.StartPackRequest())
    pack = PackBuilder()
    found = [pack.add(blob) for blob in blobs]
    data = bytearray(pack.finish())
    if spoil:
        data[0] ^= 1
    if started.incoming_path:
        Path(started.incoming_path).write_bytes(data)
    else:
        assert urllib3.request("PUT", started.put_url, body=bytes(data)).status == 200
    extents = [
        content.Extent(
            pack_id=started.pack_id,
            offset_bytes=each.offset,
            stored_bytes=each.stored_bytes,
            size_bytes=len(blob),
            digest=each.digest,
        )
        for each, blob in zip(found, blobs, strict=True)
    ]
    return started.pack_id, extents


def entry(path: str, extents: Sequence[content.Extent], digest: bytes) -> content.Entry:
    size = sum(extent.size_bytes for extent in extents)
    return content.Entry(path=path, content=content.Content(size_bytes=size, digest=digest, extents=extents))


def put_entries(repo: Repo, *entries: content.Entry) -> content.PutEntriesResponse:
    """A file set made of these entries, each in a message of its own."""
    answer: content.PutEntriesResponse = repo.content.PutEntries(
        iter([content.PutEntriesRequest(entries=[each]) for each in entries])
    )
    return answer


def resolve(repo: Repo, *wanted: content.Wanted) -> list[content.ResolvedFile]:
    found = repo.content.ResolveFiles(content.ResolveFilesRequest(wanted=wanted))
    return [file for answer in found for file in answer.files]


def read_straight(repo: Repo, at: content.Extent) -> bytes:
    """A run of bytes, read from the store as its answers say, after a look whether it is the same store."""
    store = repo.content.GetStore(content.GetStoreRequest())
    if store.local_root:
        assert Path(store.probe_path).read_text() == store.probe_value
        with open(Path(store.local_root, at.pack_id.hex()[:2], at.pack_id.hex()), "rb") as file:
            return os.pread(file.fileno(), at.stored_bytes, at.offset_bytes)
    assert urllib3.request("GET", store.probe_url).data.decode() == store.probe_value
    wanted = content.ResolveFilesRequest(wanted=[content.Wanted(commit=repo.head, path="/")], with_urls=True)
    (url,) = [pack.url for one in repo.content.ResolveFiles(wanted) for pack in one.packs if pack.pack_id == at.pack_id]
    span = f"bytes={at.offset_bytes}-{at.offset_bytes + at.stored_bytes - 1}"
    return urllib3.request("GET", url, headers={"Range": span}).data


def test_a_sealed_pack_cannot_be_changed_by_whoever_wrote_it(repo: Repo) -> None:
    started = repo.content.StartPack(content.StartPackRequest())
    if not started.put_url:
        pytest.skip("in a folder it is moved away")
    pack = PackBuilder()
    blob = pack.add(b"sealed")
    data = pack.finish()
    assert urllib3.request("PUT", started.put_url, body=data).status == 200
    repo.content.SealPack(content.SealPackRequest(pack_id=started.pack_id))
    assert urllib3.request("PUT", started.put_url, body=data.replace(b"sealed", b"broken")).status == 404
    repo.content.SealPack(content.SealPackRequest(pack_id=started.pack_id))
    size = blob.stored_bytes
    extent = content.Extent(pack_id=started.pack_id, stored_bytes=size, size_bytes=size, digest=blob.digest)
    commit = repo.start()
    add(repo, commit, put_entries(repo, entry("/a", [extent], blob.digest)).file_set_id)
    repo.finish(commit)
    assert repo.read("/a") == b"sealed"


def test_packs_written_to_the_store_become_files(repo: Repo) -> None:
    big = blake3(b"big").digest(length=9 << 20)
    lengths, chunks = cut(big, last=True), list[bytes]()
    for length in lengths:
        start = sum(map(len, chunks))
        chunks.append(big[start : start + length])
    pack, extents = written_pack(repo, [b"small", *chunks])
    assert repo.content.SealPack(content.SealPackRequest(pack_id=pack)).blobs == len(chunks) + 1
    assert repo.content.SealPack(content.SealPackRequest(pack_id=pack)).blobs == len(chunks) + 1
    entries = [
        entry("/d/small", extents[:1], extents[0].digest),
        entry("/d/big", extents[1:], blake3(big).digest()),
        entry("/empty", [], blake3(b"").digest()),
        content.Entry(path="/gone", removed=True),
    ]
    answer = put_entries(repo, *entries)
    assert (answer.entries, answer.ttl.seconds) == (4, 600)
    repo.modify(put("gone", b""))
    commit = repo.start()
    for _ in range(2):  # attaching it again changes nothing
        add(repo, commit, answer.file_set_id)
    info = repo.finish(commit)
    assert (info.error, info.details.size_bytes) == ("", len(big) + 5)
    assert repo.glob("**") == ["/d/", "/d/big", "/d/small", "/empty"]
    assert (repo.read("/d/big"), repo.read("/d/small"), repo.read("/empty")) == (big, b"small", b"")
    wanted = [content.Wanted(commit=repo.head, path="/d"), content.Wanted(commit=repo.head, path="/empty")]
    resolved = [
        file for one in repo.content.ResolveFiles(content.ResolveFilesRequest(wanted=wanted)) for file in one.files
    ]
    assert [(file.wanted, file.path) for file in resolved] == [(0, "/d/big"), (0, "/d/small"), (1, "/empty")]
    at = resolved[1].content.extents[0]
    assert read_straight(repo, at) == b"small"
    with refused(NOT_FOUND, "file /none not found"):
        list(
            repo.content.ResolveFiles(
                content.ResolveFilesRequest(wanted=[content.Wanted(commit=repo.head, path="/none")])
            )
        )


def test_a_pack_can_be_sent_through_the_service(repo: Repo) -> None:
    name, pack = secrets.token_bytes(16), PackBuilder()
    pack.add(b"x" * 1000)
    data = pack.finish()
    repo.content.StartPack(content.StartPackRequest(pack_id=name))
    pieces = [
        content.PutPackRequest(pack_id=name if at == 0 else b"", data=data[at : at + 300])
        for at in range(0, len(data), 300)
    ]
    assert repo.content.PutPack(iter(pieces)).size_bytes == len(data)
    assert repo.content.SealPack(content.SealPackRequest(pack_id=name)).blobs == 1


def test_what_is_not_what_it_says_does_not_count(repo: Repo) -> None:
    spoiled, extents = written_pack(repo, [b"one", b"two"], spoil=True)
    with refused(INVALID, "does not have the hash it is stored under"):
        repo.content.SealPack(content.SealPackRequest(pack_id=spoiled))
    with refused(INVALID, f"pack {spoiled.hex()} is not sealed"):
        repo.content.PutEntries(
            iter([content.PutEntriesRequest(entries=[entry("/a", extents[:1], extents[0].digest)])])
        )
    with refused(INVALID, "was never started"):
        repo.content.SealPack(content.SealPackRequest(pack_id=secrets.token_bytes(16)))
    good, (extent,) = written_pack(repo, [b"good"])
    repo.content.SealPack(content.SealPackRequest(pack_id=good))
    moved = content.Extent(pack_id=good, digest=extent.digest, offset_bytes=1, stored_bytes=3, size_bytes=3)
    for bad, text in [
        (entry("/a", [moved], extent.digest), "holds no such blob"),
        (entry("/a", [extent], b"x" * 32), "its digest is not that of its only extent"),
        (entry("/a", [], b"x" * 32), "its digest is not that of nothing"),
        (content.Entry(path="/a", content=content.Content(size_bytes=9, digest=b"x" * 32)), "hold 0 bytes, not 9"),
    ]:
        with refused(INVALID, text):
            put_entries(repo, bad)
    with refused(UNKNOWN, "relative file paths are not allowed"):
        put_entries(repo, entry("/../a", [], b""))


def by_columns(*files: tuple[str, Stated]) -> content.PutEntriesRequest:
    batch = Batch()
    for path, what in files:
        batch.add(path, what)
    return batch.request()


def test_entries_by_columns_become_files(repo: Repo) -> None:
    pack, (one, other) = written_pack(repo, [b"one", b"other"])
    repo.content.SealPack(content.SealPackRequest(pack_id=pack))
    both = entry("/both", [one, other], blake3(b"oneother").digest()).content
    empty = plain(entry("/", [], blake3(b"").digest()).content)
    whole = plain(entry("/", [one], one.digest).content)
    messages = [
        by_columns(("/d/one", whole), ("/both", both), ("/gone", whole)),
        by_columns(("/empty", empty), ("/gone", None)),
    ]
    made = repo.content.PutEntries(iter(messages))
    assert made.entries == 5
    repo.modify(put("gone", b""))
    commit = repo.start()
    add(repo, commit, made.file_set_id)
    assert repo.finish(commit).error == ""
    assert repo.glob("**") == ["/both", "/d/", "/d/one", "/empty"]
    assert (repo.read("/d/one"), repo.read("/both"), repo.read("/empty")) == (b"one", b"oneother", b"")


def test_columns_that_are_wrong_make_no_file_set(repo: Repo) -> None:
    pack, extents = written_pack(repo, [b"one", b"other"])
    good = by_columns(("/a", plain(entry("/", extents[:1], extents[0].digest).content)))

    def refuse(text: str, **columns: object) -> None:
        bad = content.PutEntriesRequest()
        bad.CopyFrom(good)
        for name, value in columns.items():
            setattr(bad.columns, name, value)
        with refused(INVALID, text):
            repo.content.PutEntries(iter([good, bad] if columns else [bad]))

    refuse(f"pack {pack.hex()} is not sealed")
    repo.content.SealPack(content.SealPackRequest(pack_id=pack))
    refuse("has 9 bytes of sizes, not 8", sizes=b"123456789")
    refuse("must ascend by path and datum", paths=b"/b\0/a")
    refuse("holds no such blob at byte 1", offsets=b"\1" + bytes(7))
    refuse("at most 65536 entries", paths=bytes(65_536))
    assert repo.content.PutEntries(iter([good])).entries == 1


def test_many_entries_are_read_and_finished_like_few(repo: Repo) -> None:
    pack, extents = written_pack(repo, [b"one", b"other"])
    repo.content.SealPack(content.SealPackRequest(pack_id=pack))
    wholes = [plain(entry("/", [extent], extent.digest).content) for extent in extents]
    paths = [f"/d{number // 1000}/{number:05d}" for number in range(10_000)]
    messages = [
        by_columns(*((path, wholes[number % 2]) for number, path in enumerate(paths[at : at + 2500], at)))
        for at in range(0, 10_000, 2500)
    ]
    made = repo.content.PutEntries(iter(reversed(messages))).file_set_id
    assert repo.read("/d9/09999", commit_of(made)) == b"other"
    commit = repo.start()
    add(repo, commit, made)
    assert repo.finish(commit).details.size_bytes == 5000 * 8
    assert [path for path in repo.walk("/") if not path.endswith("/")] == paths
    more = repo.start()  # one below what is a file there
    add(repo, more, repo.content.PutEntries(iter([by_columns(("/d3/03333/x", wholes[0]))])).file_set_id)
    assert "file / directory path collision (/d3/03333)" in repo.finish(more).error
