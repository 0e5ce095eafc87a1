"""When a cron input ticks: its schedule, its last tick, and what a tick's file is called.

A tick is a commit with an empty file named by the scheduled time, so the repo itself says what was ticked already.
Elsewhere: schedules (kit/time/cron.py); the repo (peers/cron_repos.py); who ticks (duties/ticker.py).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from services.kit.time.cron import schedule
from services.pps.domain.pipelines import State
from services.pps.domain.spec.inputs import Tree

TICKING = frozenset({State.RUNNING, State.STANDBY, State.CRASHING})
"""States of pipelines whose crons tick; what is missed in others is made up for later."""


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron input. overwrite: a tick takes the place of those before it."""

    project: str
    repo: str
    spec: str
    start: datetime
    overwrite: bool

    def next(self, last: datetime | None) -> datetime | None:
        """The first tick after the last one, or after the start when that is later. None: never."""
        return schedule(self.spec).next(self.start if last is None else max(last, self.start))


def cron_of(leaf: Tree) -> Cron:
    """A cron of a stored input tree."""
    start = datetime.fromisoformat(leaf["start"])
    start = start if start.tzinfo else start.replace(tzinfo=UTC)
    return Cron(leaf["project"], leaf["repo"], leaf["spec"], start, bool(leaf.get("overwrite")))


def file_name(at: datetime) -> str:
    return at.astimezone(UTC).strftime("/%Y-%m-%dT%H:%M:%SZ")


def last_tick(paths: Iterable[str]) -> datetime | None:
    """The latest of the ticks among files; others were put there by somebody else and are no ticks."""
    found = [at for path in paths if (at := _time(path.strip("/"))) is not None]
    return max(found, default=None)


def _time(name: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(name)
    except ValueError:
        return None
    return at if at.tzinfo else None
