"""Entries on the wire as batches of columns, whichever of the two forms they came in.

Elsewhere: what columns may hold (domain/files/batches.py); answers about files (file_wire.py).
"""

from array import array
from collections.abc import Iterable, Iterator

from datamill.wire import content_v1_pb2 as wire
from services.kit.sortedmap.encoding.places import NO_PACK
from services.pfs.domain.files.batches import DIGEST, MOST_ENTRIES, Batch, bytes_of, is_uniform, keys_of, numbers_of
from services.pfs.domain.files.entries import Extent
from services.pfs.domain.files.file_errors import BadEntry
from services.pfs.domain.files.paths import datum_tag, file_path, key_of


def batches_of(request: wire.PutEntriesRequest) -> Iterator[Batch]:
    """What a message holds. Raises BadPath, BadEntry."""
    if request.entries:
        yield _of_entries(request.entries)
    if request.HasField("columns"):
        yield _of_columns(request.columns)


def _of_columns(said: wire.EntryColumns) -> Batch:
    paths = said.paths
    count = paths.count(b"\0") + 1 if paths else 0
    if count > MOST_ENTRIES:
        raise BadEntry(f"a batch has at most {MOST_ENTRIES} entries, not {count}")
    keys = keys_of(paths, said.datums) if count else []
    sizes = numbers_of(said.sizes, count, "sizes")
    which = numbers_of(said.packs, count, "packs", "I")
    most = max(which[:1] if is_uniform(which) else which, default=0)
    if most > len(said.pack_ids):
        raise BadEntry(f"a batch names pack {most}, but lists {len(said.pack_ids)}")
    chunked, removed = _several(said, count), frozenset(said.removed)
    for at in (*chunked, *removed):
        if at >= count or which[at]:
            raise BadEntry(f"entry {at} of a batch of {count} is not there, or is a blob besides")
    if not removed.isdisjoint(chunked):
        raise BadEntry(f"entry {min(removed.intersection(chunked))} of a batch is removed and has content")
    return Batch(
        keys,
        sizes,
        bytes_of(said.digests, count, "digests", DIGEST),
        [NO_PACK, *said.pack_ids],
        which,
        numbers_of(said.offsets, count, "offsets"),
        numbers_of(said.stored, count, "stored sizes") if said.stored else _stored(sizes, chunked),
        bytes_of(said.codecs, count, "codecs"),
        chunked,
        removed,
    )


def _stored(sizes: "array[int]", chunked: Iterable[int]) -> "array[int]":
    if not chunked:
        return sizes
    stored = sizes[:]
    for at in chunked:
        stored[at] = 0
    return stored


def _several(said: wire.EntryColumns, count: int) -> dict[int, tuple[Extent, ...]]:
    found = {each.entry: tuple(map(_extent, each.extents)) for each in said.chunked}
    if len(found) < len(said.chunked) or any(len(extents) < 2 for extents in found.values()):
        raise BadEntry(f"of a batch of {count} an entry in chunks is there twice, or has less than two")
    return found


def _of_entries(messages: Iterable[wire.Entry]) -> Batch:
    latest = {key_of(file_path(each.path), datum_tag(each.datum)): each for each in messages}
    keys = sorted(latest)
    packs, digests, codecs = {NO_PACK: 0}, list[bytes](), bytearray(len(keys))
    sizes, offsets, stored = (array("Q", bytes(8 * len(keys))) for _ in range(3))
    which = array("I", bytes(4 * len(keys)))
    chunked, removed = dict[int, tuple[Extent, ...]](), list[int]()
    for at, key in enumerate(keys):
        each = latest[key]
        said = each.content
        if each.WhichOneof("change") != "content":
            removed.append(at)
            digests.append(bytes(DIGEST))
            continue
        if len(said.digest) != DIGEST:
            raise BadEntry(f"file {each.path}: a digest has {DIGEST} bytes")
        digests.append(said.digest)
        sizes[at] = said.size_bytes
        if len(said.extents) == 1 and (only := said.extents[0]).digest == said.digest:
            which[at] = packs.setdefault(only.pack_id, len(packs))
            offsets[at], stored[at], codecs[at] = only.offset_bytes, only.stored_bytes, _codec(only)
            if only.size_bytes != said.size_bytes:
                raise BadEntry(f"file {each.path}: its extents hold {only.size_bytes} bytes, not {said.size_bytes}")
        elif said.extents:
            chunked[at] = tuple(map(_extent, said.extents))
    return Batch(
        keys, sizes, b"".join(digests), list(packs), which, offsets, stored, bytes(codecs), chunked, frozenset(removed)
    )


def _codec(said: wire.Extent) -> int:
    if said.codec > 255:
        raise BadEntry(f"there is no codec {said.codec}")
    return said.codec


def _extent(said: wire.Extent) -> Extent:
    return Extent(said.pack_id, said.offset_bytes, said.stored_bytes, _codec(said), said.size_bytes, said.digest)
