"""The worker's ways to bytes when the store is S3: signed URLs, and PFS where they do not work (any more)."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest

from datamill.bulk.signed import NotGiven, Signed
from datamill.wire import content_v1_pb2 as content
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import work_v1_pb2 as work
from services.kit.packs import TARGET_BYTES
from services.worker.inputs.layout import Wanted
from services.worker.inputs.resolving import Resolver
from services.worker.inputs.sources import ByUrl, Store, Streamed
from services.worker.outputs.packing import Packing
from services.worker.peers.calls import Patience, Peers
from tests.support.seaweed import Seaweed
from tests.support.servers import SERVING, channel, running, service_command, settings, unique
from tests.system.pfs.driver import Repo, put

FILES = {f"/s/{number:03}": os.urandom(number * 37) for number in range(300)} | {"/t": os.urandom(11 << 20)}
MIB = 1 << 20
Change = Callable[[Store, pytest.MonkeyPatch], None]


@pytest.fixture(scope="module")
def address(
    tmp_path_factory: pytest.TempPathFactory, seaweed: Seaweed, nats_url: str, service_token: str
) -> Iterator[str]:
    env = settings("pfs", tmp_path_factory.mktemp("pfs"), nats_url=nats_url, token=service_token)
    env |= {"PFS_STORE": seaweed.url(unique("worker")), **seaweed.environment}
    with running(service_command("pfs"), env=env, ready=SERVING) as found:
        yield found[1]


@pytest.fixture(scope="module")
def repo(address: str) -> Iterator[Repo]:
    with channel(address) as opened:
        made = Repo(opened)
        starts = [(path, at) for path, data in FILES.items() for at in range(0, max(len(data), 1), MIB)]
        made.stream(put(path, FILES[path][at : at + MIB]) for path, at in starts)
        made.wait()
        yield made


@pytest.fixture
def peers(address: str, service_token: str) -> Iterator[Peers]:
    found = Peers(pfs=address, jobs=address, token=service_token)
    yield found
    found.close()


def as_they_are(_store: Store, _patched: pytest.MonkeyPatch) -> None:
    """Nothing is wrong."""


def ended(store: Store, _patched: pytest.MonkeyPatch) -> None:
    store.addresses.urls.update({name: url[:-1] + "x" for name, url in store.addresses.urls.items()})


def forgotten(store: Store, _patched: pytest.MonkeyPatch) -> None:
    store.addresses.urls.clear()


def broken_off(_store: Store, patched: pytest.MonkeyPatch) -> None:
    """After some of a big file has come."""
    real, left = Signed.get, iter(range(2))

    def get(self: Signed, url: str, offset: int, length: int) -> bytes:
        return real(self, url if next(left, None) is not None else url + "x", offset, length)

    patched.setattr(Signed, "get", get)


@pytest.mark.parametrize("change", [as_they_are, ended, forgotten, broken_off])
def test_files_come_by_url_or_else_through_pfs(
    repo: Repo, peers: Peers, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(peers)
    source = store.source()
    assert isinstance(source, ByUrl)
    datum = work.Datum()
    datum.inputs.add(name="in", file=pfs.File(commit=repo.head, path="/"))
    resolver = Resolver(peers, store.addresses, [datum])
    files = [Wanted(repo.head, found.path, found.content, "") for _, found in resolver.files(0)]
    change(store, monkeypatch)
    if change is as_they_are:
        monkeypatch.delattr(Streamed, "pieces")
    small, big = files[:-1], files[-1]
    if change is not broken_off:
        assert {file.path: bytes(data) for file, data in zip(small, source.small(small), strict=True)} == {
            file.path: FILES[file.path] for file in small
        }
    assert b"".join(map(bytes, source.pieces(big))) == FILES["/t"]
    source.close()


@pytest.mark.parametrize("reaches", [True, False])
def test_packs_are_sent_to_the_store_or_else_to_pfs(
    repo: Repo, peers: Peers, tmp_path: Path, reaches: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reaches:
        monkeypatch.delattr(peers.content, "PutPack")
    else:
        monkeypatch.setattr("services.worker.outputs.packing.Signed.put", refuse)
    packing = Packing(
        peers,
        shared=False,
        signed=Store(peers).signed(),
        spool=str(tmp_path / "pack"),
        patience=lambda: Patience(5, Event()),
    )
    data = os.urandom(TARGET_BYTES + 3_000_000)
    (tmp_path / "big").write_bytes(data)
    made = packing.add_file(str(tmp_path / "big"))
    assert isinstance(made, content.Content)
    packing.seal()
    assert not list(tmp_path.glob("pack*"))
    entries = content.PutEntriesRequest(entries=[content.Entry(path="/out", content=made)])
    file_set = repo.content.PutEntries(iter([entries])).file_set_id
    commit = repo.start()
    repo.api.AddFileSet(pfs.AddFileSetRequest(commit=commit, file_set_id=file_set))
    assert repo.finish(commit).error == ""
    assert repo.read("/out", commit) == data


def refuse(*_: object) -> None:
    raise NotGiven("the store answers with status 403", again=False)
