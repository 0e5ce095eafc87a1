"""Firing triggers when a commit is FINISHED and good, in the transaction that makes it so.

What fires moves its branch to that very commit, and what derives from the branch gets commits of a fresh set. Moving
a followed branch by hand, or by the clock, fires nothing.
Elsewhere: triggers that follow the clock (ticking.py).
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from services.kit.time.cron import schedule
from services.pfs.domain.commits import BranchNumber, Commit, RepoNumber
from services.pfs.domain.triggers import commits_since, holds, size_bytes
from services.pfs.domain.walks import closure
from services.pfs.operations.dag.change import Change
from services.pfs.storage.triggers import StoredTrigger, TriggerStore

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
MANY = 2**31 - 2  # more commits than any branch will have; one more is still an INTEGER of every database


def fire_triggers(change: Change, new: Commit, fresh: Callable[[], str]) -> None:
    """Let branches follow the one that `new` was made on; those that follow them come after.

    fresh: gives the id of a commit set, for what cannot be part of the change's own.
    """
    if new.branch_number is None:
        return
    store, moved = TriggerStore(change.tx), [new.branch_number]
    for source in moved:
        for trigger in store.following(source):
            if not trigger.rule.cron and trigger.target not in moved and _fires(change, trigger, new):
                change.branches.set_head(trigger.target, new.number, change.now)
                moved.append(trigger.target)
    for at, group in enumerate(_in_sets(change, moved[1:])):
        if at == 0:
            for target in group:
                change.propagate(target)
        else:
            with Change(change.tx, id=fresh(), now=lambda: change.now) as more:
                for target in group:
                    more.propagate(target)


def _in_sets(change: Change, moved: Iterable[BranchNumber]) -> list[list[BranchNumber]]:
    """Moved branches, each with others whose commits downstream fit into one set: a repo has one commit in a set.

    Followers of one branch may feed different branches of one repo, which then belong to different sets.
    """
    groups: list[tuple[list[BranchNumber], dict[RepoNumber, BranchNumber]]] = []
    for start in moved:
        below = closure(start, lambda some: change.branches.downstream(some, propagating=True))
        mine = {branch.repo_number: branch.number for branch in change.branches.many(below).values()}
        for starts, taken in groups:
            if all(taken.get(repo, number) == number for repo, number in mine.items()):
                starts.append(start)
                taken.update(mine)
                break
        else:
            groups.append(([start], mine))
    return [starts for starts, _ in groups]


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
