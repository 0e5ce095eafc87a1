"""Where blobs lie whose pack was rewritten: commits go on naming the old pack, and readers look into the new one.

Elsewhere: rewriting packs (operations/collection/repack.py); reading (content/packs.py).
"""

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.pfs.storage.content.content_tables import MOVED, MOVING, PackRow


class Moves:
    """New names by old ones. Safe for several threads."""

    def __init__(self) -> None:
        self._to: Mapping[bytes, bytes] = {}

    def learn(self, moves: Mapping[bytes, bytes]) -> None:
        """Replace what is known."""
        self._to = dict(moves)

    def now_in(self, pack: bytes) -> bytes:
        """The pack that holds the blobs of `pack`; mostly itself."""
        to = self._to
        while (next := to.get(pack)) is not None:
            pack = next
        return pack


def moves_of(tx: Session) -> Mapping[bytes, bytes]:
    """All of them."""
    rows = tx.execute(select(PackRow.name, PackRow.moved_to).where(PackRow.state.in_((MOVING, MOVED))))
    return {name: to for name, to in rows if to is not None}
