"""The tree that readers of a commit or file set see.

A FINISHED commit shows its tree. An open or errored one shows the nearest good ancestor's tree with its own layers
carried out on it, in memory; such views are kept while nothing was added, and grow by what was. A FINISHING commit is
waited for.
Elsewhere: questions asked of a view (read.py, diff.py); merging (finishing/merge.py).
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Lock
from weakref import WeakValueDictionary

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from services.kit.bus import Bus
from services.kit.errors import Problem
from services.kit.sortedmap.packs import Reader
from services.kit.sortedmap.rows import EMPTY, Root
from services.kit.sortedmap.tree import ranges
from services.kit.storage.database import Database
from services.kit.time.clock import Clock
from services.pfs.domain.commits import Commit
from services.pfs.domain.errors import BaseUnfinished, CommitForgotten
from services.pfs.domain.files.collisions import Trouble, first_in
from services.pfs.domain.keys import CommitRef
from services.pfs.operations.dag.resolve import base_of, resolve_commit
from services.pfs.operations.files.stores import Stores
from services.pfs.operations.finishing.merge import ContentOf, first_trouble
from services.pfs.operations.finishing.taking_over import carry_out_parts
from services.pfs.storage.commits import CommitStore
from services.pfs.storage.content.content_tables import LayerRow
from services.pfs.storage.content.filesets import FILE_SETS, FileSetStore
from services.pfs.storage.content.layers import Part, decode_parts
from services.pfs.storage.content.trees import Overlay, root_of
from services.pfs.storage.tables import table

KEPT_VIEWS = 8
OVERLAY_BYTES = 64 << 20
LOOK_AGAIN = timedelta(seconds=2)
Names = tuple[object, ...]
"""Of layers, oldest first."""
_LAYER = table(LayerRow)
_LAYERS = (
    select(_LAYER.c.number, _LAYER.c.parts).where(_LAYER.c.commit == bindparam("commit")).order_by(_LAYER.c.number)
)


@dataclass(frozen=True)
class TreeView:
    """A tree and how to read it. Its methods' callers run on threads."""

    ref: CommitRef
    root: Root
    reader: Reader
    content: ContentOf
    committed: datetime | None = None
    trouble: Trouble | None = None


@dataclass(frozen=True)
class Sight:
    """What a view is made of. layers: with a name for each, oldest first."""

    ref: CommitRef
    base: Root
    layers: tuple[tuple[object, bytes], ...] = ()
    committed: datetime | None = None
    wait_for: Commit | None = None


def look(tx: Session, ref: CommitRef, now: datetime) -> Sight:
    """Raises what resolving raises, PathMissing, BaseUnfinished, CommitForgotten."""
    if ref.repo.name == FILE_SETS:
        row = FileSetStore(tx).get(ref.text, now)
        return Sight(ref, EMPTY, ((row.id, row.parts),), row.created_at)
    return look_at_commit(tx, ref)


def look_at_commit(tx: Session, ref: CommitRef) -> Sight:
    """The same for a commit, which looks the same until somebody changes something."""
    commit = resolve_commit(tx, ref)
    if commit.forgotten:
        raise CommitForgotten()
    exact = CommitRef(commit.repo, commit.id)
    if commit.finished is not None and not commit.error:
        return Sight(exact, root_of(commit.root, commit.size_bytes), (), commit.finishing)
    if commit.finishing is not None and commit.finished is None:
        return Sight(exact, EMPTY, wait_for=commit)
    base = base_of(tx, commit)
    if base is not None and base.finished is None:
        raise BaseUnfinished(base, commit)
    if base is not None and base.forgotten:
        raise CommitForgotten()
    root = EMPTY if base is None else root_of(base.root, base.size_bytes)
    return Sight(exact, root, tuple(layers_of(tx, commit)), commit.finishing)


def layers_of(tx: Session, commit: Commit) -> list[tuple[int, bytes]]:
    """A commit's own layers, oldest first."""
    return [(number, parts) for number, parts in tx.execute(_LAYERS, {"commit": commit.number})]


def parent_of(tx: Session, ref: CommitRef) -> CommitRef | None:
    """The parent of a commit; None for a root and for file sets."""
    if ref.repo.name == FILE_SETS:
        return None
    number = resolve_commit(tx, ref).parent
    parent = None if number is None else CommitStore(tx).get(number)
    return None if parent is None else CommitRef(parent.repo, parent.id)


class Views:
    """Opens views, and keeps those that took merging."""

    def __init__(self, db: Database, bus: Bus, stores: Stores, clock: Clock) -> None:
        self._db, self._bus, self._stores, self._clock = db, bus, stores, clock
        # By what they are built on and their first layer, which is one commit's: its latest view, and of which layers.
        self._kept: OrderedDict[tuple[Root, object], tuple[Names, TreeView]] = OrderedDict()
        self._lock = Lock()
        self._building = WeakValueDictionary[tuple[Root, object], asyncio.Lock]()

    async def before(self, view: TreeView) -> TreeView:
        """The view of the parent of a view's commit, which is empty for a root and for file sets.

        Raises what `open` raises.
        """
        parent = await self._db.recall(parent_of, view.ref)
        return replace(view, root=EMPTY) if parent is None else await self.open(parent)

    async def _sight(self, ref: CommitRef) -> Sight:
        if ref.repo.name == FILE_SETS:
            return await self._db.read(look, ref, self._clock.now())
        return await self._db.recall(look_at_commit, ref)

    async def open(self, ref: CommitRef) -> TreeView:
        """What readers of `ref` see now. Waits for a FINISHING commit. Raises what `look` raises, and Corrupt."""
        sight = await self._sight(ref)
        if sight.wait_for is not None:
            async with self._bus.listen("pfs.commit.finished", "pfs.commit.deleted") as news:
                while (sight := await self._sight(ref)).wait_for is not None:
                    await news.wait(LOOK_AGAIN)
        if not sight.layers:
            trees = self._stores.trees
            return TreeView(sight.ref, sight.base, trees.reader, trees.content, sight.committed)
        # One at a time of a commit, so that each grows out of the one before; those that wait hold no thread.
        async with self._building.setdefault((sight.base, sight.layers[0][0]), asyncio.Lock()):
            return await asyncio.to_thread(self._merged, sight)

    async def below(self, ref: CommitRef) -> TreeView | None:
        """The tree that a commit's own writes go on top of; None when there is none yet that can be read."""
        try:
            sight = await self._db.read(look, ref, self._clock.now())
        except Problem:
            return None
        trees = self._stores.trees
        return TreeView(sight.ref, sight.base, trees.reader, trees.content)

    def _merged(self, sight: Sight) -> TreeView:
        names = tuple(name for name, _ in sight.layers)
        kept = self._latest(sight.base, names)
        if kept is None or kept[0] != names:
            kept = names, self._built(sight, kept)
            with self._lock:
                self._kept[sight.base, names[0]] = kept
                while len(self._kept) > KEPT_VIEWS:
                    self._kept.popitem(last=False)
        return replace(kept[1], ref=sight.ref, committed=sight.committed)

    def _latest(self, base: Root, names: Names) -> tuple[Names, TreeView] | None:
        """The kept view of these layers, or of the first of them; and of which."""
        with self._lock:
            kept = self._kept.get((base, names[0]))
            if kept is None or kept[0] != names[: len(kept[0])]:
                return None
            self._kept.move_to_end((base, names[0]))
            return kept

    def _built(self, sight: Sight, kept: tuple[Names, TreeView] | None) -> TreeView:
        """A new view, on top of one that has the first of its layers already."""
        if kept is not None:
            names, older = kept
            if isinstance(older.reader, Overlay) and older.reader.size_bytes < OVERLAY_BYTES:
                return self._grown(older, older.reader, sight, len(names))
        overlay = Overlay(self._stores.trees)
        return self._grown(TreeView(sight.ref, sight.base, overlay, overlay.content), overlay, sight, 0)

    def _grown(self, older: TreeView, overlay: Overlay, sight: Sight, known: int) -> TreeView:
        parts: list[Part] = [part for _, data in sight.layers[known:] for part in decode_parts(data)]
        root, put = carry_out_parts(self._stores, overlay, overlay.content, older.root, parts, overlay.sink())
        if older.trouble is None:
            trouble = first_trouble(overlay, root, put, duplicates=False)
        else:  # it may be gone, and then another one is the first
            trouble = first_in((key for leaf in ranges(overlay, root) for key in leaf.keys), duplicates=False)
        return TreeView(sight.ref, root, overlay, overlay.content, trouble=trouble)
