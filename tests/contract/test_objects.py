"""One suite for every object store driver; S3 will join the folder here."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from services.kit.errors import Corrupt, Exhausted
from services.kit.objects.local import LocalObjects
from services.kit.objects.port import ObjectMissing, Objects

DRIVERS: dict[str, Callable[[Path], Objects]] = {"local": LocalObjects}


@pytest.fixture(params=DRIVERS)
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    return DRIVERS[request.param](tmp_path / "store")


def test_what_is_put_comes_back_whole_and_in_ranges(objects: Objects) -> None:
    objects.put("packs/ab/one", b"0123456789")
    assert objects.get("packs/ab/one") == b"0123456789"
    assert objects.get_range("packs/ab/one", 3, 4) == b"3456"
    assert objects.size("packs/ab/one") == 10
    objects.put("packs/ab/one", b"0123456789")
    assert objects.get("packs/ab/one") == b"0123456789"


def test_a_missing_object_is_named(objects: Objects) -> None:
    assert objects.size("packs/none") is None
    with pytest.raises(ObjectMissing, match="packs/none"):
        objects.get("packs/none")
    with pytest.raises(ObjectMissing, match="packs/none"):
        objects.get_range("packs/none", 0, 1)


def test_a_range_past_the_end_is_corruption(objects: Objects) -> None:
    objects.put("a", b"123")
    with pytest.raises(Corrupt, match="ends before byte 5"):
        objects.get_range("a", 2, 3)


def test_delete_may_be_repeated(objects: Objects) -> None:
    objects.put("a", b"123")
    objects.delete("a")
    objects.delete("a")
    assert objects.size("a") is None


def test_adopting_moves_a_file_in_and_may_be_repeated(objects: Objects, tmp_path: Path) -> None:
    for _ in range(2):
        (tmp_path / "made").write_bytes(b"pack")
        objects.adopt("packs/x", tmp_path / "made")
        assert not (tmp_path / "made").exists()
        assert objects.get("packs/x") == b"pack"


def test_writers_of_one_key_never_show_half_an_object(objects: Objects) -> None:
    data = bytes(300_000)
    seen: list[int | None] = []
    writers = [threading.Thread(target=objects.put, args=("same", data)) for _ in range(4)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        seen.append(objects.size("same"))
    assert set(seen) <= {None, len(data)}
    assert objects.get("same") == data


def test_a_full_disk_says_so_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalObjects(tmp_path / "store")
    monkeypatch.setattr("services.kit.objects.local.open", _open_full_device, raising=False)
    with pytest.raises(Exhausted, match="disk of the store is full"):
        store.put("a", bytes(100_000))
    assert store.size("a") is None
    assert list((tmp_path / "store" / ".incoming").iterdir()) == []


def _open_full_device(_path: Path, _mode: str) -> BinaryIO:
    return open("/dev/full", "wb")


def test_spread_folders_are_there_before_the_first_object_and_may_be_made_again(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    objects.put("packs/07/old", b"kept")
    for _ in range(2):
        objects.spread("packs", "index")
    assert {len(list((tmp_path / prefix).iterdir())) for prefix in ("packs", "index")} == {256}
    objects.put("index/ff/new", b"too")
    assert (objects.get("packs/07/old"), objects.get("index/ff/new")) == (b"kept", b"too")
