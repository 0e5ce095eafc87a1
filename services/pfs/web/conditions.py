"""What a request asks of a file that may not have changed, and which part of it: pure rules of HTTP.

Source: RFC 9110, 13 (conditional requests, in the order of 13.2.2) and 14 (ranges). Of ranges one at a time is given;
a list of them is answered with the whole, as the RFC allows.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

_TAG = re.compile(r'(W/)?("[^"]*")')
_RANGE = re.compile(r"\s*bytes\s*=\s*([0-9]{0,18})\s*-\s*([0-9]{0,18})\s*", re.IGNORECASE)


class Unsatisfiable(Exception):
    """The range that is asked for lies outside the file."""


@dataclass(frozen=True, slots=True)
class Version:
    """What tells a file's content from others. tag: with its quotes; modified: None while its commit is open."""

    tag: str
    modified: datetime | None

    @property
    def date(self) -> str:
        """As a header; "" when there is none."""
        return "" if self.modified is None else format_datetime(self.modified.astimezone(UTC), usegmt=True)

    @property
    def _second(self) -> datetime | None:
        return None if self.modified is None else self.modified.replace(microsecond=0)

    def changed_since(self, header: str) -> bool | None:
        """None: the date cannot be read, or there is none to compare with."""
        since, mine = _date(header), self._second
        return None if since is None or mine is None else mine > since


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes first … last, both of them included."""

    first: int
    last: int

    @property
    def size(self) -> int:
        return self.last - self.first + 1


def precondition(headers: Mapping[str, str], version: Version) -> int:
    """200: go on; 304: the caller has it; 412: it is not what the caller thinks."""
    if (wanted := headers.get("If-Match")) is not None:
        if not _names(wanted, version.tag, weak=False):
            return 412
    elif version.changed_since(headers.get("If-Unmodified-Since", "")):
        return 412
    if (known := headers.get("If-None-Match")) is not None:
        return 304 if _names(known, version.tag, weak=True) else 200
    return 304 if version.changed_since(headers.get("If-Modified-Since", "")) is False else 200


def part_wanted(headers: Mapping[str, str], version: Version, size: int) -> Part | None:
    """None: all of it. Raises Unsatisfiable."""
    found = _RANGE.fullmatch(headers.get("Range", ""))
    if found is None or not any(found.groups()) or not _still(headers.get("If-Range"), version):
        return None
    begin, end = found.groups()
    if not begin:
        if not size or not int(end):
            raise Unsatisfiable()
        return Part(max(0, size - int(end)), size - 1)
    first, last = int(begin), int(end) if end else size - 1
    if end and first > last:
        return None
    if first >= size:
        raise Unsatisfiable()
    return Part(first, min(last, size - 1))


def _still(if_range: str | None, version: Version) -> bool:
    """Whether the caller's part belongs to this very content."""
    if if_range is None:
        return True
    if '"' in if_range:
        return if_range.strip() == version.tag
    since = _date(if_range)
    return since is not None and since == version._second


def _names(header: str, tag: str, *, weak: bool) -> bool:
    if header.strip() == "*":
        return True
    return any(found[2] == tag and (weak or not found[1]) for found in _TAG.finditer(header))


def _date(header: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(header)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
