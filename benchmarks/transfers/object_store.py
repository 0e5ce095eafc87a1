"""PFS over S3 (SeaweedFS on this machine) and PostgreSQL, against the same server used by the minio client alone.

Everything shares the cores: the server, PFS and whoever asks.
"""

import io
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from minio import Minio

import datamill
from benchmarks.report import Figure, spread
from datamill import names
from datamill.bulk.local import LocalFile
from datamill.wire import pfs_v2_pb2 as pfs
from tests.support.postgres import Postgres
from tests.support.seaweed import BUCKET, Seaweed
from tests.support.servers import SERVING, nats_command, running, service_command, settings

BIG_BYTES = int(os.environ.get("BENCH_BIG_MB", "800")) << 20
OBJECT_BYTES = 16 << 20
SMALL_FILES, SMALL_BYTES, ALONE_FILES = 20_000, 10_000, 2_000
ROUNDS = 40
GOAL_COMMIT_SECONDS = 0.025


def run() -> list[Figure]:
    """What putting and getting costs, beside the raw store."""
    with tempfile.TemporaryDirectory(prefix="datamill-bench-") as name, _servers(Path(name)) as (client, raw):
        client.create_repo("bench")
        return [*_big(Path(name), client, raw), *_small(Path(name), client, raw), _commit(client)]


@contextmanager
def _servers(root: Path) -> Iterator[tuple[datamill.Client, Minio]]:
    weed, postgres = Seaweed(root / "weed"), Postgres(root / "postgres")
    with ExitStack() as up:
        for server in (weed, postgres):
            server.start()
            up.callback(server.stop)
        nats = up.enter_context(running(nats_command(root / "nats"), ready=r"client connections on (\S+)"))
        env = settings("pfs", root, nats_url=f"nats://{nats[1]}", token="bench") | weed.environment
        env |= {"PFS_STORE": weed.url("pfs"), "PFS_DATABASE_URL": postgres.schema("pfs")}
        process = up.enter_context(running(service_command("pfs"), env=env, ready=SERVING))
        yield up.enter_context(datamill.Client(f"grpc://{process[1]}")), weed.client()


def _big(root: Path, client: datamill.Client, raw: Minio) -> Iterator[Figure]:
    piece, count = os.urandom(OBJECT_BYTES), BIG_BYTES // OBJECT_BYTES

    def put(number: int) -> None:
        raw.put_object(BUCKET, f"raw/{number}", io.BytesIO(piece), OBJECT_BYTES, part_size=2 * OBJECT_BYTES)

    def get(number: int) -> None:
        _drained(raw, f"raw/{number}")

    source = root / "big"
    with open(source, "wb") as file:
        for _ in range(count):
            file.write(os.urandom(OBJECT_BYTES))
    size, peer_name = f"one file of {BIG_BYTES >> 20} MiB", "PUT of 16 MiB objects, 4 threads"
    peer = _seconds(lambda: _in_threads(4, put, count))
    ours = _seconds(lambda: client.put("bench@big:/big", source))
    yield _against(f"put of {size} through the service", ours, peer, peer_name, "≥ 90 %")
    ours = _seconds(lambda: client.put_local([LocalFile("big", str(source))], "bench@straight:/"))
    yield _against(f"put of {size} by packs at signed URLs", ours, peer, peer_name, "≥ 90 %")
    client.wait_commit("bench@big")
    peer = _seconds(lambda: _in_threads(4, get, count))
    file_of = names.file("bench@big:/big")
    ours = _seconds(lambda: [None for _ in client.pfs.GetFile(pfs.GetFileRequest(file=file_of))])
    yield _against("get of it through the service", ours, peer, "GET of them, 4 threads", "–")
    ours = _seconds(lambda: client.get_straight(file_of, root / "got"))
    yield _against("get of it at signed URLs, into a file", ours, peer, "GET of them, 4 threads", "–")


def _small(root: Path, client: datamill.Client, raw: Minio) -> Iterator[Figure]:
    data = os.urandom(SMALL_BYTES)
    folder = root / "small"
    for number in range(SMALL_FILES):
        place = folder / f"{number % 100:02}"
        place.mkdir(parents=True, exist_ok=True)
        (place / str(number)).write_bytes(number.to_bytes(8, "big") + data[8:])

    (root / "alone").mkdir()

    def put(number: int) -> None:
        raw.fput_object(BUCKET, f"alone/{number}", str(folder / f"{number % 100:02}" / str(number)))

    def get(number: int) -> None:
        (root / "alone" / str(number)).write_bytes(_drained(raw, f"alone/{number}"))

    peer = _seconds(lambda: _in_threads(16, put, ALONE_FILES)) / ALONE_FILES
    ours = _seconds(lambda: client.put_folder(folder, "bench@small:/")) / SMALL_FILES
    yield _files("20,000 files of 10 KB put as a folder", ours, peer, "an object each, 16 threads")
    client.wait_commit("bench@small")
    peer = _seconds(lambda: _in_threads(16, get, ALONE_FILES)) / ALONE_FILES
    ours = _seconds(lambda: client.get_folder("bench@small:/", root / "out")) / SMALL_FILES
    yield _files("got back as a folder", ours, peer, "an object each, 16 threads")


def _commit(client: datamill.Client) -> Figure:
    def once(number: int) -> float:
        begun = time.perf_counter()
        client.put(f"bench@small:/new/{number}", os.urandom(1000))
        client.wait_commit("bench@small")
        return time.perf_counter() - begun

    found = [once(number) for number in range(ROUNDS + 5)][5:]
    goal = f"≤ {GOAL_COMMIT_SECONDS * 1e3:.0f} ms"
    what = "one more file of 20,000, put to FINISHED, PostgreSQL and S3"
    return Figure(what=what, ours=spread(found), goal=goal, reached=median(found) <= GOAL_COMMIT_SECONDS)


def _in_threads(threads: int, work: Callable[[int], None], count: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(count)))


def _drained(raw: Minio, key: str) -> bytes:
    answer = raw.get_object(BUCKET, key)
    try:
        return answer.read()
    finally:
        answer.release_conn()


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _against(what: str, ours: float, peer: float, peer_name: str, goal: str) -> Figure:
    reached = peer / ours >= 0.9 if goal.startswith("≥") else None
    rates = [f"{BIG_BYTES / 1e6 / seconds:.0f} MB/s" for seconds in (ours, peer)]
    return Figure(
        what=f"S3: {what}", ours=rates[0], peer=f"{peer_name} {rates[1]}", ratio=f"{peer / ours:.0%}", goal=goal,
        reached=reached,
    )  # fmt: skip


def _files(what: str, ours: float, peer: float, peer_name: str) -> Figure:
    return Figure(
        what=f"S3: {what}", ours=f"{1 / ours:,.0f} files/s", peer=f"{peer_name} {1 / peer:,.0f} files/s",
        ratio=f"{peer / ours:.1f}×", goal="≥ 5×", reached=peer / ours >= 5,
    )  # fmt: skip
