"""Which objects the jobs of a pipeline refer to: plans, results of sets, and datum indexes with the records they name.

Jobs share most of their index with the one before; what is shared is walked once.
Elsewhere: what is done about the rest (collecting.py); whether objects are whole (verifying.py).
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.jobs.storage.jobs import JobStore
from services.jobs.storage.objects import Indexes, name_of
from services.jobs.storage.origins import Origins
from services.jobs.storage.seals import Seals
from services.jobs.storage.tables import JobRow, SetRow
from services.kit.sortedmap.encoding.chunks import Leaf, Node
from services.kit.sortedmap.rows import Place, Root

WORK_SECONDS, PAUSE_SECONDS = 0.005, 0.005


@dataclass(frozen=True)
class Held:
    """What the rows of some jobs refer to by themselves.

    plans: of jobs that may still run; roots: datum indexes; maps: what plans were made from, naming no records;
    logs: objects, and where in each the index begins.
    """

    plans: list[str]
    records: list[str]
    roots: list[Root]
    maps: list[Root]
    logs: list[tuple[str, int]] = field(default_factory=list)

    @property
    def names(self) -> set[str]:
        return {*self.plans, *self.records, *(name for name, _ in self.logs)}


def held(tx: Session, owner: tuple[str, str] | None = None) -> Held:
    """Of the jobs of a pipeline (project, name), or of all."""
    mine = () if owner is None else (JobRow.project == owner[0], JobRow.pipeline == owner[1])
    rows = tx.scalars(select(JobRow).where(*mine)).all()
    records = select(SetRow.records).join(JobRow, JobRow.number == SetRow.job).where(*mine, SetRow.records != "")
    roots = [JobStore(tx).root(row.number) for row in rows]  # of rows that are at hand
    plans = [name_of(key) for row in rows if not row.closed for key in (row.plan, row.rest) if key]
    maps = [root for origin in Origins(tx).of(owner) for root in origin.roots]
    return Held(plans, list(tx.scalars(records)), roots, maps, Seals(tx).objects(owner))


class Walk:
    """Every range of some indexes, once."""

    def __init__(self, indexes: Indexes) -> None:
        self._indexes = indexes
        self._seen = set[Place]()
        self.packs = set[str]()
        """Index packs that were met."""

    def leaves(self, roots: Iterable[Root]) -> Iterator[Leaf]:
        """All leaves. Blocks. Raises Corrupt."""
        for root in roots:
            pending = [] if root.place is None else [(root.id, root.place)]
            while pending:
                id, place = pending.pop()
                if not self._first_time(place):
                    continue
                chunk = self._indexes.reader.chunk(id, place)
                if isinstance(chunk, Node):
                    pending += [(child.id, child.place) for child in chunk.children]
                    continue
                if chunk.base is not None:
                    self.packs.add(chunk.base[1].pack.hex())
                yield chunk

    def _first_time(self, place: Place) -> bool:
        self.packs.add(place.pack.hex())
        if place in self._seen:
            return False
        self._seen.add(place)
        return True


def referred(indexes: Indexes, found: Held) -> set[str]:
    """Names of all objects that are referred to. Blocks, and gives way to callers. Raises Corrupt."""
    names, walk, since = found.names, Walk(indexes), time.monotonic()
    for leaf in walk.leaves([*found.roots, *found.maps]):
        names |= {place.pack.hex() for place in leaf.places.all() if place is not None}
        if time.monotonic() - since > WORK_SECONDS:
            time.sleep(PAUSE_SECONDS)
            since = time.monotonic()
    return names | walk.packs
