"""The cache, shards and the check of stored content, through the protocol of a real PFS."""

import secrets
from pathlib import Path

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.wrappers_pb2 import StringValue

from datamill.wire import pfs_v2_pb2 as pfs
from tests.support.servers import SERVING, channel, eventually, running, service_command, settings, unique
from tests.system.pfs.driver import Repo, put, refused

UNKNOWN = grpc.StatusCode.UNKNOWN


@pytest.fixture
def repo(pfs_channel: grpc.Channel) -> Repo:
    return Repo(pfs_channel)


def held(text: str) -> Any:
    value = Any()
    value.Pack(StringValue(value=text))
    return value


def put_cache(repo: Repo, key: str, text: str, *sets: str, tag: str = "") -> None:
    repo.api.PutCache(pfs.PutCacheRequest(key=key, value=held(text), file_set_ids=sets, tag=tag))


def get_cache(repo: Repo, key: str) -> str:
    found = StringValue()
    repo.api.GetCache(pfs.GetCacheRequest(key=key)).value.Unpack(found)
    return found.value


def file_set(repo: Repo, ttl: int, *paths: str) -> str:
    made = repo.api.CreateFileSet(iter([put(path, b"x") for path in paths])).file_set_id
    request = pfs.ComposeFileSetRequest(file_set_ids=[made], ttl_seconds=ttl)
    return repo.api.ComposeFileSet(request).file_set_id


def seen(repo: Repo, id: str) -> list[str]:
    return repo.glob("**", pfs.Commit(id=id, repo=pfs.Repo(name="__filesets__", type="user")))


def test_a_cached_value_stays_until_its_tag_is_cleared(repo: Repo) -> None:
    one, two = unique("key"), unique("key")
    put_cache(repo, one, "first", tag=f"{one}-A")
    put_cache(repo, one, "second", tag="other")
    put_cache(repo, two, "third", tag=f"{one}-a")
    assert (get_cache(repo, one), get_cache(repo, two)) == ("first", "third")
    repo.api.ClearCache(pfs.ClearCacheRequest(tag_prefix=f"{one}-a"))
    assert get_cache(repo, one) == "first"
    with refused(UNKNOWN, "no rows"):
        get_cache(repo, two)


def test_a_cached_value_keeps_its_file_sets_alive(repo: Repo) -> None:
    key, gone = unique("key"), file_set(repo, -1, "a")
    with refused(UNKNOWN, "path does not exist"):
        put_cache(repo, key, "x", gone)
    with refused(UNKNOWN, "no rows"):
        get_cache(repo, key)
    kept = file_set(repo, 1, "a")
    put_cache(repo, key, "x", kept, tag=key)
    put_cache(repo, key + "2", "x", kept, tag=key + "2")
    repo.api.RenewFileSet(pfs.RenewFileSetRequest(file_set_id=kept, ttl_seconds=1))
    deadline = file_set(repo, 1, "b")

    def expired() -> bool:
        try:
            return not seen(repo, deadline)
        except grpc.RpcError:
            return True

    eventually(expired, "the other file set expires")
    repo.api.ClearCache(pfs.ClearCacheRequest(tag_prefix=key + "2"))
    assert seen(repo, kept) == ["/a"]
    repo.api.ClearCache(pfs.ClearCacheRequest(tag_prefix=key))
    assert seen(repo, kept) == ["/a"]  # for a while, like a new one


def test_shards_are_adjacent_and_cover_everything(repo: Repo) -> None:
    names = [f"/d{n}/f{m}" for n in range(3) for m in range(3)]
    made = file_set(repo, 60, *names)

    def cut(**limits: int) -> list[tuple[str, str]]:
        request = pfs.ShardFileSetRequest(file_set_id=made, **limits)
        return [(shard.lower, shard.upper) for shard in repo.api.ShardFileSet(request).shards]

    assert cut() == [("", "")]
    assert cut(num_files=4) == [("", "/d1/f1"), ("/d1/f1", "/d2/f2"), ("/d2/f2", "")]
    assert cut(size_bytes=5) == [("", "/d1/f2"), ("/d1/f2", "")]
    assert cut(num_files=9) == [("", "")]
    assert len(cut(num_files=1)) == 9
    commit = pfs.Commit(id=made, repo=pfs.Repo(name="__filesets__", type="user"))
    found = [path for low, high in cut(num_files=2) for path in repo.glob("**", commit, low, high)]
    assert found == repo.glob("**", commit)
    empty = repo.api.CreateFileSet(iter([])).file_set_id
    (only,) = repo.api.ShardFileSet(pfs.ShardFileSetRequest(file_set_id=empty)).shards
    assert (only.lower, only.upper) == ("", "")
    with refused(UNKNOWN, "path does not exist"):
        repo.api.ShardFileSet(pfs.ShardFileSetRequest(file_set_id=secrets.token_hex(16)))
    with refused(UNKNOWN, "too short"):
        repo.api.ShardFileSet(pfs.ShardFileSetRequest(file_set_id="x"))


def test_the_check_counts_packs_and_finds_damaged_and_missing_ones(
    tmp_path: Path, nats_url: str, service_token: str
) -> None:
    env = settings("pfs", tmp_path, nats_url=nats_url, token=service_token)
    with running(service_command("pfs"), env=env, ready=SERVING) as process, channel(process[1]) as to:
        repo = Repo(to)
        for text in (b"one", b"two", b"three"):
            repo.modify(put("a", text))
        repo.wait()
        packs = sorted((tmp_path / "pfs/store/packs").glob("*/*"))

        def count(read: bool, first: bytes = b"", last: bytes = b"") -> int:
            request = pfs.CheckStorageRequest(read_chunk_data=read, chunk_begin=first, chunk_end=last)
            return repo.api.CheckStorage(request).chunk_object_count

        names = sorted(bytes.fromhex(pack.name) for pack in packs)
        assert len(names) == 3
        assert count(False) == count(True) == 3
        assert count(True, names[1]) == count(True, b"", names[1]) == 2
        assert count(False, names[1], names[1]) == 1
        data = packs[0].read_bytes()
        packs[0].write_bytes(bytes([data[0] ^ 1]) + data[1:])
        assert count(False) == 3
        with refused(grpc.StatusCode.DATA_LOSS, f"pack {packs[0].name} is damaged"):
            count(True)
        packs[0].unlink()
        with refused(grpc.StatusCode.DATA_LOSS, f"pack {packs[0].name} is missing"):
            count(False)
