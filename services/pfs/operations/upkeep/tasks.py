"""The work in flight: commits that are being finished, and who is at it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.kit.storage.leases import LeaseRow
from services.pfs.domain.commits import Commit
from services.pfs.domain.errors import Malformed
from services.pfs.operations.finishing.finish import duty
from services.pfs.storage.commits import CommitStore

STORAGE = "storage"


@dataclass(frozen=True, slots=True)
class Task:
    """Finishing one commit. claimed: a process is at it."""

    commit: Commit
    claimed: bool


def tasks(tx: Session, namespace: str, group: str, now: datetime) -> list[Task]:
    """Of a namespace and, within it, of a group; "" for all. In storage a group is a commit set. Raises Malformed."""
    if group and not namespace:
        raise Malformed("must provide a task namespace to list a group")
    if namespace not in ("", STORAGE):
        return []
    closed = [commit for commit in CommitStore(tx).closed() if not group or commit.id == group.lower()]
    duties = {duty(commit.number) for commit in closed}
    held = set(tx.scalars(select(LeaseRow.duty).where(LeaseRow.duty.in_(duties), LeaseRow.until > now)))
    return [Task(commit, duty(commit.number) in held) for commit in closed]
