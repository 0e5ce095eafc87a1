"""Schedules: what they are written like, and when they tick."""

from datetime import UTC, datetime, timedelta

import pytest

from services.kit.time.cron import BadSchedule, schedule

START = datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("spec", "tick"),
    [
        ("* * * * *", "2026-03-01T12:31:00"),
        ("0 6 * * MON-FRI", "2026-03-02T06:00:00"),
        ("0 6 * * ?", "2026-03-02T06:00:00"),
        ("@hourly", "2026-03-01T13:00:00"),
        ("@daily", "2026-03-02T00:00:00"),
        ("@midnight", "2026-03-02T00:00:00"),
        ("@weekly", "2026-03-08T00:00:00"),
        ("@monthly", "2026-04-01T00:00:00"),
        ("@yearly", "2027-01-01T00:00:00"),
        ("@annually", "2027-01-01T00:00:00"),
        ("@every 3s", "2026-03-01T12:30:18"),
        ("@every 1h30m", "2026-03-01T14:00:15"),
        ("@every 1.5m", "2026-03-01T12:31:45"),
        ("@every 10ms", "2026-03-01T12:30:16"),
        ("CRON_TZ=Europe/Berlin 0 6 2 3 *", "2026-03-02T05:00:00"),
    ],
)
def test_the_next_tick(spec: str, tick: str) -> None:
    assert schedule(spec).next(START) == datetime.fromisoformat(tick).replace(tzinfo=UTC)


def test_one_never_ticks() -> None:
    assert schedule("@never").next(START) is None
    assert schedule("@never").next_from(START, START) is None


@pytest.mark.parametrize(
    "spec",
    ["", "@often", "@every", "@every x", "@every -3s", "* * * *", "* * * * * *", "61 * * * *", "CRON_TZ=X/Y * * * * *",
     "@every 99999999999999h", "0 0 31 2 *"],
)  # fmt: skip
def test_what_is_no_schedule(spec: str) -> None:
    with pytest.raises(BadSchedule):
        schedule(spec)


def test_missed_ticks_are_passed_over_and_the_rhythm_kept() -> None:
    every = schedule("@every 7s")
    later = START + timedelta(seconds=100)
    ticks = [START]
    while ticks[-1] <= later:
        ticks.append(every.next(ticks[-1]) or later)
    assert every.next_from(START, later) == ticks[-1]
    assert every.next_from(START, START) == every.next(START)
    assert schedule("0 * * * *").next_from(START, START + timedelta(days=2)) == datetime(2026, 3, 3, 13, tzinfo=UTC)
