"""Over a store that is far away, a scattered commit and its comparison wait for few rounds of reads."""

import random
from pathlib import Path
from typing import Any

import pytest

from services.kit.objects.blocks import Blocks
from services.kit.objects.local import LocalObjects
from services.kit.objects.port import Objects
from services.kit.sortedmap.packs import PackSink
from services.kit.sortedmap.rows import EMPTY, Root
from services.pfs.domain.files.entries import REPLACE, Extent, Op
from services.pfs.domain.files.paths import key_of
from services.pfs.domain.keys import CommitRef, RepoKey
from services.pfs.operations.files.diff import changes
from services.pfs.operations.files.read import Reading
from services.pfs.operations.files.stores import Stores
from services.pfs.operations.files.tree_views import TreeView
from services.pfs.operations.finishing.merge import carry_out, first_trouble

REF = CommitRef(RepoKey("default", "r"), "0" * 32)
KEYS = [key_of(f"/d{number // 100:03d}/f{number:05d}", "default") for number in range(30_000)]


class Far(LocalObjects):
    """A folder that callers may not read as files."""

    @property
    def root(self) -> None:
        return None


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows whenever somebody waits for the store: for one request, or for some at once."""
    waits, together, load = list[int](), Blocks._read_together, Blocks._fetched

    def read_together(*asked: Any) -> None:
        waits.append(len(asked[1]))
        together(*asked)

    def fetched(*asked: Any) -> dict[int, bytes]:
        waits.append(1)
        return load(*asked)

    monkeypatch.setattr(Blocks, "_read_together", read_together)
    monkeypatch.setattr(Blocks, "_fetched", fetched)
    monkeypatch.setattr("services.kit.objects.blocks.BLOCK_BYTES", 32 << 10)
    monkeypatch.setattr("services.kit.objects.blocks.AHEAD", 0)
    return waits


def _changed(stores: Stores, base: Root, keys: list[bytes], value: int) -> Root:
    piece = Extent(b"p" * 16, 0, 1, 0, 1, value.to_bytes(32, "big"))
    ops, sink = (Op(key, REPLACE, (piece,), piece.digest) for key in sorted(keys)), stores.trees.sink()
    assert isinstance(sink, PackSink)
    root, put = carry_out(stores, stores.trees.reader, stores.trees.content, base, ops, sink)
    assert first_trouble(stores.trees.reader, root, put) is None
    return root


def _reading(stores: Stores, root: Root) -> Reading:
    return Reading(TreeView(REF, root, stores.trees.reader, stores.trees.content))


@pytest.mark.parametrize("many", [10, 60])
def test_rounds_do_not_grow_with_changes(tmp_path: Path, rounds: list[int], many: int) -> None:
    objects: Objects = Far(tmp_path)
    base = _changed(Stores.over(objects), EMPTY, KEYS, 1)
    keys, stores = random.Random(1).sample(KEYS, many), Stores.over(objects)
    rounds.clear()
    root = _changed(stores, base, keys, 2)
    assert len(rounds) <= 10, rounds
    rounds.clear()
    stores = Stores.over(objects)
    found = list(changes(_reading(stores, root), _reading(stores, base), "/", "/"))
    directories = {key[: key.rindex(b"/") + 1] for key in keys}
    assert len(found) == 1 + len(directories) + len(keys)
    assert len(rounds) <= 25, rounds
