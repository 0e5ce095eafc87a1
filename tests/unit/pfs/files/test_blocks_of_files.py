"""Listings by blocks say what listings of single files say, and their bytes are what the generated classes write."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from blake3 import blake3

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import trees_v1_pb2 as trees
from services.kit.sortedmap.packs import NotAtHand, PackSink, Reader
from services.kit.sortedmap.rows import Place, Row
from services.kit.sortedmap.tree import build
from services.pfs.domain.files.globs import compile_glob
from services.pfs.domain.files.paths import key_of
from services.pfs.domain.keys import CommitRef, RepoKey
from services.pfs.operations.files.read import FileStat, Found, Page, Reading
from services.pfs.operations.files.tree_views import TreeView
from services.pfs.operations.files.visits import Block
from services.pfs.servicers.wire.file_bytes import FileInfoBytes, TreeEntryBytes, varint
from services.pfs.servicers.wire.file_wire import FileInfos, TreeEntries

REF = CommitRef(RepoKey("default", "r"), "0" * 32)
CLOSED = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


class Memory:
    def __init__(self) -> None:
        self.packs: dict[bytes, bytes] = {}

    def read(self, place: Place) -> bytes:
        return self.packs[place.pack][place.offset : place.offset + place.stored]


def reading(rows: list[Row], datum: str = "") -> Reading:
    memory = Memory()
    sink = PackSink(memory.packs.__setitem__)
    root = build(sorted(rows), sink)
    sink.flush()
    return Reading(TreeView(REF, root, Reader(memory), lambda row: pytest.fail("nobody reads it"), CLOSED), datum)


def row(path: str, datum: str, size: int) -> Row:
    return Row(key_of(path, datum), 0, size, blake3(f"{path}{size}".encode()).digest())


def mixed() -> list[Row]:
    """Folders of all kinds: long and short ones, with folders among the files, with files of several datums."""
    draw, sizes = random.Random(5), [0, 1, 127, 128, 16_383, 16_384, 1 << 40, (1 << 50) - 1]
    rows = [row(f"/long/{number:05}", "default", draw.choice(sizes)) for number in range(3000)]
    rows += [row(f"/long name {'x' * (number % 200)}/{number}", "default", number) for number in range(600)]
    rows += [row(f"/among/{number:03}{'/in' if number % 40 == 7 else ''}", "default", 5) for number in range(300)]
    rows += [row(f"/datums/{number:03}", draw.choice(["default", "a", "b"]), 6) for number in range(300)]
    rows += [row(f"/both/{number:03}", datum, 7) for number in range(100) for datum in ("a", "b")]
    rows += [row(f"/a/slash/{number:02}", "of/a/job", 8) for number in range(50)]
    rows += [row(f"/deep/{number // 30}/{number // 10}/{number}", "default", 9) for number in range(300)]
    return rows


ROWS = mixed()


def single(found: Iterator[Found]) -> list[tuple[bytes, int, bytes, str]]:
    """Each file and directory. What stands in a block stands alone, too."""
    every = list[tuple[bytes, int, bytes, str]]()
    for each in found:
        if isinstance(each, Block):
            columns = zip(each.paths, each.sizes, each.digests, strict=True)
            some = [(path, size, digest, each.datum.decode()) for path, size, digest in columns]
            rows = list(each.visits())
            assert [(path, of and (of.size, of.digest)) for path, of in rows] == [(p, (s, d)) for p, s, d, _ in some]
            every += some
        else:
            every.append(each[:4])
    return every


def stats(found: Iterator[FileStat]) -> list[tuple[bytes, int, bytes, str]]:
    return [each[:4] for each in found]


def files(rows: list[Row], datum: str = "") -> list[tuple[bytes, int, bytes, str]]:
    split = ((one.key.partition(b"\0"), one) for one in sorted(rows))
    named = [(key[0], one.size, one.digest, key[2].decode()) for key, one in split]
    return [one for one in named if datum in ("", one[3])]


@pytest.mark.parametrize("datum", ["", "default", "a", "of/a/job"])
def test_a_walk_finds_every_file_once_and_in_order(datum: str) -> None:
    blocks = [each for each in reading(ROWS, datum).walk_found("/", Page()) if isinstance(each, Block)]
    assert bool(blocks) == (datum in ("", "default"))
    found = single(reading(ROWS, datum).walk_found("/", Page()))
    assert [one for one in found if not one[0].endswith(b"/")] == files(ROWS, datum)
    assert [one[0] for one in found] == sorted(one[0] for one in found)
    assert found == stats(reading(ROWS, datum).walk("/", Page()))
    paged = stats(reading(ROWS, datum).walk("/", Page(number=1500)))
    assert paged + stats(reading(ROWS, datum).walk("/", Page(marker=paged[-1][0]))) == found


@pytest.mark.parametrize("path", ["/", "/long", "/among", "/datums", "/both", "/a", "/deep", "/deep/1", "/none"])
def test_children_are_what_lies_one_name_deeper(path: str) -> None:
    low = path.rstrip("/").encode() + b"/"
    expected = list(dict.fromkeys(
        (rest := one[0][len(low) :].partition(b"/"), low + rest[0] + rest[1], one[3] if not rest[1] else "")[1:]
        for one in files(ROWS) if one[0].startswith(low)
    ))  # fmt: skip
    found = single(reading(ROWS).children_found(path, Page()))
    assert [(one[0], one[3]) for one in found] == expected
    assert found == stats(reading(ROWS).children(path, Page()))
    for marker, _ in expected[:: max(1, len(expected) // 5)]:
        after = stats(reading(ROWS).children(path, Page(marker=marker)))
        assert after == [one for one in found if one[0] > marker]


@pytest.mark.parametrize("pattern", ["/*/*", "/long/*7", "/long/0000[0-7]", "/**", "/*", "/deep/*/*", "/**7", "/no*/*"])
def test_patterns_find_what_matches_each_path(pattern: str) -> None:
    glob, every = compile_glob(pattern), single(reading(ROWS).walk_found("/", Page()))
    expected = [one for one in every if glob.matches(one[0].removesuffix(b"/"))]
    assert single(reading(ROWS).glob_found(glob)) == expected
    for cut in (b"/datums/100", b"/long/", b"/long/01000", b"/deep/1/4"):
        low, high = single(reading(ROWS).glob_found(glob, low=cut)), single(reading(ROWS).glob_found(glob, high=cut))
        assert (high, low) == ([one for one in expected if one[0] < cut], [one for one in expected if one[0] >= cut])


def test_bytes_are_those_of_the_generated_classes() -> None:
    view = reading(ROWS).view
    info, info_bytes = FileInfos(REF, CLOSED), FileInfoBytes(REF, CLOSED)
    listed = [message for found in reading(ROWS).walk_found("/", Page()) for message in info_bytes(found)]
    assert listed == [info(stat).SerializeToString() for stat in Reading(view).walk("/", Page())]
    assert pfs.FileInfo.FromString(listed[-1]).committed.ToDatetime(UTC) == CLOSED
    still_open = FileInfoBytes(REF, None)(next(reading(ROWS).children_found("/long", Page())))
    assert not pfs.FileInfo.FromString(still_open[0]).HasField("committed")


@pytest.mark.parametrize("pattern", ["/**", "/(*)/(0*)"])
def test_entries_are_those_of_the_generated_class_with_what_groups_captured(pattern: str) -> None:
    glob = compile_glob(pattern)
    entries = TreeEntryBytes(TreeEntries(glob.captures if glob.expression.groups else None))
    counted, written = zip(*map(entries, reading(ROWS).glob_found(glob)), strict=True)
    response = trees.GlobTreeResponse.FromString(b"".join(written))
    expected = single(reading(ROWS).glob_found(glob))
    assert [(one.path.encode(), one.size_bytes, one.digest) for one in response.entries] == [o[:3] for o in expected]
    assert sum(counted) == len(expected)
    captures = [glob.captures(one[0].removesuffix(b"/")) or [] for one in expected]
    assert [list(one.captures) for one in response.entries] == captures
    assert response.SerializeToString() == b"".join(written)


def test_numbers_are_written_as_protobuf_writes_them() -> None:
    for number in (0, 1, 127, 128, 300, 1 << 35, (1 << 64) - 1):
        written = trees.TreeEntry(size_bytes=number).SerializeToString()
        assert (b"\x10" + varint(number) if number else b"") == written


def test_what_is_not_in_memory_is_not_at_hand() -> None:
    cold = reading(ROWS)
    with pytest.raises(NotAtHand):
        cold.at_hand.inspect("/long/00007")
    warm = cold.inspect("/long/00007")
    assert warm is not None
    assert cold.at_hand.inspect("/long/00007") == warm
