"""Remembering what deleted commits referred to until the next collection: a running call may have seen it there.

Elsewhere: who digs them up (operations/collection).
"""

from typing import Any

from sqlalchemy import ColumnElement, insert, select
from sqlalchemy.orm import Session

from services.kit.sortedmap.rows import Place, Root
from services.pfs.storage.collection.collection_tables import GraveRow
from services.pfs.storage.content.content_tables import LayerRow
from services.pfs.storage.content.layers import Whole, encode_parts
from services.pfs.storage.tables import CommitRow, table

_COMMIT, _LAYER = table(CommitRow), table(LayerRow)


def bury_commits(tx: Session, which: ColumnElement[bool]) -> None:
    """To be called before commits are deleted. which: a condition on CommitRow."""
    roots = select(_COMMIT).where(which, _COMMIT.c.root_id.is_not(None))
    graves = [encode_parts([Whole.of(stored_root(row))]) for row in tx.execute(roots)]
    layers = select(_LAYER.c.parts).join(_COMMIT, _COMMIT.c.number == _LAYER.c.commit).where(which)
    _dig(tx, [*graves, *tx.scalars(layers)])


def bury_layers(tx: Session, which: ColumnElement[bool]) -> None:
    """To be called before layers are deleted by themselves. which: a condition on LayerRow."""
    _dig(tx, list(tx.scalars(select(_LAYER.c.parts).where(which))))


def stored_root(row: Any) -> Root:
    """The root of a row that has the columns of a commit's."""
    place = Place(row.root_pack, row.root_offset, row.root_stored, row.root_codec)
    return Root(row.root_id, place, row.root_rows, row.size_bytes)


def _dig(tx: Session, graves: list[bytes]) -> None:
    if graves:
        tx.execute(insert(table(GraveRow)), [{"parts": parts} for parts in graves])
