"""Garbage goes, and nothing else: deleted commits, carried out layers, broken streams, expired sets, sparse packs."""

import secrets
import threading
from collections.abc import Iterator
from datetime import timedelta

import grpc
import pytest
from blake3 import blake3

from datamill.bulk.sending.stating import Batch, Blob
from datamill.wire import content_v1_pb2 as content
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import upkeep_v1_pb2 as wire
from services.kit.packs import PackBuilder
from tests.support.servers import eventually
from tests.system.pfs.driver import Change, Repo, delete, put, refused
from tests.system.upkeep.conftest import AT_ONCE, Alone

HOUR = timedelta(hours=1)


def drop(repo: Repo, commit: pfs.Commit) -> None:
    repo.api.DropCommit(pfs.DropCommitRequest(commit=commit, recursive=True))


def test_what_only_a_deleted_commit_referred_to_goes(alone: Alone) -> None:
    repo = Repo(alone.channel)
    repo.modify(put("kept", b"kept" * 100))
    kept = alone.packs()
    first = repo.wait()
    repo.modify(put("gone", b"gone" * 100))
    second = repo.wait()
    assert len(alone.packs()) == 2
    drop(repo, second.commit)
    would = alone.collect(dry_run=True)
    assert would.unreferenced_content.packs == 1
    assert len(alone.packs()) == 2
    waits = alone.collect(HOUR)
    assert (
        waits.unreferenced_content.packs,
        waits.deleted.packs,
        waits.waiting.packs,
    ) == (1, 0, 2)
    assert len(alone.packs()) == 2
    report = alone.collect()
    assert report.deleted.packs == 2
    assert report.deleted.size_bytes > 400
    assert alone.packs() == kept
    assert repo.read("kept", first.commit) == b"kept" * 100
    assert alone.collect().deleted.packs == 0


def test_a_whole_repo_goes_and_the_other_stays(alone: Alone) -> None:
    one, other = Repo(alone.channel), Repo(alone.channel)
    for repo in (one, other):
        commit = repo.start()
        repo.stream((put(f"/d/{n}", secrets.token_bytes(200)) for n in range(3000)), commit)
        repo.finish(commit)
    big = put("big", secrets.token_bytes(9 << 20))
    one.modify(big)
    one.wait()
    before = one.tar("/")
    other.api.DeleteRepo(pfs.DeleteRepoRequest(repo=other.wire))
    report = alone.collect()
    assert report.unreferenced_content.packs >= 1
    assert report.unreferenced_index.packs >= 1
    assert one.tar("/") == before


def test_open_writes_and_file_sets_are_kept_until_they_end(alone: Alone) -> None:
    repo = Repo(alone.channel)
    commit = repo.start()
    repo.modify(put("open", b"an open one"), commit=commit)
    made = repo.api.CreateFileSet(iter([put("/in/set", b"in a set")]))
    assert alone.collect().deleted.packs == 0
    repo.api.AddFileSet(pfs.AddFileSetRequest(commit=commit, file_set_id=made.file_set_id))
    repo.finish(commit)
    assert alone.collect().carried_out_layers == 2
    assert (repo.read("open"), repo.read("/in/set")) == (b"an open one", b"in a set")


def test_what_a_broken_stream_has_stored_goes(alone: Alone) -> None:
    repo = Repo(alone.channel)
    commit = repo.start()

    def messages() -> Iterator[Change]:
        yield Change(set_commit=commit)
        for number in range(40):
            yield put(f"/{number}", secrets.token_bytes(1 << 20))
        yield Change()

    with refused(grpc.StatusCode.UNKNOWN, "unrecognized message type"):
        repo.api.ModifyFile(messages())
    assert len(alone.packs()) >= 1
    alone.collect()
    eventually(
        lambda: alone.collect() is not None and not alone.packs(),
        "the broken stream's packs are deleted",
    )


def test_packs_that_callers_write_wait_to_be_named(alone: Alone) -> None:
    repo = Repo(alone.channel)
    builder = PackBuilder()
    blob = builder.add(b"written by a caller")
    name = repo.content.StartPack(content.StartPackRequest()).pack_id
    repo.content.PutPack(iter([content.PutPackRequest(pack_id=name, data=builder.finish())]))
    assert alone.collect(HOUR).abandoned.packs == 0
    repo.content.SealPack(content.SealPackRequest(pack_id=name))
    assert alone.collect(HOUR).unsettled_packs == 1
    extent = content.Extent(
        pack_id=name,
        offset_bytes=blob.offset,
        stored_bytes=blob.stored_bytes,
        size_bytes=19,
        digest=blob.digest,
    )
    entry = content.Entry(
        path="/a",
        content=content.Content(
            size_bytes=19,
            digest=blake3(b"written by a caller").digest(),
            extents=[extent],
        ),
    )
    made = repo.content.PutEntries(iter([content.PutEntriesRequest(entries=[entry])]))
    commit = repo.start()
    repo.api.AddFileSet(pfs.AddFileSetRequest(commit=commit, file_set_id=made.file_set_id))
    repo.finish(commit)
    assert alone.collect().deleted.packs == 0
    assert repo.read("/a") == b"written by a caller"
    lonely = repo.content.StartPack(content.StartPackRequest()).pack_id
    repo.content.PutPack(iter([content.PutPackRequest(pack_id=lonely, data=builder.finish())]))
    repo.content.SealPack(content.SealPackRequest(pack_id=lonely))
    assert alone.collect().deleted.packs == 1
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "is not sealed"):
        extent.pack_id = lonely
        entry.content.extents[0].pack_id = lonely
        repo.content.PutEntries(iter([content.PutEntriesRequest(entries=[entry])]))


def test_a_long_run_of_entries_stays_as_long_as_it_counts(alone: Alone) -> None:
    repo, empty = Repo(alone.channel), Blob(0, blake3(b"").digest())

    batch = Batch()
    for number in range(8192):  # a tree at once
        batch.add(f"/kept/{number:04d}", empty)
    made = repo.content.PutEntries(iter([batch.request()])).file_set_id
    alone.collect()
    commit = repo.start()
    repo.api.AddFileSet(pfs.AddFileSetRequest(commit=commit, file_set_id=made))
    alone.collect()
    assert repo.finish(commit).error == ""
    alone.collect()
    assert len(repo.walk("/kept")) == 8193


def test_a_pack_of_which_little_is_left_is_rewritten_and_commits_keep_their_ids(
    alone: Alone,
) -> None:
    repo = Repo(alone.channel)
    data = {f"/{number}": secrets.token_bytes(10_000) for number in range(100)}
    repo.stream(put(path, content) for path, content in data.items())
    first = repo.wait()
    repo.stream(delete(f"/{number}") for number in range(90))
    second = repo.wait()
    repo.api.SquashCommit(pfs.SquashCommitRequest(commit=first.commit, recursive=True))
    (old,) = alone.packs()
    report = alone.collect()
    assert report.rewritten.packs == 1
    assert report.rewritten.size_bytes == 90 * 10_000
    alone.collect()
    (new,) = alone.packs()
    assert new != old
    assert {path: repo.read(path, second.commit) for path in repo.walk("/", second.commit) if path != "/"} == {
        f"/{number}": data[f"/{number}"] for number in range(90, 100)
    }
    found = repo.content.ResolveFiles(
        content.ResolveFilesRequest(wanted=[content.Wanted(commit=second.commit, path="/95")])
    )
    ((extent,),) = [file.content.extents for answer in found for file in answer.files]
    assert extent.pack_id.hex() == new
    repo.stream(delete(f"/{number}") for number in range(90, 99))  # and again, on top of what was moved
    third = repo.wait()
    repo.api.SquashCommit(pfs.SquashCommitRequest(commit=second.commit, recursive=True))
    assert alone.collect().rewritten.packs == 1
    alone.collect()
    alone.collect()
    assert repo.read("/99", third.commit) == data["/99"]
    assert repo.api.InspectCommit(pfs.InspectCommitRequest(commit=third.commit)).details.size_bytes == 10_000


def test_replicas_over_postgresql_and_s3_collect_for_one_another(in_cluster: tuple[Alone, Alone]) -> None:
    here, there = in_cluster
    repo, same = Repo(here.channel), Repo(there.channel)
    data = [secrets.token_bytes(5_000) for _ in range(40)]
    repo.stream(put(f"/{number}", content) for number, content in enumerate(data))
    first = repo.wait()
    repo.stream(delete(f"/{number}") for number in range(35))
    second = repo.wait()
    same.modify(put("elsewhere", b"1"))
    last = same.wait()
    drop(same, last.commit)
    repo.api.SquashCommit(pfs.SquashCommitRequest(commit=first.commit, recursive=True))
    report = there.collect()
    assert (report.unreferenced_content.packs, report.rewritten.packs) == (1, 1)
    assert here.collect().deleted.packs >= 1
    there.collect()
    for reader in (repo, Repo(there.channel, repo.name)):
        assert [reader.read(f"/{number}", second.commit) for number in range(35, 40)] == data[35:]
    answers = list(here.upkeep.Scrub(wire.ScrubRequest(), timeout=120))
    assert answers[-1].report.damaged == 0
    drop(repo, second.commit)
    assert here.collect().unreferenced_content.packs == 1


def test_a_running_call_holds_a_collection_off(alone: Alone) -> None:
    repo = Repo(alone.channel)
    commit = repo.start()
    waiting = threading.Event()

    def messages() -> Iterator[Change]:
        yield Change(set_commit=commit)
        yield put("/a", b"slow")
        waiting.wait(120)

    call = repo.api.ModifyFile.future(messages())
    request = wire.CollectGarbageRequest()
    request.hold.FromTimedelta(AT_ONCE)
    collected = alone.upkeep.CollectGarbage(request)
    assert next(collected).stage.startswith("waiting")
    with pytest.raises(grpc.FutureTimeoutError):
        call.result(timeout=1)
    waiting.set()
    call.result(timeout=120)
    *_, last = collected
    assert last.HasField("report")
    repo.finish(commit)
    assert repo.read("/a") == b"slow"
