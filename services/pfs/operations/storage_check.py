"""Whether the content that counts is there, and is what it says. All of it blocks.

A chunk object is a content pack; its id is the pack's name.
Elsewhere: the bytes of a pack (kit/packs.py).
"""

from collections.abc import Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.kit.errors import Corrupt
from services.kit.objects.port import ObjectMissing, Objects
from services.kit.packs import BadPack, decode, pack_key, read_directory
from services.pfs.storage.content.content_tables import CONTENT, LIVE, PackRow

AT_A_TIME = 8  # packs looked at together: asking a store far away takes longer than looking
A_FEW = 4
VERIFIED_AT_A_TIME = 2  # each takes its pack's size of memory


def packs_between(tx: Session, first: bytes, last: bytes) -> list[bytes]:
    """Names of the content packs in first <= name <= last, in order; empty bounds are none."""
    names = select(PackRow.name).where(PackRow.kind == CONTENT, PackRow.state == LIVE)
    if first:
        names = names.where(PackRow.name >= first)
    if last:
        names = names.where(PackRow.name <= last)
    return list(tx.scalars(names.order_by(PackRow.name)))


def oldest_packs(tx: Session) -> list[bytes]:
    """A few names of content packs."""
    rows = select(PackRow.name).where(PackRow.kind == CONTENT, PackRow.state == LIVE).order_by(PackRow.at, PackRow.name)
    return list(tx.scalars(rows.limit(A_FEW)))


def is_another_store(objects: Objects, names: Sequence[bytes]) -> bool:
    """Whether none of these packs is there: a folder that is not mounted, or the wrong bucket."""
    return bool(names) and all(objects.size(pack_key(name)) is None for name in names)


def damaged(objects: Objects, names: Sequence[bytes], *, read: bool) -> dict[bytes, str]:
    """What is wrong, by pack: one is not in the store, or, with `read`, a blob of it is not what its hash says.

    A pack that was let go meanwhile is missing, too: look again which of them still count.
    """
    check = _verified if read else _there
    with ThreadPoolExecutor(VERIFIED_AT_A_TIME if read else AT_A_TIME, thread_name_prefix="check") as pool:
        said = pool.map(lambda name: check(objects, name), names)
        return {name: text for name, text in zip(names, said, strict=True) if text}


def raise_for(found: Mapping[bytes, str], live: Set[bytes]) -> None:
    """Raises Corrupt for the first of the damaged packs that still counts."""
    still = [text for name, text in found.items() if name in live]
    if still:
        raise Corrupt(still[0] + (f"; {len(still) - 1} more are damaged or missing" if len(still) > 1 else ""))


def _there(objects: Objects, name: bytes) -> str:
    return "" if objects.size(pack_key(name)) is not None else f"pack {name.hex()} is missing from the store"


def _verified(objects: Objects, name: bytes) -> str:
    try:
        data = memoryview(objects.get(pack_key(name)))
        for blob in read_directory(lambda offset, length: bytes(data[offset : offset + length]), len(data)):
            decode(data[blob.offset : blob.offset + blob.stored_bytes], blob.codec, blob.digest)
    except ObjectMissing:
        return f"pack {name.hex()} is missing from the store"
    except BadPack as problem:
        return f"pack {name.hex()} is damaged: {problem}"
    return ""
