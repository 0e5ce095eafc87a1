"""Giving a branch a trigger, and which triggers may be given.

Elsewhere: what a trigger is (domain/triggers.py); what fires one (firing.py, ticking.py).
"""

from services.kit.time.cron import BadSchedule, Schedule, schedule
from services.pfs.domain.commits import Branch, BranchNumber
from services.pfs.domain.errors import BranchRowNotFound
from services.pfs.domain.keys import BranchKey
from services.pfs.domain.names import check_name
from services.pfs.domain.triggers import BadTrigger, Trigger, size_bytes
from services.pfs.operations.dag.change import Change
from services.pfs.storage.triggers import TriggerStore


def check_trigger(change: Change, target: BranchKey, rule: Trigger) -> None:
    """Raises BadTrigger, BadName, BranchRowNotFound."""
    if not rule.source:
        raise BadTrigger("triggers must specify a branch to trigger on")
    check_name(rule.source)
    if rule.cron:
        _schedule("cron spec", rule.cron)
    if rule.rate_limit:
        _schedule("rate limit spec", rule.rate_limit)
    if rule.size:
        size_bytes(rule.size)
    if rule.commits < 0:
        raise BadTrigger("can't trigger on a negative number of commits")
    if rule.source == target.name:
        raise BadTrigger("triggers cannot form a loop")
    source = change.branches.find(BranchKey(target.repo, rule.source))
    if source is None:
        raise BranchRowNotFound(BranchKey(target.repo, rule.source))
    followed, store = source.number, TriggerStore(change.tx)
    mine = change.branches.find(target)
    while mine is not None and (above := store.of([followed]).get(followed)) is not None:
        followed = above.source
        if followed == mine.number:
            raise BadTrigger("triggers cannot form a loop")


def set_trigger(change: Change, target: Branch, rule: Trigger) -> None:
    """Let a branch that has its head follow another. A schedule that stays the same goes on where it was."""
    source = change.branches.find(BranchKey(target.key.repo, rule.source))
    assert source is not None, "check_trigger has found it"
    store = TriggerStore(change.tx)
    before = store.of([target.number]).get(target.number)
    if before is not None and (before.rule, before.source) == (rule, source.number):
        return
    due = None
    if rule.cron:
        change.say_clock(target)
        now = change.branches.get(target.number)
        head = None if now is None or now.head is None else change.commits.get(now.head)
        due = schedule(rule.cron).next(change.now if head is None else head.started)
    store.put(target.number, source.number, rule, due)


def has_trigger(change: Change, number: BranchNumber) -> bool:
    """Whether a branch follows another one."""
    return number in TriggerStore(change.tx).of([number])


def _schedule(what: str, text: str) -> Schedule:
    try:
        return schedule(text)
    except BadSchedule as bad:
        raise BadTrigger(f"invalid trigger {what}: {bad}") from bad
