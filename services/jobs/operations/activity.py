"""What workers do right now, as they report it; kept in memory, for status and RestartDatum only.

Elsewhere: leases, which count (leasing.py).
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Activity:
    """data: (path, hash as hex) of the inputs of the datum in hand; job: "" when idle."""

    worker: str
    project: str
    pipeline: str
    job: str
    started: datetime | None
    data: tuple[tuple[str, str], ...]
    datum: str = ""

    def matches(self, filters: Sequence[str]) -> bool:
        """Whether every filter names an input: by path, or by hash as hex or base64."""
        names = {name for path, hash in self.data for name in (path, hash, _base64(hash))}
        return all(wanted in names for wanted in filters)


@dataclass
class Activities:
    """By worker."""

    _now: dict[str, Activity] = field(default_factory=dict)
    _cancelled: dict[str, list[str]] = field(default_factory=dict)

    def report(self, activity: Activity) -> None:
        self._now[activity.worker] = activity

    def leased(self, worker: str) -> None:
        """It asks for work, so it does nothing."""
        self._now.pop(worker, None)
        self._cancelled.pop(worker, None)

    def of_job(self, project: str, pipeline: str, job: str) -> list[Activity]:
        return [one for one in self._now.values() if (one.project, one.pipeline, one.job) == (project, pipeline, job)]

    def cancel(self, worker: str, datums: Sequence[str]) -> None:
        """Let the worker hear of it when it renews its lease."""
        self._cancelled.setdefault(worker, []).extend(datums)

    def cancellations(self, worker: str) -> list[str]:
        return self._cancelled.pop(worker, [])


def _base64(hash: str) -> str:
    return base64.b64encode(bytes.fromhex(hash)).decode()
