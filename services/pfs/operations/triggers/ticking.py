"""Triggers that follow the clock: at each tick the branch moves to where the followed one is then.

When a tick is due stands in the trigger's row. Whoever sees it due moves the branch and writes the next tick in one
transaction, and such transactions follow one another: a tick is done once, however many processes look, and a process
that dies leaves it to the next. Ticks that were missed while nobody looked are done once in all.
Elsewhere: who looks (duties/ticker.py); conditions on commits (firing.py).
"""

from datetime import datetime

from sqlalchemy.orm import Session

from services.kit.time.cron import schedule
from services.pfs.operations.dag.change import Change
from services.pfs.operations.triggers.firing import move
from services.pfs.storage.triggers import TriggerStore


def next_tick(tx: Session) -> datetime | None:
    """When the first tick of all is due."""
    first = TriggerStore(tx).next_due()
    return None if first is None else first.due


def tick(change: Change) -> bool:
    """Do the first tick that is due. False: none is due yet."""
    store = TriggerStore(change.tx)
    trigger = store.next_due()
    if trigger is None or trigger.due is None or trigger.due > change.now:
        return False
    store.set_due(trigger.target, schedule(trigger.rule.cron).next_from(trigger.due, change.now))
    known = change.branches.many([trigger.source, trigger.target])
    source, target = known[trigger.source], known[trigger.target]
    if source.head is not None and source.head != target.head:
        new = change.commits.get(source.head)
        assert new is not None, "a head exists"
        move(change, target.number, new)
    return True
