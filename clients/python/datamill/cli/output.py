"""What the command line prints: tables for people and JSON for scripts.

Plain aligned columns when nobody watches (no colour, nothing cut off); `--raw` is proto-JSON with the protocol's own
field names, one object a line, or YAML. Elsewhere: drawing on a terminal (drawing.py), bars (commands/data/bars.py).
"""

import importlib
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import islice
from typing import Any, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

Item = TypeVar("Item", bound=Message)
Row = Sequence[str]
BATCH = 1000  # rows aligned together, so that a long list starts to print at once


def people_watch() -> bool:
    """Whether results go to a terminal."""
    return sys.stdout.isatty()


def emit(text: str = "") -> None:
    """One line of result."""
    sys.stdout.write(text + "\n")


class Raw(Enum):
    """Whether a result is printed for programs, and in which form. Those for people are false."""

    NO = ""
    JSON = "json"
    YAML = "yaml"

    def __bool__(self) -> bool:
        return self is not Raw.NO

    def emit(self, message: Message) -> None:
        """One message: a line of JSON, or a YAML document."""
        self.emit_value(MessageToDict(message, preserving_proto_field_name=True))

    def emit_value(self, value: object) -> None:
        if self is Raw.YAML:
            emit("---\n" + as_yaml(value).rstrip("\n"))
        else:
            emit(json.dumps(value, ensure_ascii=False))


def as_yaml(value: object) -> str:
    """A document that the reader of specs reads back as the same value."""
    writing: Any = importlib.import_module("datamill.cli.specs.writing")  # slow to import, so not before it is wanted
    return str(writing.written(value))


def listing(items: Iterable[Item], headers: Row, row: Callable[[Item], Row], *, raw: Raw) -> None:
    """Print a list: a table with one row an item, or one JSON object a line."""
    if raw:
        for item in items:
            raw.emit(item)
            sys.stdout.flush()
        return
    rows = (row(item) for item in items)
    first = True
    while (batch := list(islice(rows, BATCH))) or first:
        _table(headers, batch, with_headers=first)
        first = False


def one(item: Item, fields: Callable[[Item], Iterable[tuple[str, str]]], *, raw: Raw) -> None:
    """Print one thing: its fields that are not empty, or its JSON."""
    if raw:
        raw.emit(item)
        return
    shown = [(name, value) for name, value in fields(item) if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        lines = value.split("\n")
        emit(f"{name + ':':<{width + 1}} {lines[0]}")
        for line in lines[1:]:
            emit(" " * (width + 2) + line)


def _table(headers: Row, rows: list[Row], *, with_headers: bool) -> None:
    if people_watch():
        drawn: Any = importlib.import_module("datamill.cli.drawing")  # slow to import, so not before it is wanted
        drawn.table(headers, rows, with_headers=with_headers)
        return
    lines = [headers, *rows] if with_headers else rows
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    for line in lines:
        emit("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


def when(moment: Timestamp) -> str:
    """A time as people count it back, or exactly (UTC) when nobody watches."""
    if not moment.seconds:
        return "-"
    then = moment.ToDatetime(UTC)
    if not people_watch():
        return then.strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{span(datetime.now(UTC) - then)} ago"


def span(length: timedelta) -> str:
    seconds = max(length.total_seconds(), 0.0)
    if seconds < 10:
        return f"{seconds:.1f} s"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def length_of(duration: Duration) -> str:
    return span(duration.ToTimedelta()) if duration.seconds or duration.nanos else "-"


def size(count: float) -> str:
    """Bytes in powers of 1000, as disks are sold."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def enum_word(name: str, *prefixes: str) -> str:
    """JOB_SUCCESS -> success."""
    for prefix in prefixes:
        name = name.removeprefix(prefix)
    return name.lower()
