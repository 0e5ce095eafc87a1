"""Sets that deleted jobs have left go some at a time, so that nobody waits for those of a large job.

Elsewhere: who does that (duties/sweeper.py); what they leave in the store (collecting.py).
"""

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from services.jobs.storage.sets import SetStore
from services.kit.storage.leases import drop_lease, take_lease

DUTY = "sweeping"
LEASE = timedelta(seconds=30)
AT_ONCE = 2_000


def any_left(tx: Session) -> bool:
    """Whether there is something to do."""
    return SetStore(tx).any_to_sweep()


def sweep(tx: Session, holder: str, now: datetime) -> bool:
    """Take some away. False: there is nothing left, or somebody else does it."""
    if not take_lease(tx, DUTY, holder, ttl=LEASE, now=now):
        return False
    more = SetStore(tx).sweep(AT_ONCE)
    if not more:
        drop_lease(tx, DUTY, holder)
    return more
