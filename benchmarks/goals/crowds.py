"""How many commits a second several clients get, each until FINISHED; and what one byte in a big file adds."""

import os
import random
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from google.protobuf.wrappers_pb2 import BytesValue

from benchmarks.goals.places import Place, branch, head
from datamill.wire import pfs_v2_pb2 as pfs

BIG_BYTES = 256 << 20
PIECE = 1 << 20


def alone_and_apart(at: Place, clients: int, each: int) -> float:
    """Commits a second of clients that have a repo each: start, write, finish, wait."""
    names = [f"apart-{clients}-{number}" for number in range(clients)]
    for name in names:
        at.repo(name)

    def one(name: str) -> None:
        for turn in range(each):
            commit = at.start(name)
            at.pfs.ModifyFile(_put(commit, f"/{turn}", b"%d" % turn))
            at.finish(commit)

    return clients * each / _together(one, names)


def one_shots(at: Place, clients: int, each: int) -> float:
    """Commits a second of clients that write to one branch, without opening a commit; until the last is FINISHED."""
    at.repo("crowded")

    def one(name: str) -> None:
        for turn in range(each):
            at.pfs.ModifyFile(_put(pfs.Commit(branch=branch("crowded")), f"/{name}/{turn}", b"%d" % turn))

    begun = time.perf_counter()
    _together(one, [str(number) for number in range(clients)])
    at.wait(head("crowded"))
    return clients * each / (time.perf_counter() - begun)


def _together(work: Callable[[str], None], names: Iterable[str]) -> float:
    waiting = list(names)
    with ThreadPoolExecutor(len(waiting)) as pool:
        begun = time.perf_counter()
        list(pool.map(work, waiting))
        return time.perf_counter() - begun


def _put(commit: pfs.Commit, path: str, data: bytes) -> Iterable[pfs.ModifyFileRequest]:
    pieces = [data[start : start + PIECE] for start in range(0, len(data), PIECE)]
    yield pfs.ModifyFileRequest(set_commit=commit)
    yield pfs.ModifyFileRequest(delete_file=pfs.DeleteFile(path=path))
    for piece in pieces:
        yield pfs.ModifyFileRequest(add_file=pfs.AddFile(path=path, raw=BytesValue(value=piece)))


def inserted_byte(at: Place) -> tuple[int, int]:
    """Bytes of content that one byte more at the front of a big file adds: by our client, and by ModifyFile alone."""
    with tempfile.TemporaryDirectory(prefix="datamill-bench-") as name:
        os.environ["XDG_CACHE_HOME"] = f"{name}/cache"
        source = Path(name) / "folder" / "big"
        source.parent.mkdir()
        draw = random.Random(9)
        data = b"".join(draw.randbytes(PIECE) for _ in range(BIG_BYTES // PIECE))
        grown: list[int] = []
        at.repo("big")
        for turn in (data, b"+" + data):
            before = at.stored("packs")
            source.write_bytes(turn)
            at.client.put_folder(source.parent, "big@master:/")
            at.wait(head("big"))
            grown.append(at.stored("packs") - before)
        before = at.stored("packs")
        at.pfs.ModifyFile(_put(pfs.Commit(branch=branch("big")), "/big", b"-" + data))
        at.wait(head("big"))
        return grown[1], at.stored("packs") - before
