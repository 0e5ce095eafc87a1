"""What is wrong with a tree is found from what was put, as one pass over all of it would find it."""

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.kit.objects.local import LocalObjects
from services.kit.sortedmap import rows
from services.kit.sortedmap.rows import EMPTY
from services.kit.sortedmap.tree import scan
from services.pfs.domain.files.collisions import first_in, first_of_change
from services.pfs.domain.files.entries import REMOVE, REPLACE, Extent, Op
from services.pfs.domain.files.paths import key_of
from services.pfs.operations.files.stores import Stores
from services.pfs.operations.finishing import merge
from services.pfs.operations.finishing.merge import carry_out, first_trouble, keys_between

KEYS = st.builds(
    lambda folders, name, datum: key_of("/" + "/".join([*folders, name]), datum),
    st.lists(st.sampled_from(["a", "b", "c"]), max_size=2),
    st.sampled_from(["a", "b", "c", "a-x", "a.b", "f", "g"]),
    st.sampled_from(["default", "default", "default", "default", "other"]),
)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Stores:
    return Stores.over(LocalObjects(tmp_path_factory.mktemp("store")))


def _well(keys: list[bytes]) -> list[bytes]:
    """As many of the keys as can be in one tree."""
    kept = list[bytes]()
    for key in keys:
        if key not in kept and first_in(sorted([*kept, key])) is None:
            kept.append(key)
    return sorted(kept)


def _ops(put: list[bytes], removed: list[bytes], value: int) -> list[Op]:
    piece = Extent(b"p" * 16, 0, 1, 0, 1, value.to_bytes(32, "big"))
    ops = {key: Op(key, REMOVE) for key in removed} | {key: Op(key, REPLACE, (piece,), piece.digest) for key in put}
    return [ops[key] for key in sorted(ops)]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(KEYS, max_size=12), st.lists(KEYS, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_the_first_trouble_of_a_change_is_the_first_of_the_tree(
    stores: Stores, drawn: list[bytes], put: list[bytes], draw: random.Random
) -> None:
    before = _well(drawn)
    removed = draw.sample(before, min(len(before), 3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "ROWS_A_RANGE", 4)
        patch.setattr(rows, "CHILDREN_A_NODE", 4)
        patch.setattr(merge, "SLICE", 4)
        patch.setattr(merge, "WORTH_A_PASS", 0.01)
        trees, sink = stores.trees, stores.trees.sink()
        base, _ = carry_out(stores, trees.reader, trees.content, EMPTY, _ops(before, [], 1), sink)
        root, made = carry_out(stores, trees.reader, trees.content, base, _ops(put, removed, 2), sink)
        found = first_trouble(trees.reader, root, made)
        assert found == first_in(row.key for row in scan(trees.reader, root))
        alike = first_trouble(trees.reader, root, made, duplicates=False)
        assert alike == first_in((row.key for row in scan(trees.reader, root)), duplicates=False)


def test_scattered_changes_leave_few_doubts(tmp_path: Path) -> None:
    """Almost every key is cleared by its neighbours, so that checking opens next to nothing."""
    stores = Stores.over(LocalObjects(tmp_path))
    keys = [key_of(f"/d{number // 100:03d}/f{number:05d}", "default") for number in range(20_000)]
    trees, sink = stores.trees, stores.trees.sink()
    base, _ = carry_out(stores, trees.reader, trees.content, EMPTY, _ops(keys, [], 1), sink)
    changed = random.Random(4).sample(keys, 500)
    root, put = carry_out(stores, trees.reader, trees.content, base, _ops(changed, [], 2), sink)
    assert put.count == 500
    assert len(put.doubts.keys) + len(put.doubts.folders) < 25
    assert first_trouble(trees.reader, root, put) is None


def test_keys_put_side_by_side_do_not_clear_each_other(tmp_path: Path) -> None:
    """Each lies in the same directory as the other; what that directory was before, neither of them knows."""
    stores = Stores.over(LocalObjects(tmp_path))
    trees, sink = stores.trees, stores.trees.sink()
    before = [key_of(path, "default") for path in ("/a", "/b/x")]
    base, _ = carry_out(stores, trees.reader, trees.content, EMPTY, _ops(before, [], 1), sink)
    new = [key_of(path, "default") for path in ("/a/x", "/a/y")]
    root, put = carry_out(stores, trees.reader, trees.content, base, _ops(new, [], 2), sink)
    assert first_of_change(put.doubts, lambda low, high: keys_between(trees.reader, root, low, high)) is not None
