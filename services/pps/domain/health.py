"""How pipelines are, seen from afar: counts for each project, and those that are up longer than they should be."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.pps.domain.pipelines import Pipeline, State

FAILED = frozenset({State.FAILURE, State.CRASHING})
UNHEALTHY_JOBS = frozenset({4, 6, 9})  # FAILURE, KILLED, UNRUNNABLE, by the protocol's numbers


@dataclass(slots=True)
class Summary:
    """How many pipelines of a project are what. unhealthy: counted on top of the others."""

    active: int = 0
    paused: int = 0
    failed: int = 0
    unhealthy: int = 0


def summaries(pipelines: Iterable[tuple[str, State, int]]) -> dict[str, Summary]:
    """By project, of those that have any. pipelines: project, state, state of the newest job."""
    found = dict[str, Summary]()
    for project, state, last_job in pipelines:
        counts = found.setdefault(project, Summary())
        if state is State.PAUSED:
            counts.paused += 1
        elif state in FAILED:
            counts.failed += 1
        else:
            counts.active += 1
        counts.unhealthy += last_job in UNHEALTHY_JOBS
    return found


def too_long_up(pipeline: Pipeline, *, now: datetime) -> str:
    """What to tell of a pipeline whose workers are up for longer than its spec expects; "" if all is well."""
    expected, since = pipeline.version.spec.get("maximumExpectedUptime"), pipeline.workers_started_at
    most = timedelta(seconds=float(expected.rstrip("s"))) if expected else timedelta()
    if since is None or not most or now - since <= most:
        return ""
    over = _short(now - since - most)
    return f"{pipeline.key}: Started running at {since:%Y-%m-%dT%H:%M:%SZ}, exceeded maximum uptime by {over}"


def _short(span: timedelta) -> str:
    """Such as 26h0m1s, as specs and clients of the protocol write times; 0.5s when it is short."""
    if span < timedelta(seconds=1):
        return f"{span.total_seconds():.1f}s"
    minutes, seconds = divmod(int(span.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{seconds}s" if hours else f"{minutes}m{seconds}s" if minutes else f"{seconds}s"
