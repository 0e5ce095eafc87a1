"""A duty is done by one process at a time: whoever holds its row until the row's time runs out.

Times are those of the caller's clock; holders renew at a third of the lease, so clocks may differ by a few seconds.
"""

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Mapped, Session, mapped_column

from services.kit.storage.database import KitBase, UtcTime


class LeaseRow(KitBase):
    """Who does a duty, and until when."""

    __tablename__ = "leases"
    duty: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    until: Mapped[datetime] = mapped_column(UtcTime)


def take_lease(tx: Session, duty: str, holder: str, *, ttl: timedelta, now: datetime) -> bool:
    """Take or renew `duty`. False: somebody else holds it and their time has not run out."""
    row = tx.scalars(select(LeaseRow).where(LeaseRow.duty == duty).with_for_update()).first()
    if row is None:
        tx.add(LeaseRow(duty=duty, holder=holder, until=now + ttl))
        return True
    if row.holder != holder and row.until > now:
        return False
    row.holder, row.until = holder, now + ttl
    return True


def drop_lease(tx: Session, duty: str, holder: str) -> None:
    """Give `duty` up, so that the next holder need not wait. No error when it is not held."""
    row = tx.get(LeaseRow, duty)
    if row is not None and row.holder == holder:
        tx.delete(row)
