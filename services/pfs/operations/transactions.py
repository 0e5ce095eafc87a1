"""Open transactions: a list of requests, tried whole at every addition and carried out once, as one change.

What a request is and how it runs is the caller's (servicers/transactions/): here it is a function of a Change. A
transaction's id is the commit set id of all that it makes. The record goes in the same database transaction in which
its requests take effect: whatever dies in between, it is either open still or carried out.
Elsewhere: the rows (storage/transactions.py); one change (dag/change.py).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from sqlalchemy.orm import Session

from services.kit.rpc.staging import FINISHED
from services.kit.storage.outbox import Outbox
from services.kit.time.clock import Now
from services.pfs.domain.errors import HeadMoved, TransactionNotFound
from services.pfs.domain.keys import BranchKey
from services.pfs.domain.names import is_id
from services.pfs.operations.dag.change import Change
from services.pfs.operations.dag.resolve import head_of
from services.pfs.storage.branches import one_at_a_time
from services.pfs.storage.transactions import Intent, IntentStore, Stored, TransactionStore

T = TypeVar("T")


def start_transaction(tx: Session, id: str, now: Now) -> Stored:
    """Open one."""
    return TransactionStore(tx).add(id, now())


def inspect_transaction(tx: Session, id: str) -> Stored:
    """Raises TransactionNotFound."""
    found = TransactionStore(tx).get(id) if is_id(id) else None
    if found is None:
        raise TransactionNotFound(id)
    return found


def list_transactions(tx: Session) -> list[Stored]:
    """Every open one, oldest first."""
    return TransactionStore(tx).every()


def delete_transaction(tx: Session, id: str) -> None:
    """Forget one, with nothing of it done. Raises TransactionNotFound."""
    if not is_id(id) or not TransactionStore(tx).remove(id):
        raise TransactionNotFound(id)


def delete_transactions(tx: Session) -> None:
    """Forget all."""
    TransactionStore(tx).remove_every()


def append(tx: Session, id: str, now: Now, attempt: Callable[[Change, bytes], tuple[bytes, T]]) -> T:
    """Try the list with an addition, undo what it did, and keep the longer list.

    attempt: given the content so far, runs everything and returns the new content, and what the caller is told.
    One that raises leaves the list as it was.  Raises TransactionNotFound, and what `attempt` raises.
    """
    one_at_a_time(tx)  # before anything is read: additions to one list wait for each other
    stored = inspect_transaction(tx, id)
    content, told = _undone(tx, id, now, lambda change: attempt(change, stored.content))
    TransactionStore(tx).replace(id, content)
    return told


def try_out(tx: Session, id: str, now: Now, attempt: Callable[[Change, bytes], T], *, after: str = "") -> T:
    """Run something as a change of that id and undo it. attempt: is given the content of the open transaction `after`.

    Raises TransactionNotFound, and what `attempt` raises.
    """
    one_at_a_time(tx)
    content = inspect_transaction(tx, after).content if after else b""
    return _undone(tx, id, now, lambda change: attempt(change, content))


def _undone(tx: Session, id: str, now: Now, work: Callable[[Change], T]) -> T:
    trial = tx.begin_nested()
    with Change(tx, id=id, now=now) as change:
        told = work(change)
    trial.rollback()
    tx.expire_all()
    tx.info.pop("news", None)  # news of what did not happen
    return told


def finish(tx: Session, id: str, now: Now, run: Callable[[Change, bytes], T]) -> tuple[Stored, T]:
    """Carry the list out and forget it. Raises TransactionNotFound, and what `run` raises."""
    one_at_a_time(tx)
    stored = inspect_transaction(tx, id)
    with Change(tx, id=id, now=now) as change:
        result = run(change, stored.content)
    TransactionStore(tx).remove(id)
    return stored, result


def check_unmoved(change: Change, branch: BranchKey, head: str) -> None:
    """Raises HeadMoved when a branch is gone or its head is another."""
    found = change.branches.find(branch)
    if found is None or head_of(change.tx, found).id != head:
        raise HeadMoved(branch)


def leave_intents(change: Change, steps: Iterable[tuple[str, bytes]]) -> None:
    """Leave steps to their owners, and tell them."""
    owners = dict[str, None]()
    for owner, step in steps:
        IntentStore(change.tx).add(owner, change.id, step)
        owners[owner] = None
    change.tx.flush()
    for owner in owners:
        Outbox(change.tx).add(FINISHED, change.id, at=change.now, facts={"owner": owner})


def intents_of(tx: Session, owner: str) -> Sequence[Intent]:
    """What is left to an owner, oldest first."""
    return IntentStore(tx).of(owner)


def intents_left(tx: Session, id: str) -> int:
    """How many intents of a finished transaction are not carried out yet."""
    return IntentStore(tx).left_of(id)


def complete_intent(tx: Session, number: int) -> None:
    """Tick one off; it may be gone."""
    IntentStore(tx).remove(number)
