"""The store of PFS goes away while clients write, and comes back: refusals say so, and everything heals by itself."""

import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import upkeep_v1_pb2 as upkeep
from tests.support.patience import eventually
from tests.support.proxy import Mood, proxy_to
from tests.support.seaweed import Seaweed
from tests.support.servers import unique
from tests.support.upkeep import upkeep_of
from tests.system.outages.conftest import StartPfs
from tests.system.outages.writing import PATIENCE, UNAVAILABLE, writing
from tests.system.pfs.driver import Repo, put, refused

GONE = "the folder of the store cannot be used (No such file or directory)"


def test_a_folder_that_is_gone_for_a_while_is_not_taken_for_lost_content(start_pfs: StartPfs) -> None:
    alone = start_pfs({})
    store, elsewhere = alone.root / "store", alone.root / "elsewhere"
    repo = Repo(alone.channel)
    repo.modify(put("/before", b"1"))
    repo.wait()
    with writing(alone.channel) as work:
        work.go_on()
        commit = repo.start()
        repo.stream((put(f"/d/{n}", b"%d" % n) for n in range(3000)), commit)
        store.rename(elsewhere)
        repo.api.FinishCommit(pfs.FinishCommitRequest(commit=commit))
        for call in (
            lambda: repo.read("/before", pfs.Commit(repo=repo.wire, id=f"{commit.id}^")),
            lambda: repo.api.CheckStorage(pfs.CheckStorageRequest(read_chunk_data=False)),
            lambda: list(upkeep_of(alone.channel).CollectGarbage(_at_once(), timeout=PATIENCE)),
            lambda: list(upkeep_of(alone.channel).Scrub(upkeep.ScrubRequest(), timeout=PATIENCE)),
            lambda: Repo(alone.channel).modify(put("/x", b"1")),
        ):
            with refused(UNAVAILABLE, GONE):
                call()
        eventually(lambda: work.refusals, within=PATIENCE)
        elsewhere.rename(store)
        assert repo.wait(commit).error == ""
        work.go_on()
    assert len(repo.ls("/d", commit)) == 3000
    assert all(GONE in text for text in work.refusals)
    *_, last = upkeep_of(alone.channel).Scrub(upkeep.ScrubRequest(), timeout=PATIENCE)
    assert last.report.damaged == 0


def _at_once() -> upkeep.CollectGarbageRequest:
    request = upkeep.CollectGarbageRequest()
    request.hold.SetInParent()
    return request


def test_a_database_without_its_store_is_refused_at_start(start_pfs: StartPfs) -> None:
    alone = start_pfs({})
    repo = Repo(alone.channel)
    repo.modify(put("/a", b"1"))
    repo.wait()
    (alone.root / "store").rename(alone.root / "elsewhere")
    with pytest.raises(AssertionError, match="holds none of the packs that the database knows"):
        start_pfs({})
    assert not (alone.root / "store" / "packs").exists()


def test_an_s3_server_that_is_killed_and_started_under_writers(start_pfs: StartPfs, own_seaweed: Seaweed) -> None:
    store = own_seaweed.url(unique("killed")) + "&patience=3"
    alone = start_pfs({"PFS_STORE": store, **own_seaweed.environment})
    with writing(alone.channel) as work:
        work.go_on()
        own_seaweed.stop()
        eventually(lambda: work.refusals, within=PATIENCE)
        own_seaweed.start()
        work.go_on()
    assert all(f"the store s3://{own_seaweed.endpoint}/" in text for text in work.refusals)
    *_, last = upkeep_of(alone.channel).Scrub(upkeep.ScrubRequest(), timeout=PATIENCE)
    assert last.report.damaged == 0


def test_a_store_that_fails_or_is_slow_under_writers(start_pfs: StartPfs, seaweed: Seaweed) -> None:
    with proxy_to(seaweed.port) as proxy:
        store = seaweed.url(unique("moods"), endpoint=proxy.endpoint) + "&patience=2"
        alone = start_pfs({"PFS_STORE": store, **seaweed.environment})
        with writing(alone.channel) as work:
            for mood in (Mood.BUSY, Mood.AWAY):
                work.go_on(2)
                proxy.mood, before = mood, len(work.refusals)
                eventually(lambda before=before: len(work.refusals) > before, within=PATIENCE)  # type: ignore[misc]
                proxy.mood = Mood.FAITHFUL
            proxy.mood = Mood.SLOW
            work.go_on(2)
            proxy.mood = Mood.FAITHFUL
            work.go_on(2)
        assert all(f"the store s3://{proxy.endpoint}/" in text for text in work.refusals)
