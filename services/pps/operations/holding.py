"""Transactions on who does what: one replica runs a pipeline's workers, one at a time changes it."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
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


def living(tx: Session, replicas: Collection[str], now: datetime) -> frozenset[str]:
    """Those of these replicas that live."""
    return frozenset(Holders(tx).living(replicas, now))


@dataclass(frozen=True, slots=True)
class Shares:
    """Who runs which worker groups. mine: names of groups; others: the replicas that run the rest."""

    mine: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()


def groups(tx: Session, wanted: Iterable[str], replica: str, now: datetime) -> Shares:
    """The worker groups, among those that there should be, that this replica is to run. Others are given up."""
    holders, duties = Holders(tx), [GROUP + name for name in wanted]
    for duty in holders.held(GROUP, replica) - set(duties):
        holders.drop(duty, replica)
    found = holders.taken(duties, replica, now)
    mine = frozenset(duty.removeprefix(GROUP) for duty, holder in found.items() if holder == replica)
    return Shares(mine, frozenset(found.values()) - {replica})


def begin_change(tx: Session, key: PipelineKey, replica: str, now: datetime, *, idle: bool) -> bool:
    """Whether this replica may change the pipeline now. idle: not while an intent on it is open."""
    if idle and (row := PipelineStore(tx).row(key)) is not None and row.doing:
        return False
    duty = f"{CHANGE}{key}"
    return Holders(tx).taken([duty], replica, now)[duty] == replica


def end_change(tx: Session, key: PipelineKey, replica: str) -> None:
    """Let others change the pipeline."""
    Holders(tx).drop(f"{CHANGE}{key}", replica)
