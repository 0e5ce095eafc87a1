"""What the command line prints: tables for people, JSON for scripts, and bars while something long goes on.

Plain aligned columns when nobody watches (no colour, nothing cut off); `--raw` is proto-JSON with the protocol's own
field names, one object a line.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from threading import Event, Thread
from typing import Any, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from datamill.bulk.local import LocalFile
from datamill.errors import DatamillError

Item = TypeVar("Item", bound=Message)
Row = Sequence[str]
WIDE = 100_000  # columns: the terminal wraps what is too long, so that ids can be copied and nothing is cut off
BATCH = 1000  # rows aligned together, so that a long list starts to print at once
GOOD = {"success", "running", "finished", "processed"}
BAD = {"failure", "failed", "killed", "unrunnable", "crashing", "error"}


def people_watch() -> bool:
    """Whether results go to a terminal."""
    return sys.stdout.isatty()


def emit(text: str = "") -> None:
    """One line of result."""
    sys.stdout.write(text + "\n")


def as_json(message: Message) -> str:
    return json.dumps(MessageToDict(message, preserving_proto_field_name=True), ensure_ascii=False)


def listing(items: Iterable[Item], headers: Row, row: Callable[[Item], Row], *, raw: bool) -> None:
    """Print a list: a table with one row an item, or one JSON object a line."""
    if raw:
        for item in items:
            emit(as_json(item))
            sys.stdout.flush()
        return
    rows = (row(item) for item in items)
    first = True
    while (batch := list(islice(rows, BATCH))) or first:
        _table(headers, batch, with_headers=first)
        first = False


def one(item: Item, fields: Callable[[Item], Iterable[tuple[str, str]]], *, raw: bool) -> None:
    """Print one thing: its fields that are not empty, or its JSON."""
    if raw:
        emit(as_json(item))
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
        table = Table(box=None, show_header=with_headers, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        for header in headers:
            table.add_column(header, no_wrap=True)
        for row in rows:
            table.add_row(*(_coloured(cell) for cell in row))
        Console(highlight=False, width=WIDE).print(table)
        return
    lines = [headers, *rows] if with_headers else rows
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    for line in lines:
        emit("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


def _coloured(cell: str) -> Text:
    word = cell.split(" ", 1)[0]
    return Text(cell, style="green" if word in GOOD else "red" if word in BAD else "")


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


@contextmanager
def transfer(
    what: str, total_bytes: int | None = None, files: Iterable[LocalFile] = ()
) -> Iterator[Callable[[int, int], None]]:
    """A bar for files and bytes with rate and time left, on standard error, when that is a terminal.

    files: what is going to be sent, when the total is to be found by looking at it meanwhile. Yields
    progress(files, bytes).
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _files, _bytes: None
        return
    columns: list[Any] = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), DownloadColumn()]
    columns += [TransferSpeedColumn(), TimeRemainingColumn()]
    over = Event()
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(what, total=total_bytes)
        done = 0

        def look() -> None:
            total = 0
            with suppress(OSError, DatamillError):  # the upload itself says what is wrong
                for file in files:
                    if over.is_set():
                        return
                    total += os.stat(file.source).st_size
                bars.update(task, total=total)

        def progress(more: int, count: int) -> None:
            nonlocal done
            done += more
            bars.update(task, advance=count, description=f"{what}, {done} files" if done else what)

        if total_bytes is None:
            Thread(target=look, daemon=True).start()
        try:
            yield progress
        finally:
            over.set()
