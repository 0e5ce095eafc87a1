"""One suite for every object store driver: a folder, and S3 from a real server."""

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import pytest
import urllib3

from services.kit.errors import Corrupt, Exhausted, Unavailable
from services.kit.objects.local import LocalObjects
from services.kit.objects.opening import open_store
from services.kit.objects.port import ObjectMissing, Objects
from services.kit.objects.s3 import PART_BYTES, WHOLE_BYTES
from tests.support.seaweed import Seaweed
from tests.support.servers import unique


@pytest.fixture(params=["local", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Objects:
    if request.param == "local":
        return open_store((tmp_path / "store").as_uri())
    return _in_a_bucket(request.getfixturevalue("seaweed"), monkeypatch)


@pytest.fixture
def s3(seaweed: Seaweed, monkeypatch: pytest.MonkeyPatch) -> Objects:
    return _in_a_bucket(seaweed, monkeypatch)


def _in_a_bucket(seaweed: Seaweed, monkeypatch: pytest.MonkeyPatch) -> Objects:
    for name, value in seaweed.environment.items():
        monkeypatch.setenv(name, value)
    return open_store(seaweed.url(unique("objects")))


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
    with pytest.raises(Corrupt, match="ends before byte 9"):
        objects.get_range("a", 8, 1)
    assert [objects.get_up_to("a", at, 3) for at in (0, 2, 3, 8)] == [b"123", b"3", b"", b""]
    assert objects.get_range("a", 3, 0) == b""


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, WHOLE_BYTES, WHOLE_BYTES + 1, WHOLE_BYTES + PART_BYTES + 5])
def test_sizes_at_which_an_object_travels_in_another_way(objects: Objects, size: int, tmp_path: Path) -> None:
    data = os.urandom(size)
    objects.put("a", data)
    assert objects.get("a") == data
    (tmp_path / "made").write_bytes(data)
    objects.adopt("b", tmp_path / "made")
    assert (objects.get("b"), objects.size("b")) == (data, size)
    assert objects.get_range("b", size // 2, size - size // 2) == data[size // 2 :]


def test_moving_replaces_what_was_there(objects: Objects) -> None:
    objects.put("incoming/a", b"new")
    objects.put("packs/aa/a", b"from before")
    objects.move("incoming/a", "packs/aa/a")
    assert (objects.size("incoming/a"), objects.get("packs/aa/a")) == (None, b"new")
    with pytest.raises(ObjectMissing, match="incoming/a"):
        objects.move("incoming/a", "packs/aa/a")


def test_signed_addresses_need_no_credentials_and_allow_one_thing(s3: Objects, tmp_path: Path) -> None:
    minute = timedelta(minutes=1)
    id, reading = s3.begin_sending("incoming/a"), s3.signed_get("incoming/a", minute)
    assert id is not None
    assert reading is not None
    writing = s3.sending_url("incoming/a", id, minute)
    assert not s3.finish_sending("incoming/a", id)  # nothing was sent
    for body in (b"before", b"0123456789"):
        assert urllib3.request("PUT", writing, body=body).status == 200
    assert s3.size("incoming/a") is None
    assert s3.finish_sending("incoming/a", id)
    assert s3.get("incoming/a") == b"0123456789"
    part = urllib3.request("GET", reading, headers={"Range": "bytes=3-5"})
    assert (part.status, part.data) == (206, b"345")
    assert urllib3.request("PUT", reading, body=b"other").status == 403
    assert urllib3.request("GET", reading.replace("incoming/a", "incoming/b")).status == 403
    assert urllib3.request("PUT", writing.replace("partNumber=1", "partNumber=2"), body=b"more").status == 403
    assert LocalObjects(tmp_path).begin_sending("a") is None


def test_what_was_sent_is_never_changed_by_its_address(s3: Objects) -> None:
    id = s3.begin_sending("packs/aa/b")
    assert id is not None
    writing = s3.sending_url("packs/aa/b", id, timedelta(minutes=1))
    assert urllib3.request("PUT", writing, body=b"sent").status == 200
    assert s3.finish_sending("packs/aa/b", id)
    assert urllib3.request("PUT", writing, body=b"sent later").status == 404
    s3.finish_sending("packs/aa/b", id)  # a call of which the answer was lost
    assert s3.get("packs/aa/b") == b"sent"
    s3.delete("packs/aa/b")
    assert not s3.finish_sending("packs/aa/b", id)
    assert s3.size("packs/aa/b") is None


def test_an_object_is_sent_from_here_in_the_same_way(s3: Objects) -> None:
    id = s3.begin_sending("packs/aa/c")
    assert id is not None
    for data in (b"before", [b"in ", b"pieces"]):
        s3.send("packs/aa/c", id, data)
    assert s3.size("packs/aa/c") is None
    assert s3.finish_sending("packs/aa/c", id)
    assert s3.get("packs/aa/c") == b"in pieces"


def test_what_was_sent_and_never_finished_is_given_up(s3: Objects, tmp_path: Path) -> None:
    old, other = s3.begin_sending("cut/aa/old"), s3.begin_sending("whole/aa/other")
    assert old is not None
    assert other is not None
    writing = s3.sending_url("cut/aa/old", old, timedelta(minutes=1))
    assert urllib3.request("PUT", writing, body=b"sent").status == 200
    now = datetime.now(UTC)
    assert s3.drop_sendings("cut/", now - timedelta(hours=1)) == 0
    assert s3.drop_sendings("cut/", now + timedelta(hours=1)) == 1
    assert urllib3.request("PUT", writing, body=b"sent").status == 404
    assert not s3.finish_sending("cut/aa/old", old)
    writing = s3.sending_url("whole/aa/other", other, timedelta(minutes=1))
    assert urllib3.request("PUT", writing, body=b"x").status == 200
    assert s3.finish_sending("whole/aa/other", other)
    assert LocalObjects(tmp_path).drop_sendings("", now) == 0


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


def test_a_folder_that_is_gone_is_told_from_an_object_that_is_missing(tmp_path: Path) -> None:
    objects, elsewhere = LocalObjects(tmp_path / "store"), tmp_path / "elsewhere"
    objects.put("packs/ab/one", b"0123")
    (tmp_path / "store").rename(elsewhere)
    (tmp_path / "given").write_bytes(b"x")
    calls: list[Callable[[], object]] = [
        lambda: objects.get("packs/ab/one"),
        lambda: objects.get_range("packs/ab/one", 0, 1),
        lambda: objects.size("packs/ab/one"),
        lambda: objects.delete("packs/ab/one"),
        lambda: objects.put("packs/ab/two", b"1"),
        lambda: objects.move("packs/ab/one", "packs/ab/two"),
        lambda: objects.adopt("packs/ab/two", tmp_path / "given"),
    ]
    for call in calls:
        with pytest.raises(Unavailable, match=r"the folder of the store cannot be used \(No such file"):
            call()
    assert not (tmp_path / "store").exists(), "nothing may be written to what will be hidden again"
    elsewhere.rename(tmp_path / "store")
    assert objects.get("packs/ab/one") == b"0123"
    assert objects.size("packs/ab/two") is None
