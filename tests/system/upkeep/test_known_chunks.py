"""A big file that is put again stores what is new of it, and what it shares with the file before outlives that one."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from threading import Event

import pytest
from blake3 import blake3

from datamill.wire import content_v1_pb2 as content
from datamill.wire import pfs_v2_pb2 as pfs
from tests.system.pfs.driver import Change, Repo, delete, put
from tests.system.upkeep.conftest import Alone

PIECE = 2 << 20
BIG = blake3(b"a big file").digest(length=28 << 20)
LONGER = b"+" + BIG
MUCH = 4 << 20  # a chunk


def again(data: bytes) -> Iterator[Change]:
    """As clients overwrite a file."""
    yield delete("/big")
    yield from (put("/big", data[at : at + PIECE]) for at in range(0, len(data), PIECE))


def extents(repo: Repo, commit: pfs.Commit) -> list[content.Extent]:
    request = content.ResolveFilesRequest(wanted=[content.Wanted(commit=commit, path="/big")])
    return [extent for one in repo.content.ResolveFiles(request) for extent in one.files[0].content.extents]


def new_bytes(repo: Repo, before: pfs.Commit, after: pfs.Commit) -> int:
    packs = {extent.pack_id for extent in extents(repo, before)}
    return sum(extent.stored_bytes for extent in extents(repo, after) if extent.pack_id not in packs)


def squash(repo: Repo, commit: pfs.Commit) -> None:
    repo.api.SquashCommit(pfs.SquashCommitRequest(commit=commit, recursive=True))


def test_an_open_commit_and_one_of_its_own_store_what_is_new(alone: Alone) -> None:
    repo = Repo(alone.channel)
    repo.stream(again(BIG))
    first = repo.wait().commit
    repo.stream(again(LONGER))
    second = repo.wait().commit
    assert new_bytes(repo, first, second) <= MUCH
    commit = repo.start()
    repo.stream(again(BIG + b"+"), commit)
    repo.finish(commit)
    assert new_bytes(repo, second, commit) <= 2 * MUCH
    repo.stream(islice(again(LONGER), 1, None))  # appended
    assert repo.wait().details.size_bytes == len(BIG) + 1 + len(LONGER)
    assert repo.read("/big") == BIG + b"+" + LONGER
    for old in (first, second):
        squash(repo, old)
    for _ in range(2):
        alone.collect()
    assert repo.read("/big", commit) == BIG + b"+"


@pytest.mark.parametrize("cut_off", [False, True], ids=["ends", "cut off"])
def test_what_a_running_stream_has_found_is_not_collected(alone: Alone, cut_off: bool) -> None:
    repo = Repo(alone.channel)
    repo.stream(again(BIG))
    first = repo.wait().commit
    most_is_sent, go_on = Event(), Event()

    def slowly() -> Iterator[Change]:
        for number, change in enumerate(again(LONGER)):
            if number == 12:
                most_is_sent.set()
                go_on.wait()
                if cut_off:
                    raise RuntimeError("the caller is gone")
            yield change

    with ThreadPoolExecutor(2) as threads:
        stream = threads.submit(repo.stream, slowly())
        assert most_is_sent.wait(120)
        repo.modify(delete("/big"))
        second = repo.wait().commit
        squash(repo, first)
        collecting = threads.submit(alone.collect)  # it waits for the stream
        go_on.set()
        if cut_off:
            assert stream.exception(120) is not None
        else:
            stream.result(120)
        collecting.result(120)
    alone.collect()
    if cut_off:
        assert repo.wait().commit.id == second.id
        assert alone.packs() == set()
    else:
        repo.wait()
        assert repo.read("/big") == LONGER
