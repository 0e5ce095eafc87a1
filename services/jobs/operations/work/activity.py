"""What workers do with the sets in their hands: said by them about once a second, kept with the set, so every replica
knows; for status and RestartDatum only. Elsewhere: leases, which count (leasing.py).
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from services.jobs.domain.sets import DatumSet
from services.jobs.storage.sets import SetStore


@dataclass(frozen=True, slots=True)
class Activity:
    """A worker that holds a set. data: (path, hash as hex) of the inputs of the datum in hand; started: None between
    datums."""

    set: DatumSet
    started: datetime | None = None
    data: tuple[tuple[str, str], ...] = ()

    @property
    def worker(self) -> str:
        return self.set.worker

    def matches(self, filters: Sequence[str]) -> bool:
        """Whether every filter names an input: by path, or by hash as hex or base64."""
        names = {name for path, hash in self.data for name in (path, hash, _base64(hash))}
        return all(wanted in names for wanted in filters)


def report(
    tx: Session,
    worker: str,
    project: str,
    pipeline: str,
    *,
    job: str,
    started: datetime | None,
    data: Sequence[tuple[str, str]],
) -> None:
    """Note what a worker does. job: the id of the one that it says it works for; it may have left it meanwhile."""
    sets = SetStore(tx)
    text = "" if started is None else json.dumps([started.isoformat(), data])
    for one in sets.held_by(worker, project, pipeline, job=job):
        sets.row(one.job, one.index).doing = text


def of_job(tx: Session, number: int) -> list[Activity]:
    """What the workers of a job do."""
    return [_read(one) for one in SetStore(tx).held(number)]


def cancel(tx: Session, one: DatumSet, datums: Sequence[str]) -> bool:
    """Let the worker hear, when it renews its lease, that datums of its set begin anew. False: it holds it no more."""
    now = SetStore(tx).get(one.job, one.index)
    if now is None or now.lease != one.lease or now.doing != one.doing:
        return False
    SetStore(tx).row(one.job, one.index).cancelled = " ".join(dict.fromkeys([*now.cancelled.split(), *datums]))
    return True


def _read(one: DatumSet) -> Activity:
    if not one.doing:
        return Activity(one)
    started, data = json.loads(one.doing)
    return Activity(one, datetime.fromisoformat(started), tuple((path, hash) for path, hash in data))


def _base64(hash: str) -> str:
    return base64.b64encode(bytes.fromhex(hash)).decode()
