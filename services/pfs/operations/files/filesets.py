"""File sets: writes that belong to no commit, kept for a while; made, layered, renewed, attached to open commits.

Attaching copies the list of parts, so the set may expire afterwards; the parts themselves are never copied.
Elsewhere: rows and expiry (storage/content/filesets.py); reading one (tree_views.py).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from services.kit.sortedmap.compare import diff
from services.kit.sortedmap.rows import EMPTY, Root
from services.pfs.domain.commits import Commit
from services.pfs.domain.errors import CommitForgotten
from services.pfs.domain.files.entries import REPLACE, Op, removal
from services.pfs.domain.files.file_errors import BadFileSetId, BadTtl, FileSetExpired
from services.pfs.domain.keys import CommitRef
from services.pfs.operations.dag.resolve import base_of, resolve_commit
from services.pfs.operations.files.landing import Landing, add_layer, record_packs
from services.pfs.operations.files.stores import Stores
from services.pfs.operations.files.tree_views import Sight, layers_of, look
from services.pfs.operations.finishing.merge import merged_parts
from services.pfs.storage.content.filesets import NEVER, FileSetStore
from services.pfs.storage.content.layers import Part, Whole, decode_parts, encode_parts
from services.pfs.storage.content.trees import root_of

TTL = timedelta(minutes=10)
SHORTEST_TTL, LONGEST_TTL = timedelta(seconds=1), timedelta(minutes=30)
RUN_OPS = 100_000


def create_file_set(tx: Session, id: str, landing: Landing, *, ttl: timedelta = TTL, now: datetime) -> None:
    """Keep what a stream has stored as a file set."""
    record_packs(tx, landing, now)
    FileSetStore(tx).add(id, encode_parts(landing.parts), ttl=ttl, now=now)


def add_file_set(tx: Session, ref: CommitRef, id: str, *, now: datetime) -> None:
    """Append a file set to an open commit. Raises PathMissing, PickFailed, CommitFinished."""
    parts = FileSetStore(tx).get(checked_id(id), now).parts
    add_layer(tx, resolve_commit(tx, ref), decode_parts(parts))


def renew_file_set(tx: Session, id: str, ttl: timedelta, *, now: datetime) -> None:
    """Let a file set live for `ttl` from now. Raises BadTtl, FileSetExpired."""
    if ttl < SHORTEST_TTL:
        raise BadTtl(f"ttl ({_nanoseconds(ttl)}) must be at least one second")
    if ttl > LONGEST_TTL:
        raise BadTtl(f"ttl ({_nanoseconds(ttl)}) exceeds max ttl ({_nanoseconds(LONGEST_TTL)})")
    row = FileSetStore(tx).find(checked_id(id), now)
    if row is None:
        raise FileSetExpired(id)
    if row.expires_at != NEVER:
        row.expires_at = now + ttl


def parts_of(tx: Session, ids: Sequence[str], now: datetime) -> list[Part]:
    """The parts of file sets, in order. Raises PathMissing."""
    sets = FileSetStore(tx)
    return [part for id in ids for part in decode_parts(sets.get(checked_id(id), now).parts)]


def compacted(stores: Stores, parts: Sequence[Part]) -> list[Part]:
    """The same writes in as few parts as possible. Blocks."""
    return _written(stores, merged_parts(stores, parts))


@dataclass(frozen=True)
class Difference:
    """A finished commit's tree and the one it was built on."""

    base: Root
    root: Root


def total_parts(tx: Session, ref: CommitRef, now: datetime) -> list[Part] | Sight:
    """What a commit shows, as parts; a Sight when the commit has to be waited for first."""
    sight = look(tx, ref, now)
    if sight.wait_for is not None:
        return sight
    whole: list[Part] = [Whole.of(sight.base)] if sight.base.place is not None else []
    return whole + [part for _, data in sight.layers for part in decode_parts(data)]


def own_parts(tx: Session, ref: CommitRef) -> list[Part] | Difference | Commit:
    """A commit's own changes: its parts, or the trees to compare, or the commit when it has to be waited for.

    Raises CommitForgotten: the differences to a forgotten commit are gone with it.
    """
    commit = resolve_commit(tx, ref)
    if commit.forgotten:
        raise CommitForgotten()
    if commit.finishing is not None and commit.finished is None:
        return commit
    if commit.finished is None or commit.error:
        return [part for _, data in layers_of(tx, commit) for part in decode_parts(data)]
    base = base_of(tx, commit)
    if base is not None and base.forgotten:
        raise CommitForgotten()
    return Difference(
        EMPTY if base is None else root_of(base.root, base.size_bytes), root_of(commit.root, commit.size_bytes)
    )


def difference_parts(stores: Stores, difference: Difference) -> list[Part]:
    """The writes that make one tree of the other. Blocks."""
    trees = stores.trees

    def ops() -> Iterator[Op]:
        for key, _, now in diff(trees.reader, difference.base, difference.root):
            if now is None:
                yield removal(key)
            else:
                content = trees.content(now)
                yield Op(key, REPLACE, content.extents, content.digest)

    return _written(stores, ops())


def checked_id(id: str) -> str:
    """An id without what stands behind its "."; raises BadFileSetId."""
    plain = id.partition(".")[0]
    if len(plain) != 32:
        raise BadFileSetId(plain)
    return plain.lower()


def _written(stores: Stores, ops: Iterator[Op]) -> list[Part]:
    parts: list[Part] = []
    run: list[Op] = []
    for op in ops:
        run.append(op)
        if len(run) == RUN_OPS:
            parts.append(stores.layers.write(run))
            run = []
    return [*parts, stores.layers.write(run)] if run else parts


def _nanoseconds(ttl: timedelta) -> int:
    return ttl // timedelta(microseconds=1) * 1000
