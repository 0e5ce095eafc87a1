"""Tables and bars drawn on a terminal. Imported only then, since the packages it needs are slow to import.

Elsewhere: when there is somebody to draw for (output.py, commands/data/bars.py).
"""

from collections.abc import Sequence
from typing import Any

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

WIDE = 100_000  # columns: the terminal wraps what is too long, so that ids can be copied and nothing is cut off
GOOD = {"success", "running", "finished", "processed"}
BAD = {"failure", "failed", "killed", "unrunnable", "crashing", "error"}


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, with_headers: bool) -> None:
    """On standard output."""
    drawn = Table(box=None, show_header=with_headers, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for header in headers:
        drawn.add_column(header, no_wrap=True)
    for row in rows:
        drawn.add_row(*(_coloured(cell) for cell in row))
    Console(highlight=False, width=WIDE).print(drawn)


def bars() -> Progress:
    """Of bytes, with rate and time left, on standard error."""
    columns: list[Any] = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), DownloadColumn()]
    columns += [TransferSpeedColumn(), TimeRemainingColumn()]
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _coloured(cell: str) -> Text:
    word = cell.split(" ", 1)[0]
    return Text(cell, style="green" if word in GOOD else "red" if word in BAD else "")
