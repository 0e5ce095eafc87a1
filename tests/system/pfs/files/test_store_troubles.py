"""A PFS on S3 whose store goes away, fails and stalls: calls wait or say so, and everything goes on by itself."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from tests.support.proxy import Mood, Proxy, proxy_to
from tests.support.seaweed import Seaweed
from tests.support.servers import SERVING, Running, channel, eventually, running, service_command, settings, unique
from tests.system.pfs.driver import Repo, put, refused

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@pytest.fixture(scope="module")
def proxy(seaweed: Seaweed) -> Iterator[Proxy]:
    with proxy_to(seaweed.port) as found:
        yield found


@pytest.fixture
def process(proxy: Proxy, seaweed: Seaweed, tmp_path: Path, nats_url: str) -> Iterator[Running]:
    env = settings("pfs", tmp_path, nats_url=nats_url, token="t") | seaweed.environment
    env["PFS_STORE"] = seaweed.url(unique("troubles"), endpoint=proxy.endpoint) + "&patience=8"
    with running(service_command("pfs"), env=env, ready=SERVING) as found:
        yield found
    proxy.mood = Mood.FAITHFUL


@pytest.fixture
def repo(process: Running) -> Iterator[Repo]:
    with channel(process[1]) as opened:
        yield Repo(opened)


def faithful_in(proxy: Proxy, seconds: float) -> threading.Timer:
    timer = threading.Timer(seconds, setattr, (proxy, "mood", Mood.FAITHFUL))
    timer.start()
    return timer


@pytest.mark.parametrize("mood", [Mood.AWAY, Mood.BUSY])
def test_a_short_outage_is_waited_for(repo: Repo, proxy: Proxy, mood: Mood) -> None:
    data = os.urandom(300_000)
    repo.modify(put("before", data))
    repo.wait()
    proxy.mood = mood
    back = faithful_in(proxy, 2.0)
    repo.modify(put("during", data))
    back.join()
    proxy.mood = mood
    back = faithful_in(proxy, 1.0)
    assert repo.read("/before") == data
    back.join()
    assert repo.wait().error == ""
    assert repo.read("/during") == data


def test_a_long_outage_refuses_and_a_closed_commit_is_finished_after_it(
    repo: Repo, proxy: Proxy, process: Running
) -> None:
    commit = repo.start()
    repo.stream((put(f"/d/{n}", os.urandom(500)) for n in range(3000)), commit)
    proxy.mood = Mood.AWAY
    repo.api.FinishCommit(pfs.FinishCommitRequest(commit=commit))
    other = Repo(repo.channel)
    with refused(UNAVAILABLE, f"the store s3://{proxy.endpoint}/"):
        other.modify(put("x", b"1"))
    process.wait_for("the store s3://.* does not answer")
    proxy.mood = Mood.FAITHFUL
    info = repo.wait(commit)
    assert info.error == ""
    assert len(repo.ls("/d", commit)) == 3000
    other.modify(put("x", b"2"))
    other.wait()
    assert other.read("/x") == b"2"


def test_a_store_without_room_refuses_at_once(repo: Repo, proxy: Proxy) -> None:
    proxy.mood = Mood.FULL
    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, f"the store s3://{proxy.endpoint}/"):
        repo.modify(put("x", b"1"))
    proxy.mood = Mood.FAITHFUL
    repo.modify(put("x", b"1"))
    repo.wait()
    assert repo.read("/x") == b"1"


def test_calls_that_wait_for_the_store_do_not_hold_up_others(repo: Repo, proxy: Proxy) -> None:
    repo.modify(*(put(f"/d/{number}", b"%d" % number) for number in range(20)))
    repo.wait()
    listed = repo.ls("/d")
    proxy.mood, before = Mood.SILENT, proxy.connections
    with ThreadPoolExecutor(20) as threads:
        waiting = [threads.submit(repo.read, f"/d/{number}") for number in range(20)]
        eventually(lambda: proxy.connections >= before + 12, "calls wait for the store")
        assert repo.ls("/d") == listed
        assert not any(one.done() for one in waiting)
        proxy.mood = Mood.FAITHFUL
        assert [one.result() for one in waiting] == [b"%d" % number for number in range(20)]
