"""What a benchmark found, as a row of one table."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured thing, beside its peer where it has one."""

    what: str
    ours: str
    peer: str = "–"
    ratio: str = "–"
    goal: str = "–"
    reached: bool | None = None


def spread(values: Sequence[float]) -> str:
    """Median, and the span from the quickest to the slowest, in ms. values: seconds."""
    return f"{median(values) * 1e3:.1f} ms (min {min(values) * 1e3:.1f}, max {max(values) * 1e3:.1f}, n={len(values)})"


def show(figures: Sequence[Figure]) -> None:
    """Print the table; Markdown pipes, so that it can be kept as it is."""
    table = Table(box=None, pad_edge=False)
    for heading in ("measured", "ours", "peer", "ratio", "goal", "reached"):
        table.add_column(heading, overflow="fold")
    for figure in figures:
        reached = "–" if figure.reached is None else "yes" if figure.reached else "NO"
        table.add_row(figure.what, figure.ours, figure.peer, figure.ratio, figure.goal, reached)
    Console(width=180).print(table)
    print()
    for figure in figures:
        reached = "–" if figure.reached is None else "yes" if figure.reached else "**no**"
        print(f"| {figure.what} | {figure.ours} | {figure.peer} | {figure.ratio} | {figure.goal} | {reached} |")
