"""How pipelines are, seen from afar: what is counted as what, and which are up for too long."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.pps.domain.health import Summary, summaries, too_long_up
from services.pps.domain.pipelines import State
from tests.unit.pps.specs.test_specs import reading

SUCCESS, FAILURE, KILLED, UNRUNNABLE = 5, 4, 6, 9
SINCE = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_summaries() -> None:
    found = summaries([
        ("a", State.RUNNING, SUCCESS), ("a", State.STANDBY, FAILURE), ("a", State.STARTING, 0),
        ("a", State.PAUSED, KILLED), ("b", State.CRASHING, UNRUNNABLE), ("b", State.FAILURE, SUCCESS),
    ])  # fmt: skip
    assert found == {"a": Summary(active=3, paused=1, unhealthy=2), "b": Summary(failed=2, unhealthy=1)}


@pytest.mark.parametrize(
    ("most", "up_for", "alert"),
    [
        ("60s", 61, "default/p: Started running at 2026-01-01T12:00:00Z, exceeded maximum uptime by 1s"),
        ("60s", 60.5, "default/p: Started running at 2026-01-01T12:00:00Z, exceeded maximum uptime by 0.5s"),
        ("60s", 185, "default/p: Started running at 2026-01-01T12:00:00Z, exceeded maximum uptime by 2m5s"),
        ("60s", 93_661, "default/p: Started running at 2026-01-01T12:00:00Z, exceeded maximum uptime by 26h0m1s"),
        ("60s", 60, ""),
        ("0s", 1000, ""),
        (None, 1000, ""),
        ("60s", None, ""),
    ],
)
def test_too_long_up(most: str | None, up_for: float | None, alert: str) -> None:
    plain = reading("p", [])
    spec = {**plain.version.spec, **({"maximumExpectedUptime": most} if most else {})}
    since = None if up_for is None else SINCE
    one = replace(plain, version=replace(plain.version, spec=spec), workers_started_at=since)
    assert too_long_up(one, now=SINCE + timedelta(seconds=up_for or 0)) == alert
