"""Packs that callers write themselves, and file sets made out of what is in sealed packs.

A pack's row comes before its first byte, so an abandoned one can be found; it counts once every blob in it has been
held against its hash. An entry may only name blobs that are in the directory of a pack that counts.
Elsewhere: the bytes of a pack on their way (storage/content/incoming.py); entries (operations/entries).
"""

import struct
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from blake3 import blake3
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.kit.errors import Invalid
from services.kit.packs import DIGEST_BYTES, NAME_BYTES
from services.kit.sortedmap.tree import get_many, ranges, span_of
from services.pfs.operations.files.read import Reading
from services.pfs.storage.collection.sessions import SessionStore
from services.pfs.storage.content.content_tables import CONTENT, LIVE, WRITING, PackRow

_COUNT = struct.Struct(">Q")


@dataclass(frozen=True, slots=True)
class Reserved:
    """A pack's row. sending: as of PackRow, or ""."""

    state: str
    blobs: int
    sending: str


def reserve_pack(tx: Session, name: bytes, sending: str, *, now: datetime) -> str:
    """Note that a pack is being written. The same name again is no error. Returns how it is sent. Raises Invalid."""
    check_name(name)
    row = tx.get(PackRow, name)
    if row is None:
        row = PackRow(name=name, kind=CONTENT, state=WRITING, at=now, sending=sending or None)
        tx.add(row)
        tx.flush()
    return row.sending or ""


def send_anew(tx: Session, name: bytes, sending: str) -> None:
    """Let a pack that does not count yet be what is sent this way, and nothing that was sent before."""
    row = tx.get(PackRow, name)
    if row is not None and row.state == WRITING:
        row.sending = sending


def find_pack(tx: Session, name: bytes) -> Reserved | None:
    """None when it was never reserved."""
    row = tx.get(PackRow, name)
    return None if row is None else Reserved(row.state, row.blobs, row.sending or "")


def publish_pack(tx: Session, name: bytes, blobs: int, *, now: datetime) -> None:
    """Let a verified pack count. Raises Invalid."""
    row = tx.get(PackRow, name)
    if row is None or row.state not in (WRITING, LIVE):
        raise Invalid(f"pack {name.hex()} was given up: its writing took too long")
    row.kind, row.state, row.blobs, row.at = CONTENT, LIVE, blobs, now


def live_among(tx: Session, names: Iterable[bytes]) -> set[bytes]:
    """Those of the content packs that count."""
    wanted, found = list(names), set[bytes]()
    for start in range(0, len(wanted), 500):
        some = wanted[start : start + 500]
        rows = select(PackRow.name).where(PackRow.name.in_(some), PackRow.state == LIVE, PackRow.kind == CONTENT)
        found |= set(tx.scalars(rows))
    return found


def keep_packs(tx: Session, names: Collection[bytes]) -> set[bytes]:
    """Those of the content packs that count; they will for a while, even if nothing refers to them. Raises Invalid."""
    for name in names:
        check_name(name)
    return SessionStore(tx).keep(names)


def same_at(reading: Reading, files: Iterable[tuple[bytes, bytes]]) -> list[int]:
    """The numbers of those files, given as (key, digest), that are there with this content. Blocks."""
    wanted = list(files)
    rows = get_many(reading.view.reader, reading.view.root, (key for key, _ in wanted))
    found = enumerate(zip(rows, wanted, strict=True))
    return [number for number, (row, (_, digest)) in found if row is not None and row.digest == digest]


def same_runs(reading: Reading, runs: Iterable[tuple[bytes, bytes, bytes]]) -> list[int]:
    """The numbers of those runs, given as (low, high, digest), whose rows are exactly those that were digested.

    A run is every row with low <= key < high; digested are how many there are, their keys, their digests. Blocks.
    """
    return [number for number, (low, high, digest) in enumerate(runs) if _run_digest(reading, low, high) == digest]


def _run_digest(reading: Reading, low: bytes, high: bytes) -> bytes:
    keys, digests, view = list[bytes](), list[bytes](), reading.view
    for leaf in ranges(view.reader, view.root, low, high):
        start, stop = span_of(leaf, low, high)
        keys += leaf.keys[start:stop]
        digests.append(leaf.digests[DIGEST_BYTES * start : DIGEST_BYTES * stop])
    return blake3(b"".join((_COUNT.pack(len(keys)), *(key + b"\0" for key in keys), *digests))).digest()


def check_name(name: bytes) -> None:
    """Raises Invalid unless `name` can be a pack's name."""
    if len(name) != NAME_BYTES:
        raise Invalid(f"a pack's name has {NAME_BYTES} bytes, not {len(name)}")
