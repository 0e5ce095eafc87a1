"""The sorted map alone, against a table in SQLite with the same rows."""

import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.report import Figure, spread
from services.kit.sortedmap.change import apply
from services.kit.sortedmap.compare import diff
from services.kit.sortedmap.packs import PackSink, Reader
from services.kit.sortedmap.rows import Place, Root, Row
from services.kit.sortedmap.tree import build

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

    one = [_seconds(lambda turn=turn: change(turn)) for turn in range(ROUNDS)]  # type: ignore[misc]
    two = [_seconds(lambda root=root: list(diff(reader, roots[0], root))) for root in changed]  # type: ignore[misc]
    return [
        Figure(what=f"sorted map: build of {ROWS:,} sorted rows", ours=f"{ROWS / ours / 1e6:.2f} M rows/s",
               peer=f"SQLite {ROWS / theirs / 1e6:.2f} M rows/s", ratio=f"{theirs / ours:.1f}× faster"),
        Figure(what=f"sorted map: one changed row of {ROWS:,}", ours=spread(one), goal="≤ 5 ms",
               reached=median(one) <= 0.005),
        Figure(what=f"sorted map: diff of one changed row of {ROWS:,}", ours=spread(two), goal="≤ 2 ms",
               reached=median(two) <= 0.002),
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
