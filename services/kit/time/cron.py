"""When a clock ticks: the schedules that triggers and cron inputs are written in.

Five fields as in crontab(5), read in UTC or in the zone that "CRON_TZ=Europe/Berlin " in front names; the nicknames
@yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly; "@every 1h30m", a period of at least a second; and
@never. A tick is a point in time that depends on the schedule and the tick before alone, so that every replica and
every restart finds the same ones.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

SECOND = timedelta(seconds=1)
NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_ZONE = re.compile(r"(?:CRON_)?TZ=(\S+)\s+")
_PERIOD = re.compile(r"(?:\d+(?:\.\d*)?(?:ns|us|µs|μs|ms|h|m|s))+")
_PART = re.compile(r"(\d+(?:\.\d*)?)(ns|us|µs|μs|ms|h|m|s)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}


class BadSchedule(ValueError):
    """A text that names no schedule."""


class Schedule(Protocol):
    """Ticks without end, or none."""

    def next(self, after: datetime) -> datetime | None:
        """The tick that follows the moment or tick `after`; None: there is none."""

    def next_from(self, tick: datetime, now: datetime) -> datetime | None:
        """The first one later than `now` of those that follow `tick`: what was missed is passed over."""


@dataclass(frozen=True, slots=True)
class Fields:
    """Five fields of crontab(5)."""

    text: str
    zone: tzinfo = UTC

    def next(self, after: datetime) -> datetime | None:
        found = next(CronSim(self.text, after.astimezone(self.zone)), None)
        return None if found is None else found.astimezone(UTC)

    def next_from(self, tick: datetime, now: datetime) -> datetime | None:
        return self.next(max(tick, now))


@dataclass(frozen=True, slots=True)
class Every:
    """A period; ticks are whole seconds."""

    period: timedelta

    def next(self, after: datetime) -> datetime | None:
        try:
            return after.replace(microsecond=0) + self.period
        except OverflowError:
            return None

    def next_from(self, tick: datetime, now: datetime) -> datetime | None:
        start = tick.replace(microsecond=0)
        return self.next(start + max(0, (now - start) // self.period) * self.period)


@dataclass(frozen=True, slots=True)
class Never:
    """No tick at all."""

    def next(self, after: datetime) -> datetime | None:
        return None

    def next_from(self, tick: datetime, now: datetime) -> datetime | None:
        return None


def schedule(spec: str) -> Schedule:
    """Raises BadSchedule."""
    zone, text = _zone_of(spec.strip())
    if text == "@never":
        return Never()
    if text.startswith("@every "):
        return Every(_period(text.removeprefix("@every ").strip()))
    text = NICKNAMES.get(text, text)
    if text.startswith("@"):
        raise BadSchedule(f"unrecognized descriptor: {text}")
    if (count := len(text.split())) != 5:
        raise BadSchedule(f"expected exactly 5 fields, found {count}: {text!r}")
    text = " ".join("*" if field == "?" else field for field in text.split())
    try:
        CronSim(text, datetime(2000, 1, 1, tzinfo=zone))
    except CronSimError as error:
        raise BadSchedule(f"{error}: {text!r}") from error
    return Fields(text, zone)


def _zone_of(text: str) -> tuple[tzinfo, str]:
    named = _ZONE.match(text)
    if named is None:
        return UTC, text
    try:
        return ZoneInfo(named[1]), text[named.end() :]
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadSchedule(f"unknown time zone {named[1]}") from error


def _period(text: str) -> timedelta:
    if _PERIOD.fullmatch(text) is None:
        raise BadSchedule(f"failed to parse duration @every {text}")
    seconds = sum(float(count) * _UNITS[unit] for count, unit in _PART.findall(text))
    try:
        return max(timedelta(seconds=int(seconds)), SECOND)
    except OverflowError as error:
        raise BadSchedule(f"failed to parse duration @every {text}") from error
