"""Firing triggers when a commit is FINISHED and good, in the transaction that makes it so.

What fires moves its branch to that very commit, and what derives from the branch gets commits of a fresh set. Moving
a followed branch by hand, or by the clock, fires nothing.
Elsewhere: triggers that follow the clock (ticking.py).
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from services.kit.time.cron import schedule
from services.pfs.domain.commits import BranchNumber, Commit
from services.pfs.domain.triggers import commits_since, holds, size_bytes
from services.pfs.operations.dag.change import Change
from services.pfs.storage.triggers import StoredTrigger, TriggerStore

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
MANY = 2**31 - 2  # more commits than any branch will have; one more is still an INTEGER of every database


def fire_triggers(change: Change, new: Commit) -> None:
    """Let branches follow the one that `new` was made on; those that follow them come after."""
    if new.branch_number is None:
        return
    store, moved = TriggerStore(change.tx), [new.branch_number]
    for source in moved:
        for trigger in store.following(source):
            if not trigger.rule.cron and trigger.target not in moved and _fires(change, trigger, new):
                move(change, trigger.target, new)
                moved.append(trigger.target)


def move(change: Change, target: BranchNumber, new: Commit) -> None:
    """Point a branch at a commit of its repo, and let the change open commits downstream of it."""
    change.branches.set_head(target, new.number, change.now)
    change.propagate(target)


def _fires(change: Change, trigger: StoredTrigger, new: Commit) -> bool:
    branch = change.branches.get(trigger.target)
    old = None if branch is None or branch.head is None else change.commits.get(branch.head)
    if old is None or old.number == new.number:
        return False
    return holds(trigger.rule, list(_conditions(change, trigger, old, new)))


def _conditions(change: Change, trigger: StoredTrigger, old: Commit, new: Commit) -> Iterator[bool]:
    rule = trigger.rule
    if rule.size:
        yield new.size_bytes - old.size_bytes >= size_bytes(rule.size)
    if rule.rate_limit:
        tick = schedule(rule.rate_limit).next(old.finishing or LONG_AGO)
        yield tick is not None and new.finishing is not None and tick < new.finishing
    if rule.commits:
        wanted = min(rule.commits, MANY)
        lineage = TriggerStore(change.tx).lineage(new.number, old.id, wanted + 1)
        yield commits_since(lineage, old.id, wanted) == wanted
