"""Entries by columns: the same file sets as entries one by one, whatever their order, and what is refused."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datamill.bulk.sending.stating import Batch as Stating
from datamill.bulk.sending.stating import Blob, Stated
from datamill.wire import content_v1_pb2 as content
from services.kit.objects.local import LocalObjects
from services.kit.packs import PackBuilder, pack_key
from services.kit.sortedmap.rows import EMPTY, Root
from services.kit.sortedmap.tree import scan
from services.pfs.domain.files.clearness import Clearness
from services.pfs.domain.files.collisions import first_in
from services.pfs.domain.files.file_errors import BadEntry
from services.pfs.domain.files.paths import BadPath
from services.pfs.operations.entries import taking
from services.pfs.operations.entries.taking import Taking
from services.pfs.operations.files.stores import Stores
from services.pfs.operations.finishing.merge import first_trouble
from services.pfs.operations.finishing.taking_over import carry_out_parts
from services.pfs.servicers.wire.entry_wire import batches_of
from services.pfs.storage.content.layers import Part, Whole, decode_parts, encode_parts

PACKS = {bytes([number]) * 16: [bytes([number, each]) * (each + 1) for each in range(20)] for number in (1, 2)}
NAMES = st.sampled_from(["a", "b", "a-x", "a.b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(lambda names: "/" + "/".join(names))
DATUMS = st.sampled_from(["", "", "", "other"])
STATED = st.one_of(st.integers(0, 41), st.just(-1), st.just(-2))
Numbers = dict[tuple[str, str], int]
MESSAGES = st.lists(st.dictionaries(st.tuples(PATHS, DATUMS), STATED, max_size=12), max_size=6)
Model = dict[tuple[str, str], Stated]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Stores:
    stores = Stores.over(LocalObjects(tmp_path_factory.mktemp("store")))
    for name, blobs in PACKS.items():
        builder = PackBuilder()
        for blob in blobs:
            builder.add(blob)
        stores.objects.put(pack_key(name), builder.finish())
    return stores


def blob(stores: Stores, number: int) -> Blob:
    name, data = list(PACKS)[number % 2], PACKS[list(PACKS)[number % 2]][number // 2 % 20]
    found = stores.content.directory(name)[blake3(data).digest()]
    return Blob(len(data), found.digest, name, found.offset, found.stored_bytes)


def stated(stores: Stores, number: int) -> Stated:
    """0 and up: a blob; 40 and up: of no bytes; -1: of two extents; -2: removed."""
    if number >= 40:
        return Blob(0, blake3(b"").digest())
    if number == -2:
        return None
    if number >= 0:
        return blob(stores, number)
    one, other = blob(stores, 3), blob(stores, 4)
    whole = content.Content(
        size_bytes=one.size_bytes + other.size_bytes,
        digest=blake3(PACKS[b"\2" * 16][1] + PACKS[b"\1" * 16][2]).digest(),
    )
    for part in (one, other):
        whole.extents.add(
            pack_id=part.pack_id,
            offset_bytes=part.offset_bytes,
            stored_bytes=part.stored_bytes,
            size_bytes=part.size_bytes,
            digest=part.digest,
        )
    return whole


def put(stores: Stores, requests: Sequence[content.PutEntriesRequest]) -> list[Part]:
    taken = Taking(stores)
    for request in requests:
        for batch in batches_of(request):
            taken.take(batch)
    return decode_parts(encode_parts(taken.finish()))


def by_columns(files: Model) -> content.PutEntriesRequest:
    batch = Stating()
    for (path, datum), what in files.items():
        batch.add(path, what, datum)
    return batch.request()


def one_by_one(files: Model) -> content.PutEntriesRequest:
    request = content.PutEntriesRequest()
    for (path, datum), what in files.items():
        made = request.entries.add(path=path, datum=datum)
        if what is None:
            made.removed = True
        elif isinstance(what, content.Content):
            made.content.CopyFrom(what)
        else:
            made.content.size_bytes, made.content.digest = what.size_bytes, what.digest
            if what.pack_id:
                made.content.extents.add(
                    pack_id=what.pack_id,
                    offset_bytes=what.offset_bytes,
                    stored_bytes=what.stored_bytes,
                    codec=what.codec,
                    size_bytes=what.size_bytes,
                    digest=what.digest,
                )
    return request


def tree(stores: Stores, base: Root, parts: Sequence[Part]) -> tuple[Root, str]:
    """The tree with the parts carried out, and what is wrong with it."""
    sink, trees = stores.trees.sink(), stores.trees
    root, made = carry_out_parts(stores, trees.reader, trees.content, base, parts, sink)
    sink.flush()
    trouble = first_trouble(trees.reader, root, made)
    keys = [row.key for row in scan(trees.reader, root)]
    expected = first_in(keys)
    assert trouble == expected
    assert base != EMPTY or root.rows == len(keys)
    return root, "" if trouble is None else trouble.text


def model(messages: Sequence[Model]) -> Model:
    latest: Model = {}
    for files in messages:
        latest |= files
    return {key: what for key, what in latest.items() if what is not None}


@pytest.mark.parametrize(("window", "least"), [(65_536, 8192), (1, 1), (8, 4)])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(messages=MESSAGES, split=st.integers(0, 6))
def test_columns_make_what_entries_make(
    stores: Stores,
    monkeypatch: pytest.MonkeyPatch,
    window: int,
    least: int,
    messages: list[dict[tuple[str, str], int]],
    split: int,
) -> None:
    said = [{key: stated(stores, number) for key, number in files.items()} for files in messages if files]
    plain, _ = tree(stores, EMPTY, put(stores, [one_by_one(model(said))]) if model(said) else [])
    monkeypatch.setattr(taking, "WINDOW", window)
    monkeypatch.setattr(taking, "TREE_ENTRIES", least)
    for form in (by_columns, one_by_one):
        first, second = (put(stores, list(map(form, some))) for some in (said[:split], said[split:]))
        at_once, trouble = tree(stores, EMPTY, [*first, *second])
        assert at_once.id == plain.id
        if not trouble:
            below, _ = tree(stores, EMPTY, first)
            assert tree(stores, below, second)[0].id == plain.id


def test_a_long_run_is_a_tree_at_once_and_is_taken_over(stores: Stores) -> None:
    files: Model = {(f"/d{number // 100:03d}/{number:06d}", ""): blob(stores, number % 40) for number in range(30_000)}
    keys = list(files)
    requests = [by_columns({key: files[key] for key in keys[at : at + 5000]}) for at in range(0, len(keys), 5000)]
    for order in (requests[::-1], requests):  # in whatever order packs are stored
        (part,) = put(stores, order)
        assert isinstance(part, Whole)
        assert (part.rows, part.clear) == (30_000, True)
        root, trouble = tree(stores, EMPTY, [part])
        assert (root, trouble) == (part.root, "")
    parts = [*put(stores, requests[3:]), *put(stores, requests[:3])]
    sink = stores.trees.sink()
    joined, made = carry_out_parts(stores, stores.trees.reader, stores.trees.content, EMPTY, parts, sink)
    assert (joined.id, made.count) == (root.id, 0)
    assert sink.written_ranges < 30_000 / 256 / 3  # nodes, and hardly a range


def test_trees_taken_over_are_held_against_what_is_around_them(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking, "TREE_ENTRIES", 1)
    some: Stated = blob(stores, 1)

    def part(*paths: str, datum: str = "") -> list[Part]:
        return put(stores, [by_columns({(path, datum): some for path in paths})])

    for one, other, text in [
        (part("/a", "/a-b"), part("/a/c", "/b"), "file / directory path collision (/a)"),
        (part("/a/c", "/b"), part("/a", "/a-b"), "file / directory path collision (/a)"),
        (part("/a"), part("/a", datum="x"), "duplicate path output by different datums"),
        (part("/a/b", "/a/b-c"), part("/a/b/c/d"), "file / directory path collision (/a/b)"),
        (part("/a/b", "/a/b-c"), part("/a/b-d", "/a/c"), ""),
    ]:
        for base, parts in ((EMPTY, [*one, *other]), (tree(stores, EMPTY, one)[0], other)):
            found = tree(stores, base, parts)[1]
            assert found.startswith(text)
            assert bool(found) == bool(text)


@settings(max_examples=300)
@given(st.sets(st.tuples(PATHS, DATUMS), max_size=30), st.integers(1, 8))
def test_clear_is_what_has_no_trouble(files: set[tuple[str, str]], run: int) -> None:
    keys = sorted(f"{path}\0{datum or 'default'}".encode() for path, datum in files)
    clearness = Clearness()
    for at in range(0, len(keys), run):
        clearness.feed(keys[at : at + run])
    assert clearness.shown == (first_in(keys) is None)


def test_many_folders_are_shown_to_be_clear() -> None:
    draw = random.Random(2)
    keys = sorted(
        f"/{draw.choice('ab')}{draw.choice(['', '-x', '.y'])}/{draw.randrange(40)}/{number}.jpg\0default".encode()
        for number in range(5000)
    )
    clearness = Clearness()
    for at in range(0, len(keys), 1000):
        clearness.feed(keys[at : at + 1000])
    assert clearness.shown


def good(stores: Stores) -> content.EntryColumns:
    files: Model = {("/a", ""): blob(stores, 0), ("/b", ""): blob(stores, 2), ("/c", ""): stated(stores, -1)}
    return by_columns(files | {("/d", ""): None}).columns


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("paths", b"/b\0/a\0/c\0/d", "file /a of datum default came after file /b of datum default"),
        ("paths", b"/a\0/a\0/c\0/d", "file /a of datum default is there twice"),
        ("paths", b"/a\0/b\0/c", "has 32 bytes of sizes, not 24"),
        ("paths", b"/a\0/b//x\0/c\0/d", "must be written /b/x"),
        ("paths", b"/a\0/b/\0/c\0/d", "must be written /b"),
        ("paths", b"/a\0/b\0/c\0d", "must be written /d"),
        ("paths", b"a\0/b\0/c\0/d", "must be written /a"),
        ("paths", b"/a\0\0/c\0/d", "only printable ASCII characters allowed"),
        ("paths", b"/a\0/b*\0/c\0/d", r"globbing character \(\*\)"),
        ("paths", b"/a\0/b\x01\0/c\0/d", "only printable ASCII characters allowed"),
        ("paths", "/a\0/b\0/c\0/ä".encode(), "only printable ASCII characters allowed"),
        ("paths", b"/a\0/b\0/c\0/\xff", "are not UTF-8"),
        ("paths", b"/../a\0/b\0/c\0/d", "relative file paths are not allowed"),
        ("paths", b"/a\0/b/.\0/c\0/d", "relative file paths are not allowed"),
        ("paths", b"/a\0/b\0/c\0/d/..", "relative file paths are not allowed"),
        ("paths", b"/\0/b\0/c\0/d", "a file needs a name"),
        ("datums", b"x\0y", "has 2 datum tags"),
        ("digests", b"x" * 33, "has 33 bytes of digests, not 128"),
        ("digests", b"x" * 128, "holds no such blob"),
        ("digests", b"", "holds no such blob"),
        ("packs", b"x" * 15, "has 15 bytes of packs, not 16"),
        ("packs", b"\3\0\0\0" + bytes(12), "names pack 3, but lists"),
        ("packs", bytes(16), "its extents hold 0 bytes"),
        ("offsets", b"x" * 31, "bytes of offsets, not 32"),
        ("offsets", b"\1" * 32, "holds no such blob"),
        ("sizes", b"\1" * 32, "does not say its true size|holds no such blob|its extents hold"),
        ("stored", b"\1" * 32, "holds no such blob"),
        ("codecs", b"\1\1\0\0", "holds no such blob"),
        ("codecs", b"\1", "has 1 bytes of codecs, not 4"),
    ],
)
def test_columns_that_do_not_fit_are_refused(stores: Stores, field: str, value: bytes, error: str) -> None:
    columns = good(stores)
    put(stores, [content.PutEntriesRequest(columns=columns)])
    setattr(columns, field, value)
    with pytest.raises((BadEntry, BadPath), match=error):
        put(stores, [content.PutEntriesRequest(columns=columns)])


def test_entries_in_chunks_and_removed_ones_must_be_there_once(stores: Stores) -> None:
    extents = good(stores).chunked[0].extents
    cases: list[tuple[dict[str, Any], str]] = [
        ({"removed": [4]}, "entry 4 of a batch of 4"),
        ({"removed": [0]}, "entry 0 of a batch of 4"),
        ({"removed": [2]}, "is removed and has content"),
        ({"chunked": [content.ChunkedEntry(entry=9, extents=extents)]}, "entry 9 of a batch of 4"),
        ({"chunked": [content.ChunkedEntry(entry=2, extents=extents)]}, "is there twice"),
        ({"chunked": [content.ChunkedEntry(entry=3, extents=extents[:1])]}, "has less than two"),
    ]
    for bad, error in cases:
        columns = good(stores)
        columns.MergeFrom(content.EntryColumns(**bad))
        with pytest.raises(BadEntry, match=error):
            put(stores, [content.PutEntriesRequest(columns=columns)])
    with pytest.raises(BadEntry, match="at most 65536 entries, not 65537"):
        put(stores, [content.PutEntriesRequest(columns=content.EntryColumns(paths=b"\0" * 65_536))])


def test_an_empty_batch_is_no_entry(stores: Stores) -> None:
    assert put(stores, [content.PutEntriesRequest(columns=content.EntryColumns())]) == []
