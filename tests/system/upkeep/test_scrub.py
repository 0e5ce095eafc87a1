"""Damage at rest is found, named down to the files of commits, and repaired from another copy."""

import secrets
import shutil
import time
from pathlib import Path

import grpc

from datamill.wire import upkeep_v1_pb2 as wire
from datamill.wire.upkeep_v1_pb2_grpc import UpkeepServiceStub
from tests.system.pfs.driver import Repo, put, refused
from tests.system.upkeep.conftest import Alone


def scrubbed(alone: Alone, **how: object) -> tuple[list[wire.DamagedPack], set[str], wire.ScrubReport]:
    """Damaged packs, "commit:path" of affected files, and the report."""
    answers = list(alone.upkeep.Scrub(wire.ScrubRequest(**how), timeout=120))  # type: ignore[arg-type]
    packs = [answer.damaged for answer in answers if answer.HasField("damaged")]
    files = {f"{answer.file.commit.id}:{answer.file.path}" for answer in answers if answer.HasField("file")}
    return packs, files, answers[-1].report


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_strangers_may_not_look_after_it(alone: Alone) -> None:
    stub = UpkeepServiceStub(alone.channel)
    for call in (
        lambda: list(stub.CollectGarbage(wire.CollectGarbageRequest())),
        lambda: list(stub.Scrub(wire.ScrubRequest())),
        lambda: stub.HoldCollection(wire.HoldCollectionRequest()),
        lambda: stub.ReleaseCollection(wire.ReleaseCollectionRequest()),
    ):
        with refused(grpc.StatusCode.PERMISSION_DENIED, "kept for datamill's own services"):
            call()


def test_a_sound_store_has_nothing_to_tell(alone: Alone) -> None:
    repo = Repo(alone.channel)
    repo.stream(put(f"/{number}", secrets.token_bytes(1000)) for number in range(500))
    repo.modify(put("big", secrets.token_bytes(9 << 20)))
    repo.wait()
    packs, files, report = scrubbed(alone)
    assert (packs, files) == ([], set())
    assert report.blobs > 502
    assert report.commits == 2
    began = time.monotonic()
    scrubbed(alone, rate_bytes=5 << 20)
    assert time.monotonic() - began > 1.5


def test_damaged_blobs_are_named_by_file_and_commit_and_repaired(alone: Alone, tmp_path: Path) -> None:
    repo = Repo(alone.channel)
    repo.modify(put("a", b"first of the two"), put("b", b"second of them"))
    one = repo.wait().commit.id
    repo.modify(put("c", b"a third one"))
    two = repo.wait().commit.id
    copy = tmp_path / "copy"
    shutil.copytree(alone.store, copy)
    hit = next(path for path in (alone.store / "packs").glob("*/*") if b"first of the two" in path.read_bytes())
    flip(hit, hit.read_bytes().index(b"first"))
    packs, files, report = scrubbed(alone)
    assert [pack.pack_id.hex() for pack in packs] == [hit.name]
    assert files == {f"{one}:/a", f"{two}:/a"}
    assert (report.damaged, report.repaired) == (1, 0)
    packs, files, report = scrubbed(alone, repair_from=copy.as_uri())
    assert (packs[0].repaired, files, report.repaired) == (True, set(), 1)
    assert repo.read("a") == b"first of the two"
    hit.unlink()
    assert scrubbed(alone)[0][0].reason == "it is missing"
    assert scrubbed(alone, repair_from=copy.as_uri())[2].repaired == 1
    assert scrubbed(alone)[2].damaged == 0


def test_a_damaged_tree_is_named_and_repaired(alone: Alone, tmp_path: Path) -> None:
    repo = Repo(alone.channel)
    repo.stream(put(f"/d/{number}", b"%d" % number) for number in range(2000))
    commit = repo.wait().commit.id
    copy = tmp_path / "copy"
    shutil.copytree(alone.store, copy)
    for index in [path for path in (alone.store / "index").glob("*/*") if path.is_file()]:
        flip(index, 40)
    packs, files, _ = scrubbed(alone)
    assert packs[0].key.startswith("index/")
    assert f"{commit}:" in files
    _, files, report = scrubbed(alone, repair_from=copy.as_uri())
    assert (files, report.repaired) == (set(), report.damaged)
    assert scrubbed(alone)[2].damaged == 0
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "cannot repair from"):
        scrubbed(alone, repair_from="ftp://nowhere")
