"""What S3 objects do while their store is away, busy, silent, slow, damaging or full: wait, say so, and go on."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.kit.config import ConfigError
from services.kit.errors import Exhausted, Unavailable
from services.kit.objects import s3 as driver
from services.kit.objects.address import ACCESS_KEY, SECRET_KEY, Bucket, parse
from services.kit.objects.opening import open_store
from services.kit.objects.s3 import S3Objects
from tests.support.proxy import Mood, Proxy, proxy_to
from tests.support.seaweed import BUCKET, SECRET, Seaweed
from tests.support.servers import free_port, unique

PACK = os.urandom(20 << 20)


@pytest.fixture
def proxy(seaweed: Seaweed) -> Iterator[Proxy]:
    with proxy_to(seaweed.port) as found:
        yield found


@pytest.fixture(autouse=True)
def credentials(seaweed: Seaweed, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in seaweed.environment.items():
        monkeypatch.setenv(name, value)


def store(proxy: Proxy, *, patience: float) -> S3Objects:
    return S3Objects(Bucket(proxy.endpoint, BUCKET, unique("t") + "/", "us-east-1", False, patience))


@pytest.mark.parametrize("mood", [Mood.AWAY, Mood.BUSY])
def test_a_store_that_comes_back_is_waited_for(proxy: Proxy, mood: Mood) -> None:
    objects = store(proxy, patience=20)
    objects.put("a", b"before")
    proxy.mood = mood
    back = threading.Timer(1.0, setattr, (proxy, "mood", Mood.FAITHFUL))
    back.start()
    objects.put("b", PACK)
    back.join()
    proxy.mood = mood
    threading.Timer(0.5, setattr, (proxy, "mood", Mood.FAITHFUL)).start()
    assert (objects.get("b") == PACK, objects.get_range("a", 1, 3), objects.size("none")) == (True, b"efo", None)


@pytest.mark.parametrize(
    ("mood", "why"), [(Mood.AWAY, "does not answer"), (Mood.BUSY, "503"), (Mood.SILENT, "timed out")]
)
def test_waiting_ends_with_a_clear_error_and_then_it_heals(
    proxy: Proxy, mood: Mood, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "ANSWER_SECONDS", 0.5)
    objects = store(proxy, patience=1)
    proxy.mood = mood
    for call in (lambda: objects.put("a", b"1"), lambda: objects.get("a"), lambda: objects.delete("a")):
        with pytest.raises(Unavailable, match=f"store s3://{proxy.endpoint}/.*{why}"):
            call()
    proxy.mood = Mood.FAITHFUL
    objects.put("a", b"1")
    assert objects.get("a") == b"1"


def test_a_slow_line_takes_its_time(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole pack takes far longer than one piece may."""
    monkeypatch.setattr(driver, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(driver, "ANSWER_SECONDS", 1.5)
    proxy.mood = Mood.SLOW
    objects, before = store(proxy, patience=1), proxy.connections
    began = time.monotonic()
    objects.put("a", PACK)
    assert time.monotonic() - began > 2
    assert objects.get("a") == PACK
    assert proxy.connections - before == 1  # nothing was begun anew


def test_what_arrives_damaged_is_refused_and_sent_again(proxy: Proxy) -> None:
    objects = store(proxy, patience=20)
    proxy.mood = Mood.DAMAGING
    back = threading.Timer(1.0, setattr, (proxy, "mood", Mood.FAITHFUL))
    back.start()
    objects.put("whole", PACK)
    assert objects.get("whole") == PACK
    back.join()
    proxy.mood = Mood.DAMAGING
    back = threading.Timer(1.5, setattr, (proxy, "mood", Mood.FAITHFUL))
    back.start()
    objects.put("parts", PACK * 2)
    assert objects.get("parts") == PACK * 2
    back.join()
    id = objects.begin_sending("sent")
    assert id is not None
    proxy.mood = Mood.DAMAGING
    back = threading.Timer(1.0, setattr, (proxy, "mood", Mood.FAITHFUL))
    back.start()
    objects.send("sent", id, PACK)
    assert objects.finish_sending("sent", id)
    assert objects.get("sent") == PACK
    back.join()


def fill(objects: S3Objects) -> None:
    for number in range(40):
        objects.put(f"big/{number}", PACK)


def test_a_store_that_says_it_is_full_is_not_asked_again(proxy: Proxy) -> None:
    objects = store(proxy, patience=20)
    proxy.mood = Mood.FULL
    before = proxy.connections
    with pytest.raises(Exhausted, match=f"the store s3://{proxy.endpoint}/.* is full"):
        objects.put("a", b"1")
    assert proxy.connections - before <= 1


def test_a_store_that_is_full_refuses_and_goes_on_serving(tmp_path: Path) -> None:
    """SeaweedFS calls it an internal error."""
    tiny = Seaweed(tmp_path / "weed", room_mib=8)
    tiny.start()
    try:
        objects = S3Objects(Bucket(tiny.endpoint, BUCKET, "", "us-east-1", False, 1))
        objects.put("small", b"kept")
        with pytest.raises((Exhausted, Unavailable), match=r"the store s3://.* fails: InternalError"):
            fill(objects)
        assert objects.get("small") == b"kept"
    finally:
        tiny.stop()


def test_wrong_settings_are_told_at_start(seaweed: Seaweed, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="there is no bucket elsewhere; make it first"):
        open_store(f"s3://{seaweed.endpoint}/elsewhere?secure=false")
    with pytest.raises(Unavailable, match=r"does not answer: .*refused"):
        S3Objects(Bucket(f"127.0.0.1:{free_port()}", BUCKET, secure=False, patience=0.3)).check()
    monkeypatch.setenv(SECRET_KEY, "wrong")
    with pytest.raises(ConfigError, match=f"refuses: AccessDenied.*{ACCESS_KEY}") as refused:
        open_store(seaweed.url())
    assert SECRET not in str(refused.value)
    monkeypatch.delenv(SECRET_KEY)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    with pytest.raises(ConfigError, match=f"set {ACCESS_KEY} and {SECRET_KEY}"):
        open_store(seaweed.url())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("relative/path", "is no store"),
        ("file://host/path", "with/its/whole/path"),
        ("http://x/y", "is no store"),
        ("s3://host:1", "names no bucket"),
        ("s3://host/UPPER", "names no bucket"),
        ("s3://key:secret@host/bucket", "must not hold credentials"),
        ("s3://host/bucket?secure=maybe", "secure is true or false"),
        ("s3://host/bucket?patience=long", "patience is a number"),
        ("s3://host/bucket?regon=x", "no option 'regon'"),
        ("s3://host/bucket/a/../b", "a prefix is made of"),
    ],
)
def test_an_address_that_cannot_be_right_is_refused(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as refused:
        open_store(text)
    assert "secret" not in str(refused.value)


def test_addresses_that_are_right(tmp_path: Path) -> None:
    assert str(parse("/some/where")) == "file:///some/where"
    assert parse("s3:///mine?region=eu-west-1") == Bucket("s3.amazonaws.com", "mine", "", "eu-west-1", True)
    assert parse("s3://h:9000/mine?patience=2.5") == Bucket("h:9000", "mine", patience=2.5)
    assert parse("s3://h:9000/mine/a/b/?secure=no") == Bucket("h:9000", "mine", "a/b/", "", False)
    assert str(parse("s3://h:9000/mine/a/b/?secure=no")) == "s3://h:9000/mine/a/b"
