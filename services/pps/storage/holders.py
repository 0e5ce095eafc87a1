"""Which replica holds which duty, inside the caller's transaction.

A replica shows that it lives by one lease of its own, which it renews; the duties it holds are rows beside that, and
are its own for as long as it lives. So a hundred worker groups cost one renewal, and all go to others together.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from services.kit.storage.leases import LeaseRow, drop_lease, take_lease

ALIVE = timedelta(seconds=9)
AT_ONCE = 1_000


@dataclass(frozen=True)
class Holders:
    """Never commits."""

    tx: Session

    def show(self, replica: str, now: datetime) -> None:
        """The replica lives."""
        take_lease(self.tx, _presence(replica), replica, ttl=ALIVE, now=now)

    def leave(self, replica: str) -> None:
        """The replica ends and holds nothing any more."""
        self.tx.execute(delete(LeaseRow).where(LeaseRow.holder == replica))

    def taken(self, duties: Sequence[str], replica: str, now: datetime) -> dict[str, str]:
        """Take what nobody holds who lives. Returns who holds each of the duties now."""
        rows, held = dict[str, LeaseRow](), dict[str, str]()
        for at in range(0, len(duties), AT_ONCE):
            some = select(LeaseRow).where(LeaseRow.duty.in_(duties[at : at + AT_ONCE]))
            rows |= {row.duty: row for row in self.tx.scalars(some)}
        others = {row.holder for row in rows.values()} - {replica}
        living = self.living(others, now) if others else set[str]()
        for duty in duties:
            row = rows.get(duty)
            if row is None:
                self.tx.add(LeaseRow(duty=duty, holder=replica, until=now))
            elif row.holder in living:
                held[duty] = row.holder
                continue
            elif row.holder != replica:
                row.holder = replica
            held[duty] = replica
        return held

    def living(self, replicas: Collection[str], now: datetime) -> set[str]:
        """Those of these that live."""
        names = [_presence(replica) for replica in replicas]
        return set(self.tx.scalars(select(LeaseRow.holder).where(LeaseRow.duty.in_(names), LeaseRow.until > now)))

    def held(self, prefix: str, replica: str) -> set[str]:
        """The duties with this beginning that the replica holds."""
        mine = select(LeaseRow.duty).where(LeaseRow.duty.startswith(prefix, autoescape=True))
        return set(self.tx.scalars(mine.where(LeaseRow.holder == replica)))

    def drop(self, duty: str, replica: str) -> None:
        drop_lease(self.tx, duty, replica)


def _presence(replica: str) -> str:
    return f"replica/{replica}"
