"""Transactions on who does what: one replica runs a pipeline's workers, one at a time changes it."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy.orm import Session

from services.pps.domain.names import PipelineKey
from services.pps.storage.holders import Holders
from services.pps.storage.pipelines import PipelineStore

GROUP, CHANGE = "group/", "change/"


def show(tx: Session, replica: str, now: datetime) -> None:
    """Say that the replica lives."""
    Holders(tx).show(replica, now)


def leave(tx: Session, replica: str) -> None:
    """Give up everything that the replica holds."""
    Holders(tx).leave(replica)


def held(tx: Session, replica: str) -> set[str]:
    """The worker groups that this replica runs."""
    return {duty.removeprefix(GROUP) for duty in Holders(tx).held(GROUP, replica)}


def groups(tx: Session, wanted: Iterable[str], replica: str, now: datetime) -> set[str]:
    """The worker groups, among those that there should be, that this replica is to run. Others are given up."""
    holders, duties = Holders(tx), [GROUP + name for name in wanted]
    for duty in holders.held(GROUP, replica) - set(duties):
        holders.drop(duty, replica)
    return {duty.removeprefix(GROUP) for duty in holders.take(duties, replica, now)} if duties else set()


def begin_change(tx: Session, key: PipelineKey, replica: str, now: datetime, *, idle: bool) -> bool:
    """Whether this replica may change the pipeline now. idle: not while an intent on it is open."""
    if idle and (row := PipelineStore(tx).row(key)) is not None and row.doing:
        return False
    return bool(Holders(tx).take([f"{CHANGE}{key}"], replica, now))


def end_change(tx: Session, key: PipelineKey, replica: str) -> None:
    """Let others change the pipeline."""
    Holders(tx).drop(f"{CHANGE}{key}", replica)
