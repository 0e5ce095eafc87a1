"""What is marked does not depend on the order in which commits are looked at, nor on where ranges lie by now."""

from pathlib import Path

import pytest
from blake3 import blake3

from services.kit.objects.local import LocalObjects
from services.kit.sortedmap.change import apply
from services.kit.sortedmap.rows import EMPTY, Place, Root, Row
from services.kit.sortedmap.tree import scan
from services.kit.time.clock import fresh_name
from services.pfs.operations.collection import repack_index
from services.pfs.operations.collection.collect import Pack
from services.pfs.operations.collection.marking import Marker, mark
from services.pfs.operations.files.stores import Stores
from services.pfs.storage.collection.moves import Moves
from services.pfs.storage.content.content_tables import INDEX

OLD, NEW = fresh_name(), fresh_name()


def rows(numbers: range, pack: bytes) -> list[Row]:
    return [
        Row(b"/%06d\0" % number, 1, 10, blake3(b"%d" % number + pack).digest(), Place(pack, 100 * number, 10))
        for number in numbers
    ]


def changed(stores: Stores, root: Root, edits: list[Row]) -> tuple[Root, list[tuple[bytes, int]]]:
    sink = stores.trees.sink()
    made = apply(stores.trees.reader, root, edits, sink)
    sink.flush()
    return made, list(zip(sink.packs, sink.sizes, strict=True))


@pytest.mark.parametrize("newest_first", [False, True])
def test_what_a_delta_replaces_is_marked_for_the_tree_that_has_it(tmp_path: Path, newest_first: bool) -> None:
    stores = Stores.over(LocalObjects(tmp_path))
    first, _ = changed(stores, EMPTY, rows(range(5000), OLD))
    second, _ = changed(stores, first, rows(range(2500, 2501), NEW))
    trees = [second, first] if newest_first else [first, second]
    marker = Marker(stores)
    assert list(mark(marker, trees, [])) == [1, 2]
    assert marker.marks.blobs(OLD) == {100 * number for number in range(5000)}
    assert marker.marks.blobs(NEW) == {250_000}


def test_ranges_of_a_rewritten_pack_are_found_and_rewritten_again(tmp_path: Path) -> None:
    moves, known = Moves(), dict[bytes, bytes]()
    stores = Stores.over(LocalObjects(tmp_path), moves=moves)
    root, packs = changed(stores, EMPTY, rows(range(40_000), OLD))
    for turn, upto in enumerate((24_000, 35_000, 39_000)):  # each leaves less of what was there
        root, more = changed(stores, root, rows(range(upto), NEW[:15] + bytes([turn])))
        packs += more
        wanted = list(scan(stores.trees.reader, root))
        marker = Marker(stores)
        list(mark(marker, [root], []))
        sparse = list(
            repack_index.sparse([Pack(name, INDEX, size) for name, size in packs], marker.marks, gain_bytes=64 << 10)
        )
        assert sparse, turn
        (moved,) = repack_index.rewrite(stores, sparse, marker.ranges({one.name for one in sparse}))
        gone = {one.name for one in moved.old}
        known = {old: moved.new if new in gone else new for old, new in known.items()} | dict.fromkeys(gone, moved.new)
        moves.learn(known)
        packs = [pack for pack in packs if pack[0] not in gone] + [(moved.new, moved.blobs)]
        for name in gone:
            stores.objects.delete(f"index/{name.hex()[:2]}/{name.hex()}")
        fresh = Stores.over(stores.objects, moves=moves)
        assert list(scan(fresh.trees.reader, root)) == wanted
        again = Marker(fresh)
        list(mark(again, [root], []))
        assert {name for name, _ in packs if name in again.marks.index} >= {moved.new}
        assert again.marks.index[moved.new] <= moved.blobs
