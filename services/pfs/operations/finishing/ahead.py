"""Finishing a small commit in the transaction that closes it: its tree is built just before, for what it is then.

When the transaction finds something else than what was built on, the tree is nobody's, and the finisher makes another.
Elsewhere: what building and publishing are (finish.py); commits that take longer (duties/finisher.py).
"""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from services.kit.errors import Problem
from services.kit.time.clock import Now, fresh_id
from services.pfs.domain.keys import CommitRef
from services.pfs.operations.dag.change import Change
from services.pfs.operations.dag.resolve import resolve_commit
from services.pfs.operations.files.stores import Stores
from services.pfs.operations.finishing.finish import Outcome, Work, close_and_see, finish, publish, work_on


@dataclass(frozen=True)
class Ahead:
    """What came of finishing a commit that is not closed yet. work: its number is not looked at."""

    work: Work
    outcome: Outcome

    def fits(self, work: Work) -> bool:
        """Whether this is what finishing takes now."""
        return not work.failed and (work.base, work.layers) == (self.work.base, self.work.layers)


def foresee(tx: Session, ref: CommitRef) -> Work | None:
    """What finishing an open commit would take; None when that cannot be said, or is not to be done now."""
    try:
        commit = resolve_commit(tx, ref)
    except Problem:  # the change itself says what is wrong
        return None
    work = work_on(tx, commit) if commit.finishing is None else None
    return work if work is not None and work.small else None


def built(stores: Stores, work: Work) -> Ahead | None:
    """Blocks; runs on a thread. None: it failed, and the finisher shall say how."""
    try:
        return Ahead(work, finish(stores, work))
    except Problem:
        return None


def close_commit(
    tx: Session,
    ref: CommitRef,
    ahead: Ahead | None,
    *,
    id: str,
    now: Now,
    description: str = "",
    error: str = "",
    force: bool = False,
) -> tuple[Work | None, bool]:
    """Close a commit for writing, and make it FINISHED if `ahead` fits. Returns what is left to do, if that can begin;
    and whether the commit is FINISHED without an error.

    Raises what `finish_commit` raises.
    """
    with Change(tx, id=id, now=now) as change:
        work = close_and_see(change, ref, description=description, error=error, force=force)
        done = concluded(change, work, ahead)
    return left_of(tx, work, done, now), done is not None and not done.outcome.error


def concluded(change: Change, work: Work | None, ahead: Ahead | None) -> Ahead | None:
    """What was built ahead for a commit that `change` closes, with the commit's number, if it fits: see `left_of`."""
    if work is None or ahead is None or not ahead.fits(work):
        return None
    change.say_no_more("pfs.commit.finishing", work.key)
    return Ahead(work, ahead.outcome)


def left_of(tx: Session, work: Work | None, done: Ahead | None, now: Now) -> Work | None:
    """Make the commit FINISHED if it is done, as a change after the one that closed it, for triggers may open commits
    of another set. Returns the work that is left."""
    if done is None:
        return work
    publish(tx, done.work.number, done.outcome, None, id=fresh_id(), now=now)
    return None
