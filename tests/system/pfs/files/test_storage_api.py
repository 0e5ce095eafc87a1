"""storage.Fileset: file sets without commits, made, read by filters, put together and cut up."""

import grpc
import pytest
from google.protobuf.wrappers_pb2 import BytesValue

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import storage_pb2 as storage
from datamill.wire.storage_pb2_grpc import FilesetStub
from tests.system.pfs.driver import Repo, put, refused

CODE = grpc.StatusCode
Change = storage.CreateFilesetRequest
NOBODYS = "0123456789ab4def0123456789abcdef"


@pytest.fixture
def stub(pfs_channel: grpc.Channel) -> FilesetStub:
    return FilesetStub(pfs_channel)


def append(path: str, data: bytes | None) -> Change:
    value = None if data is None else BytesValue(value=data)
    return Change(append_file=storage.AppendFile(path=path, data=value))


def delete(path: str) -> Change:
    return Change(delete_file=storage.DeleteFile(path=path))


def copy(fileset: str, src: str, dst: str = "") -> Change:
    return Change(copy_file=storage.CopyFile(fileset_id=fileset, src=src, dst=dst))


def made(stub: FilesetStub, *changes: Change) -> str:
    return stub.CreateFileset(iter(changes)).fileset_id


def files(stub: FilesetStub, id: str, *filters: storage.FileFilter) -> dict[str, bytes]:
    found = dict[str, bytes]()
    for answer in stub.ReadFileset(storage.ReadFilesetRequest(fileset_id=id, filters=filters)):
        assert answer.HasField("data")
        found[answer.path] = found.get(answer.path, b"") + answer.data.value
    return found


def regex(text: str) -> storage.FileFilter:
    return storage.FileFilter(path_regex=text)


def between(lower: str, upper: str) -> storage.FileFilter:
    return storage.FileFilter(path_range=storage.PathRange(lower=lower, upper=upper))


def test_modifications_apply_in_order(stub: FilesetStub) -> None:
    big = b"0123456789abcdef" * 400_000
    id = made(
        stub,
        append("/a", b"1"), append("b", b"2"), append("/a", b"3"), append("/d/x", b"x"), append("/d/y", b"y"),
        append("/empty", None), delete("/b"), append("/b", b"new"), delete("/d/"), delete("/none"), append("/big", big),
    )  # fmt: skip
    assert files(stub, id) == {"/a": b"13", "/b": b"new", "/big": big, "/empty": b""}
    answers = list(stub.ReadFileset(storage.ReadFilesetRequest(fileset_id=id, empty_files=True)))
    assert [(one.path, one.HasField("data")) for one in answers] == [
        ("/a", False), ("/b", False), ("/big", False), ("/empty", False),
    ]  # fmt: skip
    pieces = [one for one in stub.ReadFileset(storage.ReadFilesetRequest(fileset_id=id)) if one.path == "/big"]
    assert len(pieces) > 1


def test_copies_out_of_another_file_set(stub: FilesetStub) -> None:
    source = made(stub, append("/d/a", b"a"), append("/d/b", b"b"), append("/c", b"c"))
    id = made(stub, append("/c", b"old"), copy(source, "/d", "/e"), copy(source, "/c"), copy(source, "/none"))
    assert files(stub, id) == {"/c": b"c", "/e/a": b"a", "/e/b": b"b"}


def test_filters_apply_all_together(stub: FilesetStub) -> None:
    id = made(stub, *(append(f"/{name}", name.encode()) for name in ("a1", "a2", "b1", "b2", "d/b1")))
    assert list(files(stub, id, regex("1$"))) == ["/a1", "/b1", "/d/b1"]
    assert list(files(stub, id, between("/a2", "/b2"))) == ["/a2", "/b1"]
    assert list(files(stub, id, between("", "/d"), regex("1"), between("/a2", ""))) == ["/b1"]
    assert list(files(stub, id, regex("/b"), regex("^/[^/]*$"))) == ["/b1", "/b2"]
    assert files(stub, id, regex("nothing")) == files(stub, id, between("/b", "/a")) == {}
    assert list(files(stub, id, regex("/"))) == list(files(stub, id))


def test_an_expression_cannot_keep_a_service_busy(stub: FilesetStub) -> None:
    id = made(stub, append("/" + "a" * 2000, b""))
    assert files(stub, id, regex("(a+)+$|(a|a)*b$")) != {}
    assert files(stub, id, regex("^/(a*)*b")) == {}
    with refused(CODE.UNKNOWN, "path_regex '(' cannot be read: missing ): ("):
        files(stub, id, regex("("))


def test_layers_shards_and_longer_lives(stub: FilesetStub) -> None:
    one = made(stub, append("/a", b"1"), append("/b", b"1"))
    two = made(stub, append("/a", b"2"), append("/c", b"2"))
    both = stub.ComposeFileset(storage.ComposeFilesetRequest(fileset_ids=[one, two], ttl_seconds=60)).fileset_id
    assert files(stub, both) == {"/a": b"12", "/b": b"1", "/c": b"2"}
    shards = stub.ShardFileset(storage.ShardFilesetRequest(fileset_id=both, num_files=2)).shards
    assert [(one.lower, one.upper) for one in shards] == [("", "/c"), ("/c", "")]
    stub.RenewFileset(storage.RenewFilesetRequest(fileset_id=both, ttl_seconds=60))
    with refused(CODE.UNKNOWN, "must be at least one second"):
        stub.RenewFileset(storage.RenewFilesetRequest(fileset_id=both))
    with refused(CODE.UNKNOWN, "exceeds max ttl"):
        stub.RenewFileset(storage.RenewFilesetRequest(fileset_id=both, ttl_seconds=3600))


def test_a_file_set_is_the_same_to_both_services(stub: FilesetStub, a: Repo) -> None:
    id = made(stub, append("/a", b"a"))
    commit = a.start()
    a.api.AddFileSet(pfs.AddFileSetRequest(commit=commit, file_set_id=id))
    a.finish(commit)
    assert a.read("/a", commit) == b"a"
    theirs = a.api.CreateFileSet(iter([put("/x", b"one", datum="1"), put("/y", b"two", datum="2")])).file_set_id
    assert files(stub, theirs) == {"/x": b"one", "/y": b"two"}


def test_what_is_refused(stub: FilesetStub) -> None:
    for call in (
        lambda: files(stub, NOBODYS),
        lambda: stub.ShardFileset(storage.ShardFilesetRequest(fileset_id=NOBODYS)),
        lambda: stub.ComposeFileset(storage.ComposeFilesetRequest(fileset_ids=[NOBODYS])),
        lambda: made(stub, copy(NOBODYS, "/a")),
    ):
        with refused(CODE.UNKNOWN, "path does not exist"):
            call()
    with refused(CODE.NOT_FOUND, "tracker does not contain item"):
        stub.RenewFileset(storage.RenewFilesetRequest(fileset_id=NOBODYS, ttl_seconds=60))
    with refused(CODE.UNKNOWN, "fileset.Token: too short"):
        files(stub, "0123")
    with refused(CODE.UNKNOWN, "globbing character (*) not allowed in path"):
        made(stub, append("/a*", b""))
    with refused(CODE.UNKNOWN, "unrecognized message type"):
        made(stub, Change())
    with refused(CODE.UNIMPLEMENTED, "ReadFilesetCDR is not built yet"):
        list(stub.ReadFilesetCDR(storage.ReadFilesetRequest(fileset_id=NOBODYS)))
