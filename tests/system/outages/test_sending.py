"""Packs that callers send to an S3 store themselves: cut off, damaged on the way, or sealed by the PFS after a kill."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
import urllib3
from minio import Minio

import datamill
from datamill.bulk.local import LocalFile
from datamill.bulk.sending import storing
from datamill.bulk.sending.packs import Pack
from datamill.wire import content_v1_pb2 as content
from datamill.wire import upkeep_v1_pb2 as upkeep
from services.kit.packs import PackBuilder, pack_key
from tests.support.proxy import Mood, proxy_to
from tests.support.seaweed import BUCKET, Seaweed
from tests.support.servers import unique
from tests.support.upkeep import upkeep_of
from tests.system.outages.conftest import StartPfs
from tests.system.outages.writing import PATIENCE
from tests.system.pfs.driver import Repo, refused

INVALID = grpc.StatusCode.INVALID_ARGUMENT
BLOB = b"what the caller has" * 1000


def _pack() -> bytes:
    pack = PackBuilder()
    pack.add(BLOB)
    return pack.finish()


def _started(repo: Repo, count: int) -> Sequence[content.StartPackResponse]:
    return [repo.content.StartPack(content.StartPackRequest()) for _ in range(count)]


def _send(started: content.StartPackResponse, data: bytes) -> int:
    return urllib3.request("PUT", started.put_url, body=data).status


def _seal(repo: Repo, started: content.StartPackResponse) -> int:
    return int(repo.content.SealPack(content.SealPackRequest(pack_id=started.pack_id)).blobs)


def _stored(raw: Minio, prefix: str, packs: Sequence[content.StartPackResponse]) -> set[bytes]:
    """Those of the packs that are objects, under whatever name."""
    names = [str(found.object_name) for found in raw.list_objects(BUCKET, f"{prefix}/", recursive=True)]
    return {pack.pack_id for pack in packs if any(pack.pack_id.hex() in name for name in names)}


def _collect(channel: grpc.Channel) -> Any:
    request = upkeep.CollectGarbageRequest()
    request.hold.SetInParent()
    *_, last = upkeep_of(channel).CollectGarbage(request, timeout=PATIENCE)
    return last.report


def test_a_pack_that_was_sent_outlives_a_killed_pfs_and_is_stored_once(start_pfs: StartPfs, seaweed: Seaweed) -> None:
    prefix = unique("killed")
    env = {"PFS_STORE": seaweed.url(prefix), **seaweed.environment}
    before = start_pfs(env)
    sent, again, cut, wrong = packs = _started(Repo(before.channel), 4)
    assert [_send(one, _pack()) for one in (sent, again)] == [200, 200]
    before.process.kill()

    after = start_pfs(env)
    repo, raw = Repo(after.channel), seaweed.client()
    assert _seal(repo, sent) == 1
    assert _send(again, _pack()) == 200  # a caller that met no answer
    assert (_seal(repo, again), _seal(repo, again)) == (1, 1)
    with refused(INVALID, f"pack {cut.pack_id.hex()} has not been written"):
        _seal(repo, cut)
    assert _send(wrong, _pack().replace(b"caller", b"cbller", 1)) == 200
    with refused(INVALID, "does not have the hash it is stored under"):
        _seal(repo, wrong)
    assert _stored(raw, prefix, packs) == {sent.pack_id, again.pack_id}
    assert raw.stat_object(BUCKET, f"{prefix}/{pack_key(sent.pack_id)}").size == len(_pack())


def test_a_pack_that_was_sent_and_never_sealed_is_collected(start_pfs: StartPfs, seaweed: Seaweed) -> None:
    prefix = unique("cut")
    alone = start_pfs({"PFS_STORE": seaweed.url(prefix), **seaweed.environment})
    repo, raw = Repo(alone.channel), seaweed.client()
    packs = sent, unsent = _started(repo, 2)
    assert _send(sent, _pack()) == 200
    assert _collect(alone.channel).abandoned.packs == 2
    assert [_send(one, _pack()) for one in packs] == [404, 404]
    for one in (sent, unsent):
        with refused(INVALID, f"pack {one.pack_id.hex()} "):
            _seal(repo, one)
    assert _stored(raw, prefix, packs) == set()
    assert list(raw._list_multipart_uploads(BUCKET, prefix=f"{prefix}/").uploads) == []


def test_a_pack_that_was_damaged_on_its_way_is_sent_through_the_service(
    start_pfs: StartPfs, seaweed: Seaweed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = tmp_path / "big"
    big.write_bytes(os.urandom(6 << 20))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with proxy_to(seaweed.port) as proxy:
        url = seaweed.url(unique("damaged"), endpoint=proxy.endpoint)
        alone = start_pfs({"PFS_STORE": url, **seaweed.environment})
        pieces_of = storing._pieces_of

        def then(pack: Pack, name: bytes) -> Iterator[content.PutPackRequest]:
            proxy.mood = Mood.FAITHFUL
            return pieces_of(pack, name)

        monkeypatch.setattr(storing, "_pieces_of", then)
        with datamill.Client(f"grpc://{alone.process[1]}") as client:
            client.create_repo("files")
            proxy.mood = Mood.DAMAGING
            client.put_local([LocalFile("big", str(big))], "files@master:/")
            assert proxy.mood is Mood.FAITHFUL
            client.wait_commit("files@master")
            assert client.get("files@master:/big") == big.read_bytes()
