"""The sorted map alone, against a table in SQLite with the same rows."""

import sqlite3
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.report import Figure, spread
from services.kit.sortedmap.change import apply
from services.kit.sortedmap.compare import diff, summary
from services.kit.sortedmap.packs import PackSink, Reader
from services.kit.sortedmap.rows import Place, Root, Row
from services.kit.sortedmap.tree import build, get, scan

ROWS = 1_000_000
ROUNDS = 20


class _Memory(dict[bytes, bytes]):
    def read(self, place: Place) -> bytes:
        return self[place.pack][place.offset : place.offset + place.stored]


def _rows() -> list[Row]:
    place = Place(b"p" * 16, 0, 1)
    return [
        Row(b"/class_%05d/IMG_%07d.jpg\x00default" % (n // 1000, n), 1, n, n.to_bytes(32, "big"), place)
        for n in range(ROWS)
    ]


def _seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def run() -> list[Figure]:
    rows, packs = _rows(), _Memory()
    roots = list[Root]()

    def build_it() -> None:
        sink = PackSink(packs.__setitem__)
        roots.append(build(rows, sink))
        sink.flush()

    ours, theirs = _seconds(build_it), _sqlite(rows)
    reader, changed = Reader(packs), list[Root]()

    def change(turn: int) -> None:
        sink = PackSink(packs.__setitem__)
        row = rows[(turn * 7919 * 13) % ROWS]
        changed.append(apply(reader, roots[0], [row._replace(size=turn + 5_000_000)], sink))
        sink.flush()

    def compare(root: Root) -> None:
        list(diff(reader, roots[0], root))

    reads = _reads(packs, roots[0], rows)
    one = [_seconds(partial(change, turn)) for turn in range(ROUNDS)]
    two = [_seconds(partial(compare, root)) for root in changed]
    return [
        Figure(what=f"sorted map: build of {ROWS:,} sorted rows", ours=f"{ROWS / ours / 1e6:.2f} M rows/s",
               peer=f"SQLite {ROWS / theirs / 1e6:.2f} M rows/s", ratio=f"{theirs / ours:.1f}× faster"),
        Figure(what=f"sorted map: one changed row of {ROWS:,}", ours=spread(one), goal="≤ 5 ms",
               reached=median(one) <= 0.005),
        Figure(what=f"sorted map: diff of one changed row of {ROWS:,}", ours=spread(two), goal="≤ 2 ms",
               reached=median(two) <= 0.002),
        *reads,
    ]  # fmt: skip


def _reads(packs: _Memory, root: Root, rows: list[Row]) -> list[Figure]:
    """Reading the map through nothing else: what a call adds to it is the difference to the goals of the API."""
    warm, low, high = Reader(packs), b"/class_00500/", b"/class_005000"
    key, count = rows[500_500].key, range(ROUNDS)
    get(warm, root, key)
    again = [_seconds(lambda: [get(warm, root, key) for _ in range(1000)]) / 1000 for _ in count]
    cold = [_seconds(lambda: get(Reader(packs), root, key)) for _ in count]
    folder = [_seconds(lambda: list(scan(warm, root, low, high))) for _ in count]
    total = [_seconds(lambda: summary(warm, root, low, high)) for _ in count]
    walk = _seconds(lambda: sum(1 for _ in scan(Reader(packs), root)))
    return [
        Figure(what=f"sorted map: look-up among {ROWS:,}, warm", ours=f"{median(again) * 1e6:.1f} µs", goal="≤ 5 µs",
               reached=median(again) <= 5e-6),
        Figure(what="sorted map: the same, nothing decoded yet", ours=f"{median(cold) * 1e6:.0f} µs", goal="≤ 500 µs",
               reached=median(cold) <= 5e-4),
        Figure(what="sorted map: rows of a directory of 1,000", ours=spread(folder), goal="≤ 2 ms",
               reached=median(folder) <= 0.002),
        Figure(what="sorted map: size and hash of a directory", ours=spread(total), goal="≤ 1 ms",
               reached=median(total) <= 0.001),
        Figure(what=f"sorted map: every row of {ROWS:,}", ours=f"{walk:.2f} s", goal="≤ 0.4 s", reached=walk <= 0.4),
    ]  # fmt: skip


def _sqlite(rows: list[Row]) -> float:
    with tempfile.TemporaryDirectory(prefix="datamill-bench-") as name:
        connection = sqlite3.connect(Path(name) / "peer.db")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t (key BLOB PRIMARY KEY, kind INT, size INT, digest BLOB) WITHOUT ROWID")
        plain = ((row.key, row.kind, row.size, row.digest) for row in rows)

        def insert() -> None:
            connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", plain)
            connection.commit()

        seconds = _seconds(insert)
        connection.close()
    return seconds
