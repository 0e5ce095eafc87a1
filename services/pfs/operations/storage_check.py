"""Whether the content that counts is there, and is what it says. All of it blocks.

A chunk object is a content pack; its id is the pack's name.
Elsewhere: the bytes of a pack (kit/packs.py).
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.kit.errors import Corrupt
from services.kit.objects.port import Objects
from services.kit.packs import BadPack, decode, pack_key, read_directory
from services.pfs.storage.content_tables import CONTENT, LIVE, PackRow

AT_A_TIME = 8  # packs looked at together: asking a store far away takes longer than looking
VERIFIED_AT_A_TIME = 2  # each takes its pack's size of memory


def packs_between(tx: Session, first: bytes, last: bytes) -> list[bytes]:
    """Names of the content packs in first <= name <= last, in order; empty bounds are none."""
    names = select(PackRow.name).where(PackRow.kind == CONTENT, PackRow.state == LIVE)
    if first:
        names = names.where(PackRow.name >= first)
    if last:
        names = names.where(PackRow.name <= last)
    return list(tx.scalars(names.order_by(PackRow.name)))


def check_packs(objects: Objects, names: Sequence[bytes], *, read: bool) -> None:
    """Look whether each is in the store; `read` also holds every blob against its hash. Raises Corrupt."""
    check = _verified if read else _there
    with ThreadPoolExecutor(VERIFIED_AT_A_TIME if read else AT_A_TIME, thread_name_prefix="check") as pool:
        running = [pool.submit(check, objects, name) for name in names]
        try:
            for one in running:
                one.result()
        finally:
            for one in running:
                one.cancel()


def _there(objects: Objects, name: bytes) -> None:
    if objects.size(pack_key(name)) is None:
        raise Corrupt(f"pack {name.hex()} is missing from the store")


def _verified(objects: Objects, name: bytes) -> None:
    data = memoryview(objects.get(pack_key(name)))
    try:
        for blob in read_directory(lambda offset, length: bytes(data[offset : offset + length]), len(data)):
            decode(data[blob.offset : blob.offset + blob.stored_bytes], blob.codec, blob.digest)
    except BadPack as problem:
        raise Corrupt(f"pack {name.hex()} is damaged: {problem}") from problem
