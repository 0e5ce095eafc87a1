"""When crons tick."""

from datetime import UTC, datetime, timedelta

import pytest

from services.pps.domain.crons import cron_of, file_name, last_tick

START = "2026-01-01T00:00:30.5Z"


@pytest.mark.parametrize(
    ("spec", "last", "expected"),
    [
        ("@every 1m", None, "2026-01-01T00:01:30Z"),
        ("@every 1m", "2026-01-01T00:05:00Z", "2026-01-01T00:06:00Z"),
        ("@every 1m", "2025-01-01T00:00:00Z", "2026-01-01T00:01:30Z"),  # the start was moved past the last tick
        ("*/5 * * * *", "2026-01-01T00:05:00Z", "2026-01-01T00:10:00Z"),
        ("@hourly", None, "2026-01-01T01:00:00Z"),
        ("@never", "2026-01-01T00:05:00Z", None),
    ],
)
def test_the_next_tick(spec: str, last: str | None, expected: str | None) -> None:
    cron = cron_of({"project": "default", "repo": "p_tick", "spec": spec, "start": START})
    found = cron.next(None if last is None else datetime.fromisoformat(last))
    assert found == (None if expected is None else datetime.fromisoformat(expected))


def test_a_file_says_when_and_others_say_nothing() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
    assert file_name(at) == "/2026-01-02T03:04:05Z"
    assert last_tick([file_name(at), file_name(at - timedelta(days=1)), "/notes", "/2026-01-03", "/d/"]) == at.replace(
        microsecond=0
    )
    assert last_tick([]) is None
    assert last_tick(["/zzz"]) is None
