"""Rows of triggers, inside the caller's transaction. One that follows the clock says when it is due."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Row, Select, bindparam, delete, insert, literal, or_, select, update
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column

from services.kit.storage.database import UtcTime
from services.pfs.domain.commits import BranchNumber, CommitNumber, Origin
from services.pfs.domain.triggers import Trigger
from services.pfs.storage.tables import Base, BranchRow, CommitRow, Number, table

SOME = 500  # numbers that one question names


class TriggerRow(Base):
    """`target` follows `source`, a branch of the same repo."""

    __tablename__ = "triggers"
    target: Mapped[int] = mapped_column(
        Number, ForeignKey("branches.number", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    source: Mapped[int] = mapped_column(ForeignKey("branches.number", ondelete="CASCADE"), index=True)
    every: Mapped[bool]
    rate_limit: Mapped[str]
    size: Mapped[str]
    commits: Mapped[int] = mapped_column(Number)
    cron: Mapped[str]
    due: Mapped[datetime | None] = mapped_column(UtcTime, index=True)


@dataclass(frozen=True, slots=True)
class StoredTrigger:
    """The trigger of branch `target`. due: when the clock moves it next; None: never, or conditions do."""

    target: BranchNumber
    source: BranchNumber
    rule: Trigger
    due: datetime | None


_TRIGGER, _BRANCH = table(TriggerRow), table(BranchRow)
_TRIGGERS: Select[Any] = select(*_TRIGGER.c, _BRANCH.c.name).join(_BRANCH, _BRANCH.c.number == _TRIGGER.c.source)
_OF = _TRIGGERS.where(_TRIGGER.c.target.in_(bindparam("targets", expanding=True)))
_FOLLOWING = _TRIGGERS.where(_TRIGGER.c.source == bindparam("followed")).order_by(_TRIGGER.c.target)


@dataclass(frozen=True)
class TriggerStore:
    """Triggers; never commits the transaction."""

    tx: Session

    def of(self, targets: Iterable[BranchNumber]) -> dict[BranchNumber, StoredTrigger]:
        """The triggers that these branches have."""
        every = list(targets)
        return {
            BranchNumber(row.target): _trigger_of(row)
            for start in range(0, len(every), SOME)
            for row in self.tx.execute(_OF, {"targets": every[start : start + SOME]})
        }

    def following(self, source: BranchNumber) -> list[StoredTrigger]:
        """What follows a branch, oldest branch first."""
        return [_trigger_of(row) for row in self.tx.execute(_FOLLOWING, {"followed": source})]

    def put(self, target: BranchNumber, source: BranchNumber, rule: Trigger, due: datetime | None) -> None:
        """Give a branch a trigger instead of the one it has."""
        self.tx.execute(delete(_TRIGGER).where(_TRIGGER.c.target == target))
        values = {"target": target, "source": source, "due": due, "every": rule.every, "rate_limit": rule.rate_limit}
        self.tx.execute(insert(_TRIGGER), {**values, "size": rule.size, "commits": rule.commits, "cron": rule.cron})

    def remove_touching(self, branch: BranchNumber) -> None:
        """Delete the trigger of a branch and those that follow it."""
        self.tx.execute(delete(_TRIGGER).where(or_(_TRIGGER.c.target == branch, _TRIGGER.c.source == branch)))

    def set_due(self, target: BranchNumber, due: datetime | None) -> None:
        self.tx.execute(update(_TRIGGER).where(_TRIGGER.c.target == target).values(due=due))

    def next_due(self) -> StoredTrigger | None:
        """The one that the clock moves first."""
        rows = _TRIGGERS.where(_TRIGGER.c.due.is_not(None)).order_by(_TRIGGER.c.due, _TRIGGER.c.target).limit(1)
        row = self.tx.execute(rows).first()
        return None if row is None else _trigger_of(row)

    def lineage(self, start: CommitNumber, end: str, most: int) -> list[tuple[str, bool]]:
        """Set ids of a commit and its ancestors, nearest first, as far as the set `end` and at most so many.

        False: the root of a branch that began empty.
        """
        first = select(CommitRow.id, CommitRow.origin, CommitRow.parent, literal(1).label("depth"))
        chain = first.where(CommitRow.number == start).cte("chain", recursive=True)
        older = aliased(CommitRow)
        chain = chain.union_all(
            select(older.id, older.origin, older.parent, chain.c.depth + 1).where(
                older.number == chain.c.parent, chain.c.depth < most, chain.c.id != end
            )
        )
        return [
            (id, parent is not None or origin != Origin.AUTO)
            for id, origin, parent, _ in self.tx.execute(select(chain).order_by(chain.c.depth))
        ]


def _trigger_of(row: Row[Any]) -> StoredTrigger:
    rule = Trigger(
        source=row.name,
        every=row.every,
        rate_limit=row.rate_limit,
        size=row.size,
        commits=row.commits,
        cron=row.cron,
    )
    return StoredTrigger(BranchNumber(row.target), BranchNumber(row.source), rule, row.due)
